import { openCouchStore } from '../../../core/store/couch/open-couch-store'
import type { Store } from '../../../core/store/store'
import { dropTestBuckets } from '../../couchdb/drop-test-buckets'
import { CouchServer } from '../../couchdb/server'
import { engineContract } from './contract'
import type { EngineFactory } from './contract/bench'
import { modelSuite } from './model'

function onServer(start: () => Promise<string>, stop: (url: string) => Promise<void>): EngineFactory {
  let url = ''
  const open = (node: string): Promise<Store> => openCouchStore({ url, node })
  return {
    async make() {
      url = await start()
      return open('node-a')
    },
    another: () => open('node-b'),
    dispose: () => stop(url),
    timeout: 120_000,
  }
}

function protocolServer(): EngineFactory {
  let server: CouchServer | undefined
  return onServer(
    async () => {
      server = await CouchServer.start({ login: 'admin:admin' })
      return server.url
    },
    async () => server?.close(),
  )
}

const real = process.env.KV4_TEST_COUCHDB_URL
if (real === undefined) {
  engineContract('the CouchDB-protocol server of the tests', protocolServer())
  modelSuite('the CouchDB-protocol server of the tests', protocolServer(), { runs: 15, commands: 25 })
} else {
  const factory = () =>
    onServer(
      async () => real,
      (url) => dropTestBuckets(url, ['engine', 'model']),
    )
  engineContract('CouchDB', factory())
  modelSuite('CouchDB', factory(), { runs: 30, commands: 30 })
}

import { openCouchStore } from '../../../core/store/couch/open-couch-store'
import type { Store } from '../../../core/store/store'
import { dropTestBuckets } from '../../couchdb/drop-test-buckets'
import { engineContract } from './contract'
import type { EngineFactory } from './contract/bench'
import { modelSuite } from './model'

function couchEngine(url: string): EngineFactory {
  let store: Store | undefined
  return {
    async make() {
      store = await openCouchStore({ url, node: 'node-a' })
      return store
    },
    another: () => openCouchStore({ url, node: 'node-b' }),
    async dispose() {
      await dropTestBuckets(url, ['engine', 'model'])
    },
    timeout: 60_000,
  }
}

const url = process.env.KV4_TEST_COUCHDB_URL
if (url !== undefined) {
  engineContract('CouchDB', couchEngine(url))
  modelSuite('CouchDB', couchEngine(url), { runs: 20, commands: 25 })
}

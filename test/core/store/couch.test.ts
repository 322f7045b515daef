import type { BucketName } from '../../../core'
import { openCouchStore } from '../../../core/store/couch/open-couch-store'
import type { Store } from '../../../core/store/store'
import { CouchServer } from '../../couchdb/server'
import { type StoreFactory, storeContract } from './contract'

/** The adapter over a server that may hold other data: drops what the suite made. */
function onServer(url: () => Promise<string>, stop: () => Promise<void>): StoreFactory {
  const made = new Set<BucketName>()
  let store: Store
  let at: string | undefined
  const open = async (): Promise<Store> => {
    store = await openCouchStore({ url: (at ??= await url()), node: 'test' })
    const create = store.create.bind(store)
    store.create = (name) => {
      made.add(name)
      return create(name)
    }
    return store
  }
  return {
    make: open,
    reopen: async () => {
      await store.close()
      return open()
    },
    dispose: async () => {
      for (const name of made) await store.drop(name)
      await store.close()
      await stop()
    },
  }
}

let server: CouchServer
storeContract(
  'couch on a protocol server',
  onServer(
    async () => (server = await CouchServer.start()).url,
    () => server.close(),
  ),
)

const real = process.env['KV4_TEST_COUCHDB_URL']
if (real)
  storeContract(
    'couch on KV4_TEST_COUCHDB_URL',
    onServer(
      async () => real,
      async () => undefined,
    ),
  )

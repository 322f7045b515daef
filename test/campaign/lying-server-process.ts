import { readConfig } from '../../server/config'
import { startServer } from '../../server/start'
import { openEmbeddedStore } from '../../core/store/embedded'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { BucketStore, Store } from '../../core/store/store'

/** Proves that the campaign would see it: a tenant's writes are acknowledged before they are on disk. */
async function lyingStore(directory: string): Promise<Store> {
  mkdirSync(directory, { recursive: true })
  const store = await openEmbeddedStore({ directory, onFatal: () => process.exit(1) })
  const open = store.open.bind(store)
  store.open = async (bucket) => (bucket === '$elena' ? lying(await open(bucket)) : open(bucket))
  return store
}

function lying(bucket: BucketStore): BucketStore {
  const commit = bucket.commit.bind(bucket)
  bucket.commit = async (writes) => {
    setTimeout(() => void commit(writes), 20)
    return writes.map(() => 'stored')
  }
  return bucket
}

async function main(): Promise<void> {
  const config = readConfig(process.env)
  await startServer(config, { store: await lyingStore(join(config.dataDir, 'store')) })
}

void main()

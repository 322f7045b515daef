import { BucketName } from '../../core'
import { openCouchStore } from '../../core/store/couch/open-couch-store'

/** Drops the buckets that this process's tests made on a server that outlives them. */
export async function dropTestBuckets(url: string, accounts: readonly string[]): Promise<void> {
  const store = await openCouchStore({ url, node: 'cleaner' })
  const mine = new Set(accounts.map((account) => `${account}${process.pid}`))
  for await (const bucket of store.list())
    if (mine.has(BucketName.owner(bucket).account)) await store.drop(bucket)
  await store.close()
}

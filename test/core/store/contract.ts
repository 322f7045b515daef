import { StoreBench } from './contract/bench'
import type { StoreFactory } from './contract/bench'
import { bucketContract } from './contract/buckets'
import { commitContract } from './contract/commit'
import { currentContract } from './contract/current'
import { feedContract } from './contract/feed'
import { listingContract } from './contract/listing'
import { pruningContract } from './contract/pruning'
import { aggregateContract } from './contract/aggregate'
import { seriesContract } from './contract/series'
import { versionContract } from './contract/versions'

export type { Feature, StoreFactory } from './contract/bench'

/**
 * What core/store/store.ts promises, as tests over any adapter. An adapter's own test is a call of this with a factory,
 * and a reason for each feature that it skips.
 */
export function storeContract(name: string, factory: StoreFactory): void {
  describe(`store contract: ${name}`, () => {
    const bench = new StoreBench(factory)
    beforeAll(() => bench.start(), 60_000)
    afterAll(() => bench.stop(), 60_000)

    bucketContract(bench)
    commitContract(bench)
    versionContract(bench)
    currentContract(bench)
    seriesContract(bench)
    listingContract(bench)
    aggregateContract(bench)
    pruningContract(bench)
    feedContract(bench)
  })
}

import { BucketName } from '../../../../core'
import type { BucketStore, Store } from '../../../../core/store/store'

/** What an adapter may be excused from, each with its reason. */
export const FEATURES = [
  'aggregates',
  'aggregate of aggregates',
  'aggregates outlive samples',
  'bucket isolation',
  'concurrent writes',
  'deleted current entries in the feed',
  'expiring',
  'feed',
  'heartbeat',
  'hostile names',
  'live feed',
  'paging',
  'pruned numbers stay taken',
  'pruning',
  'reopen',
] as const
export type Feature = (typeof FEATURES)[number]

/**
 * - `make`: a store without buckets of the names used here (`$contract…`);
 * - `reopen`: closes it and opens it again on the same data;
 * - `dispose`: closes it and removes its data.
 */
export interface StoreFactory {
  make(): Promise<Store>
  dispose(): Promise<void>
  reopen?(): Promise<Store>
  readonly skip?: Partial<Readonly<Record<Feature, string>>>
  /** Of one test, ms. Default 30,000. */
  readonly timeout?: number
}

/** The store under test, with a fresh bucket for each test. */
export class StoreBench {
  #store: Store | undefined
  #buckets = 0

  constructor(private readonly factory: StoreFactory) {}

  async start(): Promise<void> {
    this.#store = await this.factory.make()
  }

  async stop(): Promise<void> {
    await this.factory.dispose()
  }

  get store(): Store {
    if (this.#store === undefined) throw new Error('the store is not made yet')
    return this.#store
  }

  async reopen(): Promise<void> {
    this.#store = await this.factory.reopen!()
  }

  freshName(): BucketName {
    return BucketName.of(`contract${process.pid}`, `b${++this.#buckets}`)
  }

  async bucket(): Promise<BucketStore> {
    const name = this.freshName()
    await this.store.create(name)
    return this.store.open(name)
  }

  /** A test of a promise; skipped with the factory's reason when the adapter is excused from the feature. */
  proves(title: string, run: () => Promise<void>, feature?: Feature): void {
    const reason =
      feature === undefined
        ? undefined
        : feature === 'reopen' && this.factory.reopen === undefined
          ? (this.factory.skip?.reopen ?? 'the factory cannot reopen')
          : this.factory.skip?.[feature]
    if (reason === undefined) test(title, run, this.factory.timeout ?? 30_000)
    else test.skip(`${title} [skipped: ${reason}]`, run)
  }
}

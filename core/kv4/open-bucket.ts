import type { BucketStore, StoreFeatures } from '../store/store'
import type { BucketName } from './bucket-name'
import type { CacheBudget } from './cache'
import { BucketCache } from './cache'
import { Committer } from './committer'
import { Feed } from './feed'
import type { Layer } from './layer'
import { WatchHub } from './watch-hub'

export interface OpenBucketOptions {
  readonly features: StoreFeatures
  readonly clock: () => number
  readonly budget: CacheBudget
  readonly cacheBytes: number
  /** How long a silent feed is trusted, ms. */
  readonly graceMs: number
  /** Whether versions of the layer's keys are forgotten. */
  readonly forgets: (layer: Layer) => boolean
  /** The bucket's database is gone: this object must not be used any more. */
  onLost(): void
  /** An entry was seen that lapses at this instant. */
  onLapse(bucket: OpenBucket, exp: number): void
  onBackgroundError(error: unknown): void
}

/**
 * What a node holds of a bucket that is in use: the store's handle, the cache, the feed that keeps it true, the
 * writers' queue and the watchers.
 */
export class OpenBucket {
  readonly cache: BucketCache
  readonly committer: Committer
  readonly hub = new WatchHub()
  readonly feed: Feed
  /** Calls under way; a bucket with any is not closed. */
  active = 0
  usedAt: number
  /** The soonest instant at which an entry is known to lapse. */
  nextLapse = Infinity
  /** Up to here lapsed entries have been swept; undefined: not read yet. */
  sweptUpTo: number | undefined
  readonly #exclusive: boolean
  readonly #graceMs: number

  constructor(
    readonly name: BucketName,
    readonly store: BucketStore,
    readonly options: OpenBucketOptions,
  ) {
    this.usedAt = options.clock()
    this.#exclusive = options.features.exclusive
    this.#graceMs = options.graceMs
    this.cache = new BucketCache(options.budget, options.cacheBytes / 2)
    this.committer = new Committer(
      store,
      options.features,
      this.cache,
      options.clock,
      () => this.fresh,
      options.forgets,
    )
    let interrupted = false
    this.feed = new Feed(store, {
      heard: (batch) => {
        if (interrupted) {
          interrupted = false
          // The bucket may have been dropped and made again while nobody listened.
          if (!this.#exclusive) this.cache.clear()
          this.hub.resync()
        }
        for (const change of batch.changes) {
          if (change.kind === 'series') this.cache.appended(change.address, change.sample.at)
          else {
            this.cache.heard(change.address, change.version, change.kind)
            if (change.version.exp !== undefined) options.onLapse(this, change.version.exp)
          }
        }
        this.hub.heard(batch)
      },
      // Until the feed is back, what it told last is believed for the grace.
      interrupted: () => (interrupted = true),
      lost: () => {
        this.cache.clear()
        this.hub.lose()
        options.onLost()
      },
      failed: (error) => options.onBackgroundError(error),
    })
  }

  /** What the cache knows may be believed: nobody else writes, or the feed has been heard of lately. */
  get fresh(): boolean {
    return this.#exclusive || this.feed.silence <= this.#graceMs
  }

  /** Nothing is under way and nobody watches: it can be closed and opened again without anybody noticing. */
  get idle(): boolean {
    return this.active === 0 && this.committer.idle && this.hub.size === 0
  }

  /** Only where other processes write is the feed needed for the cache; elsewhere it starts with the first watcher. */
  async start(): Promise<void> {
    if (!this.#exclusive) await this.feed.start()
  }

  async close(): Promise<void> {
    await this.committer.settled()
    await this.feed.stop()
    this.hub.lose()
    this.cache.clear()
    await this.store.close()
  }
}

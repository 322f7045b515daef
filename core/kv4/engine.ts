import { isKv4Error } from '../errors'
import type { Store } from '../store/store'
import type { Address } from './address'
import type { Bucket, Engine } from './api'
import type { BucketHost } from './bucket'
import { EngineBucket } from './bucket'
import type { BucketName } from './bucket-name'
import type { CacheBudget } from './cache'
import { LayerRegistry } from './layer-registry'
import { OpenBucket } from './open-bucket'
import { Pruner } from './retention'
import { SampleIds } from './sample-ids'
import { sweepLapsed } from './sweep'
import type { Version } from './version'

export interface EngineOptions {
  readonly store: Store
  /** Unix ms; for tests. Default Date.now. */
  readonly clock?: () => number
  /** Buckets held open at most; the least recently used close first. Default 10,000 on an embedded store, 500 on CouchDB. */
  readonly maxOpenBuckets?: number
  /** A bucket without use for so long is closed. Default 5 minutes. */
  readonly idleMs?: number
  /** Memory for the caches of all buckets together. Default 256 MiB. */
  readonly cacheBytes?: number
  /** How long the cache is believed while the feed is silent. Default 10 s. */
  readonly graceMs?: number
  /** How often lapsed entries are looked for and retention is applied. Default 500 ms; 0: only by `sweep()`. */
  readonly sweepMs?: number
  /** Told of failures in the background (sweeps, pruning, feeds); the engine goes on. */
  readonly onBackgroundError?: (error: unknown) => void
}

const DEFAULTS = { idleMs: 5 * 60_000, cacheBytes: 256 * 1024 * 1024, graceMs: 10_000, sweepMs: 500 }
const BUCKET_CACHE_BYTES = 32 * 1024 * 1024
const SWEEP_RETRY_MS = 5_000

/** An engine with what its operator's side needs beside the public face. */
export interface RunningEngine extends Engine {
  /** Buckets held open now. */
  readonly openBuckets: number
  readonly cacheBytes: number
  /** Sweeps lapsed entries and applies retention now. */
  sweep(): Promise<void>
}

export function createEngine(options: EngineOptions): RunningEngine {
  return new Kv4Engine(options)
}

class Kv4Engine implements RunningEngine, BucketHost {
  readonly layers = new LayerRegistry()
  readonly clock: () => number
  readonly #store: Store
  readonly #options: Required<Omit<EngineOptions, 'clock' | 'store'>>
  readonly #open = new Map<BucketName, OpenBucket>()
  readonly #opening = new Map<BucketName, Promise<OpenBucket>>()
  readonly #budget: CacheBudget = { bytes: 0 }
  readonly #lapsing = new Set<OpenBucket>()
  readonly #pruner: Pruner
  readonly #sampleIds = new SampleIds()
  #timer: NodeJS.Timeout | undefined
  #maintenance: Promise<void> | undefined
  #closing = false

  constructor(options: EngineOptions) {
    this.clock = options.clock ?? Date.now
    this.#store = options.store
    this.#options = {
      maxOpenBuckets: options.store.features.exclusive ? 10_000 : 500,
      onBackgroundError: () => undefined,
      ...DEFAULTS,
      ...options,
    }
    this.#pruner = new Pruner(this.layers, this.clock, options.store.features.exclusive)
    if (this.#options.sweepMs > 0)
      this.#timer = setInterval(() => this.#maintain(), this.#options.sweepMs).unref()
  }

  get openBuckets(): number {
    return this.#open.size
  }

  get cacheBytes(): number {
    return this.#budget.bytes
  }

  bucket(name: BucketName): Bucket {
    return new EngineBucket(name, this)
  }

  create(name: BucketName): Promise<boolean> {
    return this.#store.create(name)
  }

  async drop(name: BucketName): Promise<boolean> {
    await this.#letGo(name)
    const dropped = await this.#store.drop(name)
    // A call that came meanwhile opened it once more: its cache must not outlive it.
    await this.#letGo(name)
    return dropped
  }

  list(): AsyncIterable<BucketName> {
    return this.#store.list()
  }

  ping(): Promise<void> {
    return this.#store.ping()
  }

  async close(): Promise<void> {
    this.#closing = true
    clearInterval(this.#timer)
    await this.#maintenance
    await Promise.allSettled(this.#opening.values())
    await Promise.all([...this.#open.values()].map((open) => open.close()))
    this.#open.clear()
    await this.#store.close()
  }

  async sweep(): Promise<void> {
    await this.#maintenance
    await this.#sweep()
  }

  peek(name: BucketName): OpenBucket | undefined {
    const open = this.#open.get(name)
    if (open !== undefined) open.usedAt = this.clock()
    return open
  }

  open(name: BucketName): Promise<OpenBucket> {
    const open = this.peek(name)
    if (open !== undefined) return Promise.resolve(open)
    let opening = this.#opening.get(name)
    if (opening === undefined) {
      opening = this.#openBucket(name).finally(() => this.#opening.delete(name))
      this.#opening.set(name, opening)
    }
    return opening
  }

  sampleId(): string {
    return this.#sampleIds.next()
  }

  wrote(bucket: OpenBucket, address: Address, version: Version): void {
    if (version.exp !== undefined) this.#lapse(bucket, version.exp)
    this.#pruner.wrote(bucket, address, version)
    if (this.#budget.bytes > this.#options.cacheBytes) this.#shrink()
  }

  appended(bucket: OpenBucket, address: Address): void {
    this.#pruner.appended(bucket, address)
  }

  async #openBucket(name: BucketName): Promise<OpenBucket> {
    if (this.#closing) throw new Error('the engine is closed')
    const store = await this.#store.open(name)
    const bucket: OpenBucket = new OpenBucket(name, store, {
      features: this.#store.features,
      clock: this.clock,
      budget: this.#budget,
      cacheBytes: BUCKET_CACHE_BYTES,
      graceMs: this.#options.graceMs,
      forgets: (layer) => this.layers.of(layer).retention !== undefined,
      onLost: () => this.#discard(bucket),
      onLapse: (lapsing, exp) => this.#lapse(lapsing, exp),
      onBackgroundError: this.#options.onBackgroundError,
    })
    await bucket.start()
    this.#open.set(name, bucket)
    this.#pruner.opened(bucket)
    // What lapsed while nobody looked is found by the first sweep.
    this.#lapse(bucket, 0)
    // Only when those who asked for a bucket have begun to use it: until then it looks idle.
    if (this.#open.size > this.#options.maxOpenBuckets) setImmediate(() => this.#closeLeastUsed())
    return bucket
  }

  #lapse(bucket: OpenBucket, exp: number): void {
    bucket.nextLapse = Math.min(bucket.nextLapse, exp)
    // Heard of late, after a sweep that looked further: the next one has to look there again.
    if (bucket.sweptUpTo !== undefined && bucket.sweptUpTo >= exp) bucket.sweptUpTo = exp - 1
    this.#lapsing.add(bucket)
  }

  #discard(bucket: OpenBucket): void {
    if (this.#open.get(bucket.name) === bucket) this.#open.delete(bucket.name)
    this.#lapsing.delete(bucket)
    this.#pruner.forget(bucket)
  }

  async #letGo(name: BucketName): Promise<void> {
    await this.#opening.get(name)?.catch(() => undefined)
    const open = this.#open.get(name)
    if (open === undefined) return
    this.#discard(open)
    await open.close()
  }

  #closeQuietly(bucket: OpenBucket): void {
    this.#discard(bucket)
    bucket.close().catch(this.#options.onBackgroundError)
  }

  /** A tenth at once, so that a full house does not sort itself at every new guest. */
  #closeLeastUsed(): void {
    const surplus = this.#open.size - this.#options.maxOpenBuckets
    if (surplus <= 0) return
    const idle = [...this.#open.values()].filter((bucket) => bucket.idle).sort((a, b) => a.usedAt - b.usedAt)
    for (const bucket of idle.slice(0, surplus + Math.floor(this.#options.maxOpenBuckets / 10)))
      this.#closeQuietly(bucket)
  }

  /** Clears the caches of the buckets that were not used for longest until the budget holds again. */
  #shrink(): void {
    const target = this.#options.cacheBytes * 0.75
    for (const bucket of [...this.#open.values()].sort((a, b) => a.usedAt - b.usedAt)) {
      if (this.#budget.bytes <= target) return
      bucket.cache.clear()
    }
  }

  #maintain(): void {
    if (this.#maintenance !== undefined) return
    const idleSince = this.clock() - this.#options.idleMs
    for (const bucket of this.#open.values())
      if (bucket.usedAt < idleSince && bucket.idle) this.#closeQuietly(bucket)
    // Those that were all in use when the last one opened.
    this.#closeLeastUsed()
    this.#maintenance = this.#sweep()
      .catch(this.#options.onBackgroundError)
      .finally(() => (this.#maintenance = undefined))
  }

  async #sweep(): Promise<void> {
    const now = this.clock()
    for (const bucket of this.#lapsing) {
      if (bucket.nextLapse > now || this.#closing) continue
      bucket.active++
      try {
        await sweepLapsed(bucket, now)
        if (bucket.nextLapse === Infinity) this.#lapsing.delete(bucket)
      } catch (error) {
        if (isKv4Error(error, 'bucket_not_found')) this.#discard(bucket)
        else {
          this.#lapse(bucket, now + SWEEP_RETRY_MS)
          this.#options.onBackgroundError(error)
          // The other buckets would wait as long for the same store.
          if (isKv4Error(error, 'store_unavailable')) return
        }
      } finally {
        bucket.active--
      }
    }
    await this.#pruner.run(() => this.#closing, this.#options.onBackgroundError)
  }
}

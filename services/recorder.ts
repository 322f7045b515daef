import {
  Key,
  Layer,
  SampleIds,
  isKv4Error,
  type Aggregate,
  type BucketName,
  type Engine,
  type Path,
} from '../core'

/** Where services count. */
export interface Recorder {
  /**
   * Adds one value; costs a few look-ups in memory, and is written with the next flush.
   * @param entity what is measured
   * @param measurement `router:pkt`, without the layer's prefix
   * @param who accumulates it: the key of the series
   */
  record(bucket: BucketName, entity: Path, measurement: string, who: string, value: number): void
}

export const STATS_PREFIX = '*stats:'

export interface RecorderOptions {
  readonly engine: Engine
  /** KV4_STATS_FLUSH_MS. */
  readonly flushMs: number
  readonly onBackgroundError: (error: unknown) => void
  /** Unix ms; for tests. Default Date.now. */
  readonly clock?: () => number
}

/** Samples kept in memory at most while the store does not answer; then the oldest are given up. */
const MAX_PENDING = 250_000
/** Different series in one interval that are written without waiting for its end. */
const MAX_GATHERED = 50_000
const AT_ONCE = 500
const MINUTE = 60_000

interface Tally {
  sum: number
  min: number
  max: number
  count: number
}

/** By who. */
type Tallies = Map<string, Tally>
/** By entity. */
type Measured = Map<Path, Tallies>

/** What was recorded within one minute: by bucket, measurement, entity, who. */
interface Table {
  readonly minute: number
  /** Unix ms of the first value: the time of its samples. */
  readonly at: number
  size: number
  readonly buckets: Map<BucketName, Map<string, Measured>>
}

/** A sample on its way to the store, with the name that makes a retry count once. */
interface Pending {
  readonly bucket: BucketName
  readonly measurement: string
  readonly entity: Path
  readonly who: string
  readonly at: number
  readonly id: string
  readonly value: Aggregate
}

/**
 * Gathers values and writes them, once every interval, as one sample {sum, min, max, count} per series; an interval that
 * contains the turn of a minute becomes two, so that each value counts in the minute in which it was recorded.
 *
 * A sample whose write got no answer is written again under the same time and id, which the store counts once. A crash
 * loses what was not written yet: an interval's worth, and what an unreachable store has kept waiting.
 */
export class StatsRecorder implements Recorder {
  readonly #options: RecorderOptions
  readonly #clock: () => number
  readonly #ids = new SampleIds()
  #table: Table | undefined
  #pending: Pending[] = []
  #flushing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: RecorderOptions) {
    this.#options = options
    this.#clock = options.clock ?? Date.now
  }

  record(bucket: BucketName, entity: Path, measurement: string, who: string, value: number): void {
    const now = this.#clock()
    const minute = Math.floor(now / MINUTE)
    let table = this.#table
    if (table === undefined || table.minute !== minute) {
      this.#close()
      this.#table = table = { minute, at: now, size: 0, buckets: new Map() }
    }
    let measurements = table.buckets.get(bucket)
    if (measurements === undefined) table.buckets.set(bucket, (measurements = new Map<string, Measured>()))
    let entities = measurements.get(measurement)
    if (entities === undefined) measurements.set(measurement, (entities = new Map<Path, Tallies>()))
    let keys = entities.get(entity)
    if (keys === undefined) entities.set(entity, (keys = new Map<string, Tally>()))
    const tally = keys.get(who)
    if (tally === undefined) {
      keys.set(who, { sum: value, min: value, max: value, count: 1 })
      if (++table.size >= MAX_GATHERED) this.#flushSoon()
      return
    }
    tally.sum += value
    tally.count++
    if (value < tally.min) tally.min = value
    if (value > tally.max) tally.max = value
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#flushSoon(), this.#options.flushMs).unref()
  }

  /** Writes what was recorded until now. What the store did not take waits for the next time. */
  async flush(): Promise<void> {
    this.#close()
    const flushing: Promise<void> = (this.#flushing ?? Promise.resolve())
      .then(() => this.#write())
      .finally(() => {
        if (this.#flushing === flushing) this.#flushing = undefined
      })
    this.#flushing = flushing
    await flushing
  }

  /** The last flush; after it nothing is written any more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.flush()
    if (this.#pending.length > 0)
      this.#options.onBackgroundError(
        new Error(`${this.#pending.length} samples of statistics could not be written before the end`),
      )
  }

  #flushSoon(): void {
    // A flush that is still under way waits for the store: what comes meanwhile goes on gathering.
    if (this.#flushing === undefined) this.flush().catch(this.#options.onBackgroundError)
  }

  /** The table's samples join those to be written. */
  #close(): void {
    const table = this.#table
    if (table === undefined) return
    this.#table = undefined
    const id = this.#ids.next()
    for (const [bucket, measurements] of table.buckets)
      for (const [measurement, entities] of measurements)
        for (const [entity, keys] of entities)
          for (const [who, value] of keys)
            this.#pending.push({ bucket, measurement, entity, who, at: table.at, id, value })
    const surplus = this.#pending.length - MAX_PENDING
    if (surplus <= 0) return
    this.#pending.splice(0, surplus)
    this.#options.onBackgroundError(
      new Error(`${surplus} samples of statistics were given up: the store has not answered for too long`),
    )
  }

  async #write(): Promise<void> {
    const left: Pending[] = []
    let failure: unknown
    while (this.#pending.length > 0) {
      const batch = this.#pending.splice(0, AT_ONCE)
      const outcomes = await Promise.allSettled(batch.map((sample) => this.#append(sample)))
      let refused = 0
      outcomes.forEach((outcome, i) => {
        // Of an account that is deleted nothing is counted any more.
        if (outcome.status === 'fulfilled' || isKv4Error(outcome.reason, 'bucket_not_found')) return
        failure = outcome.reason
        if (!isTemporary(failure)) return
        left.push(batch[i]!)
        refused++
      })
      // While the store does not answer at all, the rest would only wait for the same.
      if (refused === batch.length) break
    }
    this.#pending = left.concat(this.#pending)
    if (failure !== undefined) this.#options.onBackgroundError(failure)
  }

  async #append({ bucket, measurement, entity, who, at, id, value }: Pending): Promise<void> {
    await this.#options.engine
      .bucket(bucket)
      .append(
        { layer: Layer.parse(STATS_PREFIX + measurement), path: entity, key: Key.parse(who) },
        { ...value },
        { by: who, at, id },
      )
  }
}

/** Whether the same write may go well later: it may also have gone well already. */
function isTemporary(error: unknown): boolean {
  return isKv4Error(error, 'store_unavailable') || isKv4Error(error, 'overloaded')
}

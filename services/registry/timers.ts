import { BucketName, Key, Path, isKv4Error } from '../../core'
import type { Address, Bucket, Engine } from '../../core'
import { TIMER_LAYER } from './places'

export const TIMED = ['service', 'session', 'configuration'] as const
export type Timed = (typeof TIMED)[number]

/** Something that has to be looked at again. */
export interface Timer {
  readonly kind: Timed
  readonly id: string
  /** Unix ms by the platform's clock, before which looking is of no use; `-Infinity`: not known yet. */
  due: number
  /** The earliest look that was asked for since the last one began: what that one found is older. */
  asked: number
  /** Looks in a row that found nothing there. */
  absences: number
  /** A look that is under way. */
  checking?: Promise<void>
  /** Of a configuration's timer: unix ms before which everything that was written was announced too. */
  settledUpTo: number
}

/** The one timer that a bucket has for all its configuration values. */
export const CONFIGURATION_ID = '*'
const CONFIGURATION = `configuration ${CONFIGURATION_ID}`

const BY = '$sys'
const AT_ONCE = 1_000
const RETRY_MS = 1_000
const YOUNG_MS = 60_000

function addressOf(bucket: BucketName, kind: Timed, id: string): Address {
  return { layer: TIMER_LAYER, path: Path.parse(bucket), key: Key.parse(`${kind} ${id}`) }
}

/**
 * What there is to look after, over all accounts: an entry in `$sys` per lease, written before the lease and removed
 * after it – not per heartbeat – so that a node finds every lease of the platform without opening every account. In
 * memory each has the instant from which on it is worth a look; a heartbeat does not touch it, the look moves it on.
 */
export class Timers {
  readonly #bucket: Bucket
  readonly #byBucket = new Map<BucketName, Map<string, Timer>>()
  readonly #abort = new AbortController()
  #watching: Promise<void> | undefined

  constructor(
    engine: Engine,
    private readonly onBackgroundError: (error: unknown) => void,
  ) {
    this.#bucket = engine.bucket(BucketName.system)
  }

  /** Reads what there is and follows what other nodes add. */
  async start(): Promise<void> {
    const since = await this.#bucket.cursor()
    await this.#load()
    this.#watching = this.#follow(since)
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#watching
  }

  async add(bucket: BucketName, kind: Timed, id: string, due: number): Promise<void> {
    await this.#bucket.put(addressOf(bucket, kind, id), 0, { by: BY })
    this.#keep(bucket, kind, id, Date.now() - YOUNG_MS, due)
  }

  /**
   * What is there already ends earlier than it would have: its timeout was lowered. Whichever node sweeps hears of it, and
   * looks at once; where that fails it finds out when the old time is over.
   */
  sooner(bucket: BucketName, kind: Timed, id: string, due: number): void {
    this.add(bucket, kind, id, due).catch(this.onBackgroundError)
  }

  /**
   * Of something that is not there. Whoever makes it writes the timer first, so one that was written within the last
   * minute stays.
   */
  async remove(bucket: BucketName, { kind, id }: Timer): Promise<void> {
    const address = addressOf(bucket, kind, id)
    const version = await this.#bucket.get(address, { consistent: true })
    if (version !== undefined) {
      if (version.at > Date.now() - YOUNG_MS) return
      try {
        await this.#bucket.remove(address, { by: BY, expect: { n: version.n } })
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        return
      }
    }
    this.#forget(bucket, `${kind} ${id}`)
  }

  /** Unix ms: what was written to a bucket's configuration before was announced too. */
  settledUpTo(bucket: BucketName): number {
    return this.#byBucket.get(bucket)?.get(CONFIGURATION)?.settledUpTo ?? Date.now() - YOUNG_MS
  }

  /** Everything that was written and left alone before `at` (unix ms) has been looked after. */
  settled(timer: Timer, at: number): void {
    timer.settledUpTo = Math.max(timer.settledUpTo, at - YOUNG_MS)
  }

  buckets(): Iterable<BucketName> {
    return this.#byBucket.keys()
  }

  /** Those of a bucket that are worth a look at `now`. */
  due(bucket: BucketName, now: number): Timer[] {
    const due: Timer[] = []
    for (const timer of this.#byBucket.get(bucket)?.values() ?? []) if (timer.due <= now) due.push(timer)
    return due
  }

  get size(): number {
    let size = 0
    for (const timers of this.#byBucket.values()) size += timers.size
    return size
  }

  /** The bucket is gone, and what was timed in it. */
  async dropped(bucket: BucketName): Promise<void> {
    await this.#bucket.removeUnder(TIMER_LAYER, Path.parse(bucket), { by: BY })
    this.#byBucket.delete(bucket)
  }

  async #load(): Promise<void> {
    let after: Path | undefined
    for (;;) {
      const paths = await this.#bucket.paths(TIMER_LAYER, Path.root, 1, {
        consistent: true,
        limit: AT_ONCE,
        ...(after !== undefined && { after }),
      })
      for (const path of paths.items) {
        const bucket = bucketAt(path)
        if (bucket === undefined) continue
        let key: Key | undefined
        do {
          const keys = await this.#bucket.keys(
            { layer: TIMER_LAYER, path },
            { consistent: true, limit: AT_ONCE, ...(key !== undefined && { after: key }) },
          )
          for (const name of keys.items) this.#heard(bucket, name, -Infinity)
          key = keys.next
        } while (key !== undefined)
      }
      if (paths.next === undefined) return
      after = paths.next
    }
  }

  async #follow(since: string): Promise<void> {
    const { signal } = this.#abort
    let cursor = since
    while (!signal.aborted) {
      try {
        for await (const event of this.#bucket.watch({ layer: TIMER_LAYER }, { since: cursor, signal })) {
          cursor = event.cursor
          const bucket = bucketAt(event.address.path)
          if (bucket === undefined || event.kind === 'series') continue
          if (event.version.op === 'delete') this.#forget(bucket, event.address.key)
          else this.#heard(bucket, event.address.key, Date.now() - YOUNG_MS)
        }
      } catch (error) {
        if (signal.aborted) return
        this.onBackgroundError(error)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
      }
    }
  }

  /** What is made anew may end before what this node knows of under that name. */
  #heard(bucket: BucketName, name: string, settledUpTo: number): void {
    const blank = name.indexOf(' ')
    const kind = name.slice(0, blank) as Timed
    // One for many values, written again and again: that it is there says it all.
    if (kind === 'configuration' && this.#byBucket.get(bucket)?.has(name) === true) return
    this.#keep(bucket, kind, name.slice(blank + 1), settledUpTo, -Infinity)
  }

  #keep(bucket: BucketName, kind: Timed, id: string, settledUpTo: number, due: number): void {
    let timers = this.#byBucket.get(bucket)
    if (timers === undefined) this.#byBucket.set(bucket, (timers = new Map<string, Timer>()))
    const name = `${kind} ${id}`
    let timer = timers.get(name)
    if (timer === undefined) {
      timer = { kind, id, due, asked: due, absences: 0, settledUpTo }
      timers.set(name, timer)
      return
    }
    timer.due = Math.min(timer.due, due)
    timer.asked = Math.min(timer.asked, due)
    timer.absences = 0
  }

  #forget(bucket: BucketName, name: string): void {
    const timers = this.#byBucket.get(bucket)
    if (timers?.delete(name) && timers.size === 0) this.#byBucket.delete(bucket)
  }
}

function bucketAt(path: Path): BucketName | undefined {
  return BucketName.fromDatabase(`kv4_${path.slice(1)}_data`)
}

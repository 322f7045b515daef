import { BucketName, Key, Kv4Error, VersionTag, isKv4Error, valueSize } from '../core'
import type {
  Address,
  Bucket,
  Cursor,
  Engine,
  Json,
  JsonObject,
  WatchEvent,
  WatchFilter,
  WatchProgress,
} from '../core'
import { changeType, shownChange } from './change'
import { Reply } from './module'
import type { EventSource, ServiceRequest, StreamEvent } from './module'
import { WatchCursor } from './watch-cursor'
import type { Watched, WatchQuery } from './watch'

/** Changes in one answer of a long poll where the caller does not say. */
const POLL_LIMIT = 1_000
// What one answer may hold in memory, whatever its limit.
const POLL_BYTES = 4 * 1024 * 1024
// What is there already comes within this; what comes later is the next poll's.
const LULL_MS = 5
/** How long a poll reads at most, beside its wait: the next one goes on from where it came. */
const CATCH_UP_MS = 10_000
// Versions that are passed over may stand between two that are shown.
const LOOK_BACK = 4
const DAY_MS = 24 * 3600_000

export interface WatchingOptions {
  readonly engine: Pick<Engine, 'layers'>
  /** Streams and polls at once on this node (KV4_WATCH_MAX). */
  readonly most: number
  /** … of one primary account with its sub-accounts (KV4_WATCH_PER_ACCOUNT). */
  readonly mostPerAccount: number
  /** Unix ms; for tests. */
  readonly clock?: () => number
}

/** Who watches, as far as watching has to know: an HTTP request, or a frame of a socket. */
export interface Watcher {
  readonly bucket: Bucket
  readonly path: ServiceRequest['path']
  readonly lastEventId?: string
  /** Ends the watch. */
  readonly signal: AbortSignal
  /** Ends the wait of a poll, which is answered with what there is. */
  readonly closing: AbortSignal
}

/** What is watched, with every default filled in. */
interface Wanted {
  readonly bucket: Bucket
  readonly filter: WatchFilter
  readonly watched: Watched
  readonly prev: boolean
  readonly since: Cursor | undefined
}

/** A change as one kind of watcher is shown it. */
interface View {
  readonly show: Watched['show']
  readonly named: Watched['named']
  readonly prev: boolean
  readonly shown: StreamEvent | undefined
}

/**
 * Tells of changes, for every service alike: as a stream of events that goes on, or as the answer of a long poll. A watcher
 * costs one entry in the index of its bucket's feed; nothing is kept for it that the store has.
 *
 *     since ──▶ catch up from the store ──▶ live, by the index of the bucket's feed
 */
export class Watching {
  readonly #clock: () => number
  readonly #perAccount = new Map<string, number>()
  #count = 0
  /** What a change was shown as: those who watch the same are told the same text. */
  readonly #views = new WeakMap<WatchEvent, View[]>()

  constructor(private readonly options: WatchingOptions) {
    this.#clock = options.clock ?? Date.now
  }

  /** Streams and polls at the moment. */
  get size(): number {
    return this.#count
  }

  /**
   * The answer to a GET that asks to watch.
   * @throws bad_cursor, cursor_expired, bad_key, limit_reached, overloaded, bucket_not_found, store_unavailable
   */
  async answer(watcher: Watcher, watched: Watched, query: WatchQuery): Promise<Reply> {
    if (query.wait !== undefined) return this.poll(watcher, watched, query, query.wait)
    return new Reply(null, { stream: await this.stream(watcher, watched, query) })
  }

  /**
   * Every change from the cursor on, until the signal fires or the bucket goes. The ids of the events are cursors; the first
   * event only says where the watch began.
   * @throws as `answer`; later, from the stream, bucket_not_found and store_unavailable
   */
  async stream(watcher: Watcher, watched: Watched, query: WatchQuery): Promise<EventSource> {
    const wanted = this.#wanted(watcher, watched, query)
    const leave = this.enter(watcher.bucket)
    const stream = new ChangeStream(wanted, watcher.signal, leave, {
      shown: (event) => this.#shown(wanted, event),
      print: (cursor) => WatchCursor.print(cursor, this.#clock()),
    })
    await stream.begun
    return stream
  }

  /** The changes since the cursor, or the first that come within so many seconds; `next` goes on behind them. */
  async poll(watcher: Watcher, watched: Watched, query: WatchQuery, seconds: number): Promise<Reply> {
    const wanted = this.#wanted(watcher, watched, query)
    const leave = this.enter(watcher.bucket)
    const ending = new AbortController()
    const signal = AbortSignal.any([watcher.signal, ending.signal])
    const since = wanted.since ?? (await wanted.bucket.cursor().catch(leaving(leave)))
    let progress: WatchProgress | undefined
    const changes = wanted.bucket
      .watch(wanted.filter, { since, signal, follow: (of) => (progress = of) })
      [Symbol.asyncIterator]()
    const deadline = new Alarm(seconds * 1000)
    const { closing } = watcher
    const hurry = () => deadline.ring()
    if (closing.aborted) hurry()
    else closing.addEventListener('abort', hurry)
    const latest = performance.now() + seconds * 1000 + CATCH_UP_MS
    let waiting: Promise<unknown> | undefined
    try {
      const told: JsonObject[] = []
      let cursor = since
      let at = this.#clock()
      let bytes = 0
      while (told.length < (query.limit ?? POLL_LIMIT) && bytes < POLL_BYTES) {
        const next = changes.next()
        waiting = next
        const patience = told.length > 0 || seconds === 0 ? new Alarm(LULL_MS) : deadline
        let result: IteratorResult<WatchEvent> | undefined
        do result = await Promise.race([next, patience.rung])
        while (
          // Without a wait everything that is there is read, unless the store is too slow for that.
          result === undefined &&
          patience !== deadline &&
          progress?.idle !== true &&
          performance.now() < latest &&
          patience.again()
        )
        patience.stop()
        if (result === undefined) {
          cursor = progress?.position ?? cursor
          break
        }
        waiting = undefined
        if (result.done === true) break
        const event = result.value
        const shown = await this.#shown(wanted, event)
        cursor = event.cursor
        at = writtenAt(event)
        if (shown === undefined) continue
        told.push(shown.data as JsonObject)
        bytes += valueSize(shown.data!)
      }
      return new Reply(told, { next: WatchCursor.print(cursor, told.length === 0 ? this.#clock() : at) })
    } finally {
      deadline.stop()
      closing.removeEventListener('abort', hurry)
      ending.abort()
      // Not awaited: a store that is slow must not hold back the answer.
      waiting?.catch(() => undefined)
      void changes.return?.().catch(() => undefined)
      leave()
    }
  }

  #wanted({ bucket: own, path, lastEventId }: Watcher, watched: Watched, query: WatchQuery): Wanted {
    const { layer, key, depth, bucket = own } = watched
    const k = key === null ? undefined : (key ?? (query.k === undefined ? undefined : Key.parse(query.k)))
    const below = depth ?? query.depth ?? (k === undefined ? undefined : 0)
    const asked = lastEventId ?? query.since
    return {
      bucket,
      watched,
      prev: query.prev === true,
      filter: {
        path: watched.path ?? path,
        ...(layer !== undefined && { layer }),
        ...(k !== undefined && { key: k }),
        ...(below !== undefined && { depth: below }),
      },
      since: asked === undefined ? undefined : this.#since(asked, layer),
    }
  }

  #since(text: string, layer: Watched['layer']): Cursor {
    if (text === '0') return ''
    const { cursor, at } = WatchCursor.parse(text)
    const days = layer && this.options.engine.layers.of(layer).retention?.days
    if (days !== undefined && at < this.#clock() - days * DAY_MS)
      throw new Kv4Error('cursor_expired', { fields: { reason: `the layer keeps ${days} days` } })
    return cursor
  }

  /** @returns what ends it, once */
  /** A place among those who watch. @returns gives it back @throws limit_reached, overloaded */
  enter(bucket: Bucket): () => void {
    const { most, mostPerAccount } = this.options
    const { account } = BucketName.owner(bucket.name)
    const ofAccount = this.#perAccount.get(account) ?? 0
    if (ofAccount >= mostPerAccount)
      throw new Kv4Error('limit_reached', {
        fields: { reason: `${mostPerAccount} watchers`, watchers: ofAccount },
      })
    if (this.#count >= most)
      throw new Kv4Error('overloaded', {
        retryAfter: 5,
        fields: { reason: 'too many watchers on this node' },
      })
    this.#perAccount.set(account, ofAccount + 1)
    this.#count++
    let left = false
    return () => {
      if (left) return
      left = true
      this.#count--
      const rest = this.#perAccount.get(account)! - 1
      if (rest === 0) this.#perAccount.delete(account)
      else this.#perAccount.set(account, rest)
    }
  }

  /** undefined: it is passed over. */
  #shown(wanted: Wanted, event: WatchEvent): StreamEvent | undefined | Promise<StreamEvent | undefined> {
    const { watched, prev } = wanted
    const { show, named } = watched
    let views = this.#views.get(event)
    const known = views?.find((view) => view.show === show && view.named === named && view.prev === prev)
    // `only` may be of one watcher alone.
    if (watched.only?.(event.address) === false) return undefined
    if (known !== undefined) return known.shown
    const keep = (before?: JsonObject) => {
      const shown = streamEvent(watched, event, before)
      if (views === undefined) this.#views.set(event, (views = []))
      views.push({ show, named, prev, shown })
      return shown
    }
    return prev && event.kind === 'versioned' && event.version.op !== 'create'
      ? previous(wanted, event.address, event.version.n).then(keep)
      : keep()
  }
}

function leaving(leave: () => void): (error: unknown) => never {
  return (error) => {
    leave()
    throw error
  }
}

function writtenAt(event: WatchEvent): number {
  return event.kind === 'series' ? event.sample.at : event.version.at
}

/** `{version, by, at, v}` of what was shown before; undefined: nothing was, or retention has forgotten it. */
async function previous(
  { bucket, watched }: Wanted,
  address: Address,
  n: number,
): Promise<JsonObject | undefined> {
  const { items } = await bucket.history(address, {}, { after: n, limit: LOOK_BACK })
  for (const version of items) {
    if (version.op === 'delete') return undefined
    const v = watched.show === null ? null : (watched.show ?? asWritten)(address, version)
    if (v === undefined) continue
    const { by, at } = version
    return { version: VersionTag.of(version), by, at, ...(watched.show !== null && { v }) }
  }
  return undefined
}

function asWritten(_address: Address, { v }: { readonly v: Json }): Json {
  return v
}

function streamEvent(
  { show, named }: Watched,
  event: WatchEvent,
  prev: JsonObject | undefined,
): StreamEvent | undefined {
  let data = shownChange(event, { values: show === undefined })
  if (show === null) {
    const { k2: _2, k3: _3, k4: _4, ...names } = data
    data = names
  }
  if (named !== undefined) data = { ...data, ...named(event.address) }
  if (typeof show === 'function' && changeType(event) !== 'delete') {
    const v = show(event.address, event.kind === 'series' ? event.sample : event.version)
    if (v === undefined) return undefined
    data = { ...data, v }
  }
  if (prev !== undefined) data = { ...data, prev }
  return {
    id: WatchCursor.print(event.cursor, writtenAt(event)),
    event: changeType(event),
    data,
    text: JSON.stringify(data),
  }
}

interface Showing {
  readonly shown: (event: WatchEvent) => StreamEvent | undefined | Promise<StreamEvent | undefined>
  readonly print: (cursor: Cursor) => string
}

/** One watch as a stream. Written out rather than a generator, as there may be ten thousand that do nothing. */
class ChangeStream implements EventSource, AsyncIterator<StreamEvent, undefined> {
  /** Rejects where the watch cannot begin. */
  readonly begun: Promise<void>
  readonly #changes: AsyncIterator<WatchEvent>
  #first: Promise<IteratorResult<WatchEvent>> | undefined
  #progress: WatchProgress | undefined
  #start: string | undefined

  constructor(
    { bucket, filter, since }: Wanted,
    private readonly signal: AbortSignal,
    private readonly leave: () => void,
    private readonly showing: Showing,
  ) {
    let begin: () => void
    const good = new Promise<void>((resolve) => (begin = resolve))
    const follow = (progress: WatchProgress) => {
      this.#progress = progress
      begin()
    }
    this.#changes = bucket
      .watch(filter, { ...(since !== undefined && { since }), signal, follow })
      [Symbol.asyncIterator]()
    // Also of one that nobody reads.
    signal.addEventListener('abort', leave, { once: true })
    const first = this.#changes.next()
    this.#first = first
    this.begun = Promise.race([first, good]).then(() => {
      // From a cursor that the caller named he can go on by himself until the first event.
      if (since === undefined) this.#start = this.position()
    }, leaving(leave))
  }

  async next(): Promise<IteratorResult<StreamEvent, undefined>> {
    if (this.#start !== undefined) {
      const id = this.#start
      this.#start = undefined
      return { done: false, value: { id } }
    }
    try {
      for (;;) {
        const pending = this.#first ?? this.#changes.next()
        this.#first = undefined
        const result = await pending
        if (result.done === true) {
          // Who ended it may have said why.
          const { reason } = this.signal as { readonly reason: unknown }
          if (isKv4Error(reason)) throw reason
          this.leave()
          return { done: true, value: undefined }
        }
        const shown = await this.showing.shown(result.value)
        if (shown !== undefined) return { done: false, value: shown }
      }
    } catch (error) {
      this.leave()
      throw error
    }
  }

  async return(): Promise<IteratorResult<StreamEvent, undefined>> {
    this.leave()
    await this.#changes.return?.()
    return { done: true, value: undefined }
  }

  position(): string | undefined {
    const cursor = this.#progress?.position
    return cursor === undefined ? undefined : this.showing.print(cursor)
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** A timer that may be waited for again. */
class Alarm {
  rung!: Promise<undefined>
  /** Before its time. */
  ring!: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(private readonly ms: number) {
    this.again()
  }

  again(): true {
    this.rung = new Promise((resolve) => {
      this.ring = () => resolve(undefined)
      this.#timer = setTimeout(this.ring, this.ms)
    })
    return true
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

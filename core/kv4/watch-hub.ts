import type { Json } from '../json'
import type { Change, ChangeBatch, Cursor } from '../store/store'
import { addressId, placeId, addressIn } from './address'
import type { WatchEvent, WatchFilter, WatchOptions } from './api'
import { Layer } from './layer'
import { Path } from './path'
import { valueSize } from './value-size'

const MAX_QUEUED = 1_000
// Of values. They are shared among the watchers and with the cache, but a queue may be the last to hold them.
const MAX_QUEUED_BYTES = 4 * 1024 * 1024

/** A watcher's end of the live feed: a bounded queue. When it overflows the watcher catches up from the store. */
export class Subscription {
  #queue: WatchEvent[] = []
  #bytes = 0
  #overflowed = false
  #wake: (() => void) | undefined
  #lost = false
  #changes = 0

  /** The hub's batches that had been heard when the watcher went live. */
  #liveAt = Infinity

  constructor(
    readonly filter: WatchFilter,
    private readonly hub: Pick<WatchHub, 'batches' | 'end'>,
    private readonly told?: WatchOptions['passed'],
  ) {}

  /** @param size bytes of its value, roughly */
  push(event: WatchEvent, size: number): void {
    if (this.#queue.length >= MAX_QUEUED || this.#bytes + size > MAX_QUEUED_BYTES) this.overflow()
    else {
      this.#queue.push(event)
      this.#bytes += size
    }
    this.#wake?.()
  }

  /** The watcher has had everything that the store had. */
  live(): void {
    this.#liveAt = this.hub.batches
  }

  /** How far a watcher has come whose last event was at `cursor`; undefined: something is waiting for him. */
  position(cursor: Cursor): Cursor | undefined {
    if (this.#wake === undefined || this.#queue.length > 0 || this.#overflowed || this.#lost) return undefined
    return this.hub.batches > this.#liveAt ? this.hub.end : cursor
  }

  /** What was queued is worth nothing any more: the watcher has to look in the store. */
  overflow(): void {
    this.#overflowed = true
    this.#queue = []
    this.#bytes = 0
    this.#wake?.()
  }

  lose(): void {
    this.#lost = true
    this.#wake?.()
  }

  /** A batch is over. Told only to one who waits, as he has had everything before it. */
  passed(cursor: Cursor, changes: number): void {
    this.#changes += changes
    if (this.#wake === undefined || this.#queue.length > 0 || this.#overflowed || this.#lost) return
    this.told?.({ cursor, changes: this.#changes, end: true })
    this.#changes = 0
  }

  get lost(): boolean {
    return this.#lost
  }

  /** Forgets what is queued, as before a catch-up. */
  reset(): void {
    this.#queue = []
    this.#bytes = 0
    this.#overflowed = false
    this.#liveAt = Infinity
  }

  /** Everything queued, or 'overflowed'. */
  take(): readonly WatchEvent[] | 'overflowed' {
    if (this.#overflowed) return 'overflowed'
    if (this.#queue.length === 0) return []
    const taken = this.#queue
    this.#queue = []
    this.#bytes = 0
    return taken
  }

  /** Resolves when there is something to take, the bucket is lost, or the signal has fired. */
  wait(signal: AbortSignal): Promise<void> {
    if (this.#queue.length > 0 || this.#overflowed || this.#lost || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        this.#wake = undefined
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#wake = done
      signal.addEventListener('abort', done)
    })
  }
}

/**
 * Hands the live changes of a bucket to those who watch it. Watchers of one key, of one place, or of a path and what is
 * below it are found by its name, so that ten thousand idle ones cost a write nothing; only those of whole layers, or of
 * everything, are asked in turn.
 */
export class WatchHub {
  readonly #byAddress = new Map<string, Set<Subscription>>()
  readonly #byPlace = new Map<string, Set<Subscription>>()
  /** By the path from which on down they watch, of one layer or of all. */
  readonly #byTree = new Map<Path, Set<Subscription>>()
  readonly #others = new Set<Subscription>()
  /** Those that want to know what passed them by. */
  readonly #followers = new Set<Subscription>()
  #count = 0
  #batches = 0
  #end: Cursor = ''

  get size(): number {
    return this.#count
  }

  /** How many batches were heard. */
  get batches(): number {
    return this.#batches
  }

  /** Behind the last batch; `''` before the first. */
  get end(): Cursor {
    return this.#end
  }

  subscribe(filter: WatchFilter, passed?: WatchOptions['passed']): Subscription {
    const subscription = new Subscription(filter, this, passed)
    if (passed !== undefined) this.#followers.add(subscription)
    this.#count++
    const { index, id } = this.#room(filter)
    if (index === undefined) this.#others.add(subscription)
    else {
      let set = index.get(id)
      if (set === undefined) index.set(id, (set = new Set()))
      set.add(subscription)
    }
    return subscription
  }

  unsubscribe(subscription: Subscription): void {
    this.#followers.delete(subscription)
    const { index, id } = this.#room(subscription.filter)
    let removed: boolean
    if (index === undefined) removed = this.#others.delete(subscription)
    else {
      const set = index.get(id)
      removed = set?.delete(subscription) ?? false
      if (set?.size === 0) index.delete(id)
    }
    if (removed) this.#count--
  }

  heard(batch: ChangeBatch): void {
    this.#batches++
    this.#end = batch.cursor
    if (this.#count === 0) return
    batch.changes.forEach((change, i) => {
      const event = watchEvent(change, batch.cursors[i]!)
      let size: number | undefined
      for (const subscription of this.#watchersOf(change))
        subscription.push(event, (size ??= valueSize(valueOf(change))))
    })
    for (const subscription of this.#followers) subscription.passed(batch.cursor, batch.changes.length)
  }

  /** Every watcher looks in the store for what it may have missed. */
  resync(): void {
    for (const subscription of this.#all()) subscription.overflow()
  }

  lose(): void {
    for (const subscription of this.#all()) subscription.lose()
  }

  *#watchersOf(change: Change): Iterable<Subscription> {
    const { address } = change
    if (this.#byAddress.size > 0) yield* this.#byAddress.get(addressId(address)) ?? []
    if (this.#byPlace.size > 0) yield* this.#byPlace.get(placeId(address)) ?? []
    if (this.#byTree.size > 0)
      for (const path of Path.lineage(address.path))
        for (const subscription of this.#byTree.get(path) ?? [])
          if (letsThrough(subscription.filter, change)) yield subscription
    for (const subscription of this.#others) if (letsThrough(subscription.filter, change)) yield subscription
  }

  *#all(): Iterable<Subscription> {
    for (const set of this.#byAddress.values()) yield* set
    for (const set of this.#byPlace.values()) yield* set
    for (const set of this.#byTree.values()) yield* set
    yield* this.#others
  }

  #room(filter: WatchFilter): {
    readonly index: Map<string, Set<Subscription>> | undefined
    readonly id: string
  } {
    const { layer, path, key, depth } = filter
    if (path === undefined || path === Path.root) {
      if (depth !== 0 || layer === undefined) return { index: undefined, id: '' }
    } else if (layer === undefined || depth !== 0) return { index: this.#byTree, id: path }
    const place = { layer, path: path ?? Path.root }
    if (key !== undefined) return { index: this.#byAddress, id: addressId(addressIn(place, key)) }
    return { index: this.#byPlace, id: placeId(place) }
  }
}

function valueOf(change: Change): Json {
  return change.kind === 'series' ? change.sample.v : change.version.v
}

export function letsThrough(filter: WatchFilter, change: Change): boolean {
  const { layer, path, key } = change.address
  if (filter.layer === undefined ? Layer.isInternal(layer) : filter.layer !== layer) return false
  if (filter.key !== undefined && filter.key !== key) return false
  const root = filter.path ?? Path.root
  if (!Path.contains(root, path)) return false
  return filter.depth === undefined || Path.depth(path) - Path.depth(root) <= filter.depth
}

export function watchEvent(change: Change, cursor: Cursor): WatchEvent {
  return { ...change, cursor }
}

import type { Change, ChangeBatch, Cursor } from '../store/store'
import { addressId, placeId } from './address'
import type { WatchEvent, WatchFilter, WatchOptions } from './api'
import { Layer } from './layer'
import { Path } from './path'

const MAX_QUEUED = 1_000

/** A watcher's end of the live feed: a bounded queue. When it overflows the watcher catches up from the store. */
export class Subscription {
  #queue: WatchEvent[] = []
  #overflowed = false
  #wake: (() => void) | undefined
  #lost = false
  #changes = 0

  constructor(
    readonly filter: WatchFilter,
    private readonly told?: WatchOptions['passed'],
  ) {}

  push(event: WatchEvent): void {
    if (this.#queue.length >= MAX_QUEUED) this.overflow()
    else this.#queue.push(event)
    this.#wake?.()
  }

  /** What was queued is worth nothing any more: the watcher has to look in the store. */
  overflow(): void {
    this.#overflowed = true
    this.#queue = []
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
    this.#overflowed = false
  }

  /** Everything queued, or 'overflowed'. */
  take(): readonly WatchEvent[] | 'overflowed' {
    if (this.#overflowed) return 'overflowed'
    if (this.#queue.length === 0) return []
    const taken = this.#queue
    this.#queue = []
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
 * Hands the live changes of a bucket to those who watch it. Watchers of one key or one place are found by its name,
 * so that ten thousand idle ones cost a write nothing; the others are asked in turn.
 */
export class WatchHub {
  readonly #byAddress = new Map<string, Set<Subscription>>()
  readonly #byPlace = new Map<string, Set<Subscription>>()
  readonly #others = new Set<Subscription>()
  /** Those that want to know what passed them by. */
  readonly #followers = new Set<Subscription>()
  #count = 0

  get size(): number {
    return this.#count
  }

  subscribe(filter: WatchFilter, passed?: WatchOptions['passed']): Subscription {
    const subscription = new Subscription(filter, passed)
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

  heard(batch: ChangeBatch, before: Cursor): void {
    if (this.#count === 0) return
    const last = batch.changes.length - 1
    batch.changes.forEach((change, i) => {
      // Going on behind an event must not skip the rest of its batch.
      const event = watchEvent(change, i === last ? batch.cursor : before)
      for (const subscription of this.#byAddress.get(addressId(change.address)) ?? [])
        subscription.push(event)
      for (const subscription of this.#byPlace.get(placeId(change.address)) ?? []) subscription.push(event)
      for (const subscription of this.#others)
        if (letsThrough(subscription.filter, change)) subscription.push(event)
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

  *#all(): Iterable<Subscription> {
    for (const set of this.#byAddress.values()) yield* set
    for (const set of this.#byPlace.values()) yield* set
    yield* this.#others
  }

  #room(filter: WatchFilter): {
    readonly index: Map<string, Set<Subscription>> | undefined
    readonly id: string
  } {
    const { layer, path, key, depth } = filter
    if (layer === undefined || path === undefined || depth !== 0) return { index: undefined, id: '' }
    if (key !== undefined) return { index: this.#byAddress, id: addressId({ layer, path, key }) }
    return { index: this.#byPlace, id: placeId({ layer, path }) }
  }
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

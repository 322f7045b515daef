import { Key, isJsonObject, isKv4Error, addressIn } from '../../core'
import type { Bucket, BucketName, Json, JsonObject, Version } from '../../core'
import type { Debt } from './lease'
import { EVENT_DAYS, PLACES } from './places'
import type { PlatformClock } from './platform-clock'
import { MAX_PLACES, TimeUuid } from './time-uuid'
import type { EventPosition } from './time-uuid'

/**
 * The events of an account, in the one order in which they were published.
 *
 *     entry 000000000041   {events: [e, e, e]}      a batch: what was published while entry 40 was on its way
 *     entry 000000000042   {events: [e]}
 *     entry 000000000043   –                        created only if it is absent, and only after 42 is there
 *
 * So what is readable is always a beginning of what will ever be: nothing appears before something that was read
 * already, whichever node wrote it. Ids are v1 UUIDs whose time grows along the feed; an event that comes late (a
 * timeout that was noticed after something else was told) has the time of its place.
 *
 * Every event has a cause, and the number of an entry (`since`) behind which alone it can stand. A publisher looks at
 * each entry between `since` and the one that it creates, so an event is published once, whoever tries again.
 */

export const EVENT_TYPES = [
  'service.join',
  'service.remove',
  'service.timeout',
  'services.timeout',
  'configuration_value.update',
  'configuration_value.remove',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

export interface RegistryEvent {
  /** v1 UUID; grows along the feed. */
  readonly id: string
  /** Unix ms: the time in `id`. */
  readonly timestamp: number
  readonly type: EventType
  readonly payload: Json
}

/** What is to be published. */
export interface Happening extends Debt {
  readonly type: EventType
  readonly payload: Json
  /** Unix ms at which it happened; the event says this time unless the feed has gone beyond it. Default: now. */
  readonly at?: number
}

type StoredEvent = RegistryEvent & { readonly cause: string }

interface Queued {
  readonly happening: Happening
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** What this process knows of one account's feed. */
interface Feed {
  /** The last entry known. */
  head: number
  lastTicks: bigint
  /** Every cause in the entries from `knownFrom` to `head`. */
  readonly causes: Set<string>
  knownFrom: number
}

const DIGITS = 12
const TTL_MS = EVENT_DAYS * 24 * 3600 * 1000
const HINT_EVERY = 32
const HINT = addressIn(PLACES.feed, Key.parse('head'))
const KEYS_AT_ONCE = 1_000
const ENTRIES_AT_ONCE = 200
const MAX_BATCH_BYTES = 256 * 1024
const MAX_CAUSES = 20_000
const MAX_FEEDS = 5_000
const BY = '$sys'

function keyOf(entry: number): Key {
  return Key.parse(String(entry).padStart(DIGITS, '0'))
}

function storedEvents(version: Version): readonly StoredEvent[] {
  const value = version.v
  return (isJsonObject(value) ? value.events : []) as unknown as readonly StoredEvent[]
}

function plain({ id, timestamp, type, payload }: StoredEvent): RegistryEvent {
  return { id, timestamp, type, payload }
}

function approximateSize({ payload }: Happening): number {
  return JSON.stringify(payload).length + 200
}

export class EventLog {
  readonly #feeds = new Map<BucketName, Promise<Feed>>()
  readonly #queues = new Map<BucketName, Queued[]>()

  constructor(private readonly clock: PlatformClock) {}

  /** A number such that whatever is published from now on stands behind that entry. */
  async head(bucket: Bucket): Promise<number> {
    return (await this.#feed(bucket)).head
  }

  /** Whether an event with that cause stands in the feed, behind the entry `since`. */
  async has(bucket: Bucket, { cause, since }: Debt): Promise<boolean> {
    const feed = await this.#feed(bucket)
    await this.#know(bucket, feed, since + 1)
    await this.#catchUp(bucket, feed)
    return feed.causes.has(cause)
  }

  /** Resolves when the event stands in the feed, by this call or by an earlier one. */
  publish(bucket: Bucket, happening: Happening): Promise<void> {
    return new Promise((resolve, reject) => {
      const queued: Queued = { happening, resolve, reject }
      const queue = this.#queues.get(bucket.name)
      if (queue !== undefined) {
        queue.push(queued)
        return
      }
      this.#queues.set(bucket.name, [queued])
      void this.#run(bucket)
    })
  }

  /**
   * Events from a position on, oldest first, at most `limit`; `next` is the position behind the last of them.
   */
  async read(
    bucket: Bucket,
    from: EventPosition,
    limit: number,
  ): Promise<{ readonly events: readonly RegistryEvent[]; readonly next: EventPosition }> {
    const events: RegistryEvent[] = []
    let next = from
    while (events.length < limit) {
      const page = await bucket.entries(PLACES.events, {
        limit: Math.min(ENTRIES_AT_ONCE, limit - events.length),
        ...(next.entry > 1 && { after: keyOf(next.entry - 1) }),
      })
      for (const { key, version } of page.items) {
        const entry = Number(key)
        const all = storedEvents(version)
        for (let place = entry === next.entry ? next.place : 0; place < all.length; place++) {
          if (events.length === limit) return { events, next }
          events.push(plain(all[place]!))
          next = { entry, place: place + 1 }
        }
        next = { entry: entry + 1, place: 0 }
      }
      if (page.next === undefined) break
    }
    return { events, next }
  }

  /** The first event at or after an instant (a v1 UUID), or the end of the feed. */
  async seek(bucket: Bucket, uuid: string): Promise<EventPosition & { readonly exact: boolean }> {
    const guess = TimeUuid.position(uuid)
    if (guess.entry > 0 && (await this.#at(bucket, guess))?.id === uuid) return { ...guess, exact: true }
    return { ...(await this.#seekTicks(bucket, TimeUuid.ticks(uuid))), exact: false }
  }

  /** The first event at or after an instant, unix ms. */
  seekTime(bucket: Bucket, ms: number): Promise<EventPosition> {
    return this.#seekTicks(bucket, TimeUuid.ticksOf(ms))
  }

  /** Behind the last event. */
  async end(bucket: Bucket): Promise<EventPosition> {
    const feed = await this.#feed(bucket)
    await this.#catchUp(bucket, feed)
    return { entry: feed.head + 1, place: 0 }
  }

  async #at(bucket: Bucket, { entry, place }: EventPosition): Promise<StoredEvent | undefined> {
    const version = await bucket.get(addressIn(PLACES.events, keyOf(entry)))
    return version && storedEvents(version)[place]
  }

  async #seekTicks(bucket: Bucket, ticks: bigint): Promise<EventPosition> {
    const { items } = await bucket.keys(PLACES.events, { limit: 1 })
    const { entry: end } = await this.end(bucket)
    // The entry sought is in [low, high]; high is the end or an entry that is late enough.
    let low = items[0] === undefined ? end : Number(items[0])
    let high = end
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const version = await bucket.get(addressIn(PLACES.events, keyOf(middle)))
      const last = version && storedEvents(version).at(-1)
      if (last === undefined || TimeUuid.ticks(last.id) < ticks) low = middle + 1
      else high = middle
    }
    const version = await bucket.get(addressIn(PLACES.events, keyOf(low)))
    const place = version ? storedEvents(version).findIndex(({ id }) => TimeUuid.ticks(id) >= ticks) : 0
    return { entry: low, place: Math.max(0, place) }
  }

  async #run(bucket: Bucket): Promise<void> {
    // Lets the rest of this turn's publishers into the first batch.
    await Promise.resolve()
    const queue = this.#queues.get(bucket.name)!
    while (queue.length > 0) {
      const batch: Queued[] = []
      let size = 0
      while (queue.length > 0 && batch.length < MAX_PLACES) {
        size += approximateSize(queue[0]!.happening)
        if (batch.length > 0 && size > MAX_BATCH_BYTES) break
        batch.push(queue.shift()!)
      }
      try {
        await this.#append(
          bucket,
          batch.map(({ happening }) => happening),
        )
        for (const { resolve } of batch) resolve()
      } catch (error) {
        // Whether it was stored is unknown, so what was known of the end is too.
        this.#feeds.delete(bucket.name)
        for (const { reject } of batch) reject(error)
      }
    }
    this.#queues.delete(bucket.name)
  }

  async #append(bucket: Bucket, happenings: readonly Happening[]): Promise<void> {
    const feed = await this.#feed(bucket)
    const from = Math.min(...happenings.map(({ since }) => since)) + 1
    for (;;) {
      await this.#know(bucket, feed, from)
      const seen = new Set<string>()
      const fresh = happenings.filter(({ cause }) => {
        if (feed.causes.has(cause) || seen.has(cause)) return false
        seen.add(cause)
        return true
      })
      if (fresh.length === 0) return
      const entry = feed.head + 1
      const now = this.clock.now()
      let ticks = feed.lastTicks
      const events = fresh.map(({ type, payload, cause, at = now }, place): StoredEvent => {
        const happened = TimeUuid.ticksOf(Math.min(at, now))
        ticks = happened > ticks ? happened : ticks + 1n
        return {
          id: TimeUuid.ofEvent(ticks, { entry, place }),
          timestamp: TimeUuid.ms(ticks),
          type,
          payload,
          cause,
        }
      })
      try {
        await bucket.put(addressIn(PLACES.events, keyOf(entry)), { events } as unknown as JsonObject, {
          by: BY,
          expect: 'absent',
          ttl: TTL_MS,
        })
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        // Another node was faster. What it published may be what we came to publish.
        await this.#catchUp(bucket, feed)
        continue
      }
      this.#learn(feed, entry, events)
      if (entry % HINT_EVERY === 0) await bucket.put(HINT, entry, { by: BY })
      return
    }
  }

  async #feed(bucket: Bucket): Promise<Feed> {
    for (;;) {
      const found = this.#found(bucket)
      const feed = await found
      if (await this.#isOf(bucket, feed)) return feed
      if (this.#feeds.get(bucket.name) === found) this.#feeds.delete(bucket.name)
    }
  }

  /** false: the account was deleted and made anew since, and has another feed. */
  async #isOf(bucket: Bucket, { head, lastTicks }: Feed): Promise<boolean> {
    // Of what is that old nothing is left to compare.
    if (head === 0 || TimeUuid.ms(lastTicks) + TTL_MS <= this.clock.now()) return true
    for (const consistent of [false, true]) {
      const version = await bucket.get(addressIn(PLACES.events, keyOf(head)), { consistent })
      const last = version && storedEvents(version).at(-1)
      if (last !== undefined && TimeUuid.ticks(last.id) === lastTicks) return true
    }
    return false
  }

  #found(bucket: Bucket): Promise<Feed> {
    let feed = this.#feeds.get(bucket.name)
    if (feed === undefined) {
      feed = this.#find(bucket)
      this.#feeds.set(bucket.name, feed)
      feed.catch(() => this.#feeds.delete(bucket.name))
      if (this.#feeds.size > MAX_FEEDS)
        for (const name of this.#feeds.keys()) {
          if (this.#queues.has(name) || name === bucket.name) continue
          this.#feeds.delete(name)
          break
        }
    }
    return feed
  }

  async #find(bucket: Bucket): Promise<Feed> {
    const hint = await bucket.get(HINT, { consistent: true })
    let head = typeof hint?.v === 'number' ? hint.v : 0
    for (;;) {
      const { items, next } = await bucket.keys(PLACES.events, {
        consistent: true,
        limit: KEYS_AT_ONCE,
        ...(head > 0 && { after: keyOf(head) }),
      })
      if (items.length > 0) head = Number(items.at(-1))
      if (next === undefined) break
    }
    const last = await bucket.get(addressIn(PLACES.events, keyOf(head)), { consistent: true })
    const events = last === undefined ? [] : storedEvents(last)
    const feed: Feed = { head: head - 1, lastTicks: 0n, causes: new Set(), knownFrom: head }
    this.#learn(feed, head, events)
    return feed
  }

  /** Entries that other nodes added. */
  async #catchUp(bucket: Bucket, feed: Feed): Promise<void> {
    for (;;) {
      const entry = feed.head + 1
      const version = await bucket.get(addressIn(PLACES.events, keyOf(entry)), { consistent: true })
      if (version === undefined) return
      // A publisher of this process may have learned of it meanwhile.
      if (feed.head < entry) this.#learn(feed, entry, storedEvents(version))
    }
  }

  /** Takes in the causes of the entries from `from` on. */
  async #know(bucket: Bucket, feed: Feed, from: number): Promise<void> {
    let after = Math.max(0, from - 1)
    const end = feed.knownFrom
    while (after + 1 < end) {
      const { items, next } = await bucket.entries(PLACES.events, {
        limit: ENTRIES_AT_ONCE,
        ...(after > 0 && { after: keyOf(after) }),
      })
      for (const { key, version } of items) {
        after = Number(key)
        if (after >= end) break
        for (const { cause } of storedEvents(version)) feed.causes.add(cause)
      }
      if (next === undefined) break
    }
    feed.knownFrom = Math.min(feed.knownFrom, Math.max(1, from))
  }

  #learn(feed: Feed, entry: number, events: readonly StoredEvent[]): void {
    if (feed.causes.size > MAX_CAUSES) {
      feed.causes.clear()
      feed.knownFrom = entry
    }
    for (const { cause } of events) feed.causes.add(cause)
    // A reader that looked for the end may have been there before.
    if (entry <= feed.head) return
    const last = events.at(-1)
    if (last !== undefined) feed.lastTicks = TimeUuid.ticks(last.id)
    feed.head = entry
  }
}

import { Kv4Error } from '../errors'
import type { BucketStore, Change } from '../store/store'
import { addressId } from './address'
import type { WatchEvent, WatchFilter, WatchOptions, WatchProgress } from './api'
import type { WatchHub } from './watch-hub'
import { letsThrough, watchEvent } from './watch-hub'

const REMEMBERED = 5_000

/**
 * A watcher is in one of two states:
 *
 *     catching up (reads the store's feed from its cursor) ──end reached──▶ live (takes what the hub queues)
 *           ▲──────────────── queue overflowed, or feed interrupted ───────────────┘
 *
 * The queue is opened before the catch-up begins, so nothing falls between; what both tell is told once.
 */
export async function* watch(
  store: BucketStore,
  hub: WatchHub,
  filter: WatchFilter,
  { since, signal, passed, follow }: WatchOptions,
  started: Promise<void>,
): AsyncGenerator<WatchEvent, void, undefined> {
  const subscription = hub.subscribe(filter, passed)
  try {
    await started
    let cursor = since ?? (await store.cursor())
    // Also without `since`: the queue opened first, but the feed may be behind the cursor that was just read.
    let told = new Told()
    let behind = true
    let asked = true
    const progress: WatchProgress = {
      get position() {
        if (!asked) return undefined
        return behind ? cursor : subscription.position(cursor)
      },
      get idle() {
        return !behind && subscription.position(cursor) !== undefined
      },
    }
    let followed = false
    while (!signal.aborted) {
      if (behind) {
        told = new Told()
        subscription.reset()
        for await (const batch of store.changes(cursor, { live: false, signal })) {
          if (!followed) follow?.(progress)
          followed = true
          for (const [i, change] of batch.changes.entries()) {
            if (!letsThrough(filter, change)) continue
            told.add(change)
            asked = false
            cursor = batch.cursors[i]!
            yield watchEvent(change, cursor)
            asked = true
          }
          cursor = batch.cursor
          passed?.({ cursor, changes: batch.changes.length, end: false })
        }
        if (signal.aborted) return
        passed?.({ cursor, changes: 0, end: true })
        subscription.live()
        if (!followed) follow?.(progress)
        followed = true
      }
      const taken = subscription.take()
      behind = taken === 'overflowed'
      if (taken === 'overflowed') continue
      for (const event of taken) {
        // Told by the catch-up, which is farther by now.
        if (told.has(event)) continue
        cursor = event.cursor
        yield event
      }
      if (subscription.lost) throw new Kv4Error('bucket_not_found')
      if (taken.length === 0) await subscription.wait(signal)
    }
  } finally {
    hub.unsubscribe(subscription)
  }
}

/** The last changes that a catch-up told, by identity. */
class Told {
  readonly #ids = new Set<string>()

  add(change: Change): void {
    this.#ids.add(identity(change))
    if (this.#ids.size > REMEMBERED) for (const oldest of this.#ids) return void this.#ids.delete(oldest)
  }

  has(change: Change | WatchEvent): boolean {
    return this.#ids.size > 0 && this.#ids.has(identity(change))
  }
}

function identity(change: Change | WatchEvent): string {
  const what = change.kind === 'series' ? `${change.sample.at}-${change.sample.id}` : String(change.version.n)
  return `${addressId(change.address)}\n${what}`
}

import { addressIn } from './address'
import type { BucketStore } from '../store/store'
import type { Address, Place } from './address'
import type { Listing, PathHistoryCursor, PathRow, TimeRange } from './api'
import type { Version } from './version'

// One call of the store looks at so many numbers; a million versions take four calls.
const PROBES = 32
const KEYS_AT_ONCE = 500

/** The newest version that was written at or before an instant; undefined: none, or retention has forgotten it. */
export async function versionAsOf(
  store: BucketStore,
  address: Address,
  head: Version | undefined,
  instant: number,
): Promise<Version | undefined> {
  if (head === undefined || head.at <= instant) return head
  let found: Version | undefined
  // Times never decrease with n. `low` is at or before the instant or forgotten, `high` is after it.
  let low = 0
  let high = head.n
  while (high - low > 1) {
    const step = Math.max(1, Math.ceil((high - low - 1) / PROBES))
    const numbers: number[] = []
    for (let n = low + step; n < high; n += step) numbers.push(n)
    if (numbers.length === 0) numbers.push(low + 1)
    const versions = await store.pick(address, numbers)
    let next = high
    for (const [i, n] of numbers.entries()) {
      const version = versions[i]
      if (version !== undefined && version.at > instant) {
        next = n
        break
      }
      low = n
      found = version
    }
    high = next
  }
  return found
}

/** One key's versions, newest first, below `after`. */
export async function keyHistory(
  store: BucketStore,
  address: Address,
  head: Version | undefined,
  range: TimeRange,
  after: number | undefined,
  limit: number,
): Promise<Listing<Version, number>> {
  const newest = range.to === undefined ? head : await versionAsOf(store, address, head, range.to)
  if (newest === undefined) return { items: [] }
  const below = Math.min(newest.n + 1, after ?? Infinity)
  const versions = await store.versions(address, { below, order: 'newest', limit: limit + 1 })
  const items = range.from === undefined ? versions : versions.filter((version) => version.at >= range.from!)
  if (items.length <= limit) return { items }
  return { items: items.slice(0, limit), next: items[limit - 1]!.n }
}

/**
 * The versions of all keys of a place, merged newest first. Reads each key's newest `limit` and keeps no more than the
 * page asked for, so its cost grows with the number of keys, its memory does not.
 */
export async function placeHistory(
  store: BucketStore,
  place: Place,
  range: TimeRange,
  after: PathHistoryCursor | undefined,
  limit: number,
): Promise<Listing<PathRow, PathHistoryCursor>> {
  let rows: PathRow[] = []
  let lastKey: Address['key'] | undefined
  for (;;) {
    const keys = await store.keys(place, 'versioned', {
      limit: KEYS_AT_ONCE,
      ...(lastKey !== undefined && { after: lastKey }),
    })
    if (keys.length === 0) break
    const addresses = keys.map(({ key }) => addressIn(place, key))
    const heads = await store.heads(addresses, 'versioned')
    for (const [i, address] of addresses.entries()) {
      const { to, below } = behind(after, address.key, range.to)
      const page = await keyHistory(
        store,
        address,
        heads[i],
        { ...range, ...(to !== undefined && { to }) },
        below,
        limit + 1,
      )
      for (const version of page.items) rows.push({ key: address.key, version })
      if (rows.length > 4 * (limit + 1)) rows = rows.sort(newestFirst).slice(0, limit + 1)
    }
    lastKey = keys.at(-1)!.key
  }
  rows.sort(newestFirst)
  if (rows.length <= limit) return { items: rows }
  const { key, version } = rows[limit - 1]!
  return { items: rows.slice(0, limit), next: { at: version.at, key, n: version.n } }
}

/** Where the rows of one key that come behind the cursor begin. */
function behind(
  after: PathHistoryCursor | undefined,
  key: string,
  to: number | undefined,
): { to?: number; below?: number } {
  if (after === undefined) return to === undefined ? {} : { to }
  if (key === after.key) return { below: after.n }
  // Rows of one instant are ordered by key.
  return { to: Math.min(to ?? Infinity, key < after.key ? after.at - 1 : after.at) }
}

interface Ordered {
  readonly key: string
  readonly version: { readonly at: number; readonly n: number }
}

function newestFirst(a: Ordered, b: Ordered): number {
  if (a.version.at !== b.version.at) return b.version.at - a.version.at
  if (a.key !== b.key) return a.key < b.key ? -1 : 1
  return b.version.n - a.version.n
}

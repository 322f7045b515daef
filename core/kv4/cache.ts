import NodeCache from 'node-cache'
import type { Address, Place } from './address'
import { addressId, placeId } from './address'
import { KeptSums } from './kept-sums'
import type { Layer } from './layer'
import { Path } from './path'
import type { Version } from './version'
import { valueSize } from './value-size'

/** What is known of an address: its latest version (a `delete` too), or null: nothing was ever written there. */
export type Known = Version | null

/** Changed in place: taking in another object costs node-cache several times a look-up. */
interface Cached {
  version: Version | undefined
  /** Bytes it counts for. */
  size: number
  /** Listings know of it; false: it was read, perhaps before the feed tells of it. */
  listed: boolean
}

const ENTRY_OVERHEAD = 200

/** Counts the bytes of all caches of an engine, so that the engine can clear the least used ones. */
export interface CacheBudget {
  bytes: number
}

/** A read on its way to the store. A change that arrives meanwhile makes it `overtaken`: told to its callers, not kept. */
export interface PendingRead {
  overtaken: boolean
  /** Calls that read the same entry at once. */
  readers: number
}

/** Whether a change alters a listing. */
type Touches = (changed: Place) => boolean

interface PendingListing {
  overtaken: boolean
  readonly touches: Touches
}

interface CachedListing {
  readonly page: unknown
  readonly touches: Touches
}

/**
 * A bucket's hot entries and listings. Two generations of node-cache bound it: what is read moves into the young one;
 * when that is full the old one goes as a whole, and with it what was not used since. Nothing here goes back in time:
 * an entry is only replaced by a newer version.
 */
export class BucketCache {
  readonly sums = new KeptSums()
  #young = newGeneration()
  #old = newGeneration()
  #youngBytes = 0
  #oldBytes = 0
  #listings = new Map<Layer, Map<string, CachedListing>>()
  readonly #pendingReads = new Map<string, PendingRead>()
  readonly #pendingListings = new Set<PendingListing>()

  constructor(
    private readonly budget: CacheBudget,
    private readonly generationBytes: number,
  ) {}

  get bytes(): number {
    return this.#youngBytes + this.#oldBytes
  }

  get(id: string): Known | undefined {
    const cached = this.#cached(id)
    return cached && (cached.version ?? null)
  }

  /** Announces a read of the entry, which ends with `settle` or `abandon`. */
  reading(id: string): PendingRead {
    let pending = this.#pendingReads.get(id)
    if (pending === undefined) this.#pendingReads.set(id, (pending = { overtaken: false, readers: 0 }))
    pending.readers++
    return pending
  }

  abandon(id: string, pending: PendingRead): void {
    if (--pending.readers === 0 && this.#pendingReads.get(id) === pending) this.#pendingReads.delete(id)
  }

  /**
   * Takes what the store said to a read, unless something newer is known; what the caller should answer. `storeDecides`:
   * others write too, and the caller asked past the cache, so that an older answer means that the bucket or the entry
   * was made anew, unless it was overtaken while it was under way.
   */
  settle(
    id: string,
    pending: PendingRead,
    version: Version | undefined,
    { keep, storeDecides }: { readonly keep: boolean; readonly storeDecides: boolean },
  ): Version | undefined {
    this.abandon(id, pending)
    const known = this.#cached(id)
    const ahead = (known?.version?.n ?? 0) - (version?.n ?? 0)
    if (known !== undefined && ahead >= 0) {
      if (!storeDecides || pending.overtaken) return keep ? known.version : version
      if (ahead > 0) this.forget(id)
      return version
    }
    // Known but older: newer knowledge always replaces older, even while the feed is silent.
    if ((keep && !pending.overtaken) || known !== undefined) this.#keep(id, known, version, false)
    return version
  }

  /** A write that this process was acknowledged. @param id the address's */
  wrote(id: string, address: Address, version: Version, keep: boolean): void {
    const known = this.#cached(id)
    this.#overtake(id, address, listed(known), version)
    if (known?.version !== undefined && known.version.n > version.n) return
    if (keep || known !== undefined) this.#keep(id, known, version, true)
  }

  /** A change that the feed tells of. */
  heard(address: Address, version: Version, kind: 'versioned' | 'current'): void {
    const id = addressId(address)
    const known = this.#cached(id)
    const same = known?.version?.n === version.n && known.version.op === version.op
    if (same && known.listed) return
    this.#overtake(id, address, listed(known), version)
    if (known === undefined) return
    if (same) known.listed = true
    else if ((known.version?.n ?? 0) < version.n) this.#keep(id, known, version, true)
    // A current entry that was removed and made again by a node whose clock is behind: only the store knows.
    else if (kind === 'current') this.forget(id)
  }

  /** A sample was appended (`at`: unix ms): sums and listings of its layer may have changed. */
  appended(address: Address, at: number): void {
    this.#touch(address)
    this.sums.appended(address, at)
  }

  forget(id: string): void {
    const pending = this.#pendingReads.get(id)
    if (pending !== undefined) {
      pending.overtaken = true
      this.#pendingReads.delete(id)
    }
    this.#young.del(id)
    this.#old.del(id)
  }

  knownListing<Page>(layer: Layer, name: string): Page | undefined {
    return this.#listings.get(layer)?.get(name)?.page as Page | undefined
  }

  /** A page of a listing, the same object until a change that `touches` it. */
  async listing<Page>(
    layer: Layer,
    name: string,
    touches: Touches,
    keep: () => boolean,
    read: () => Promise<Page>,
  ): Promise<Page> {
    const known = keep() ? this.knownListing<Page>(layer, name) : undefined
    if (known !== undefined) return known
    const pending: PendingListing = { overtaken: false, touches }
    this.#pendingListings.add(pending)
    try {
      const page = await read()
      if (!pending.overtaken && keep()) this.#keepListing(layer, name, { page, touches })
      return page
    } finally {
      this.#pendingListings.delete(pending)
    }
  }

  clear(): void {
    for (const pending of this.#pendingReads.values()) pending.overtaken = true
    this.#pendingReads.clear()
    for (const pending of this.#pendingListings) pending.overtaken = true
    this.budget.bytes -= this.bytes
    this.#young = newGeneration()
    this.#old = newGeneration()
    this.#youngBytes = this.#oldBytes = 0
    this.#listings = new Map()
    this.sums.clear()
  }

  /** In the young generation from now on. */
  #cached(id: string): Cached | undefined {
    const young = this.#young.get<Cached>(id)
    if (young !== undefined) return young
    const old = this.#old.get<Cached>(id)
    if (old !== undefined) {
      this.#young.set(id, old)
      this.#grow(old.size)
    }
    return old
  }

  /** @param cached what is kept under that id */
  #keep(id: string, cached: Cached | undefined, version: Version | undefined, listed: boolean): void {
    const size = ENTRY_OVERHEAD + id.length * 2 + (version === undefined ? 0 : valueSize(version.v))
    const grown = size - (cached?.size ?? 0)
    if (cached === undefined) this.#young.set<Cached>(id, { version, size, listed })
    else {
      cached.version = version
      cached.size = size
      cached.listed = listed
    }
    this.#grow(grown)
  }

  #grow(bytes: number): void {
    this.#youngBytes += bytes
    this.budget.bytes += bytes
    if (this.#youngBytes > this.generationBytes) this.#rotate()
  }

  #rotate(): void {
    this.budget.bytes -= this.#oldBytes
    this.#old = this.#young
    this.#oldBytes = this.#youngBytes
    this.#young = newGeneration()
    this.#youngBytes = 0
  }

  /** @param before what listings know of */
  #overtake(id: string, address: Address, before: Version | undefined, version: Version): void {
    const pending = this.#pendingReads.get(id)
    if (pending !== undefined) {
      pending.overtaken = true
      this.#pendingReads.delete(id)
    }
    // An update leaves listings of keys as they are, unless it changes when the key lapses.
    if (version.op !== 'update' || before === undefined || before.exp !== version.exp) this.#touch(address)
  }

  #touch(changed: Address): void {
    for (const pending of this.#pendingListings) if (pending.touches(changed)) pending.overtaken = true
    const listings = this.#listings.get(changed.layer)
    if (listings === undefined) return
    for (const [name, listing] of listings) if (listing.touches(changed)) listings.delete(name)
  }

  #keepListing(layer: Layer, name: string, listing: CachedListing): void {
    let listings = this.#listings.get(layer)
    if (listings === undefined || listings.size >= MAX_LISTINGS)
      this.#listings.set(layer, (listings = new Map<string, CachedListing>()))
    if (this.#listings.size > MAX_LISTINGS) this.#listings = new Map([[layer, listings]])
    listings.set(name, listing)
  }
}

const MAX_LISTINGS = 100

/** Listings up to this many rows are kept. */
export const MAX_CACHED_ROWS = 2_000

export function keysListing(place: Place, after: string | undefined, limit: number) {
  const id = placeId(place)
  return {
    name: `keys\n${id}\n${limit}\n${after ?? ''}`,
    touches: (changed: Place) => changed.layer === place.layer && changed.path === place.path,
  }
}

export function pathsListing(
  layer: Layer,
  under: Path,
  depth: number | undefined,
  after: string | undefined,
  limit: number,
) {
  return {
    name: pathsName(under, depth, after, limit),
    touches: (changed: Place) => changed.layer === layer && Path.contains(under, changed.path),
  }
}

export function pathsName(
  under: Path,
  depth: number | undefined,
  after: string | undefined,
  limit: number,
): string {
  return `paths\n${under}\n${depth ?? ''}\n${limit}\n${after ?? ''}`
}

function listed(cached: Cached | undefined): Version | undefined {
  return cached?.listed === true ? cached.version : undefined
}

function newGeneration(): NodeCache {
  // checkperiod 0: no timer per bucket; entries leave with their generation, never by age.
  return new NodeCache({ stdTTL: 0, checkperiod: 0, useClones: false })
}

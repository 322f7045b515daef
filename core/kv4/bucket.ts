import { Kv4Error, isKv4Error } from '../errors'
import type { Json } from '../json'
import type { AggregateQuery, AggregateRow, Cursor, KeyRow } from '../store/store'
import type { Address, Place } from './address'
import { addressId, addressIn } from './address'
import type {
  Bucket,
  Entry,
  Listing,
  PageOptions,
  PathHistoryCursor,
  PathRow,
  PutOptions,
  ReadOptions,
  TimeRange,
  WatchEvent,
  WatchFilter,
  WatchOptions,
  WriteMark,
  WriteOptions,
} from './api'
import type { BucketName } from './bucket-name'
import { MAX_CACHED_ROWS, keysListing, pathsListing, pathsName } from './cache'
import type { EntryWrite } from './committer'
import { keyHistory, placeHistory, versionAsOf } from './history'
import type { Key } from './key'
import { Layer } from './layer'
import type { LayerRegistry } from './layer-registry'
import type { OpenBucket } from './open-bucket'
import { Path } from './path'
import { MarkedWrites } from './marked-writes'
import { peekHead, readHead, readHeads } from './reader'
import { findBySecondary, putOnHead, removeEntry } from './secondary'
import type { Sample, Slot, Version } from './version'
import { isLive } from './version'
import { watch } from './watch'

/** What a page of a listing holds at most where its caller does not say. */
export const DEFAULT_LIMIT = 1_000
const MAX_LIMIT = 10_000
const REMOVE_AT_ONCE = 500
const MAX_TTL_MS = 10 * 366 * 24 * 3600 * 1000
const ALL_PATHS = pathsName(Path.root, undefined, undefined, DEFAULT_LIMIT)

/** What a bucket needs of the engine that it belongs to. */
export interface BucketHost {
  readonly layers: LayerRegistry
  readonly clock: () => number
  /** The open bucket, if it is open. */
  peek(name: BucketName): OpenBucket | undefined
  /** @throws bucket_not_found, store_unavailable */
  open(name: BucketName): Promise<OpenBucket>
  sampleId(): string
  wrote(bucket: OpenBucket, address: Address, version: Version): void
  appended(bucket: OpenBucket, address: Address): void
}

/** The public method checks and prepares; what it then calls gets exact arguments. */
export class EngineBucket implements Bucket {
  constructor(
    readonly name: BucketName,
    private readonly host: BucketHost,
    private readonly writes?: MarkedWrites,
  ) {}

  marked(mark: WriteMark): Bucket {
    return new EngineBucket(this.name, this.host, new MarkedWrites(mark))
  }

  async get(
    address: Address,
    options?: ReadOptions & { readonly at?: number },
  ): Promise<Version | undefined> {
    if (options === undefined || (options.consistent !== true && options.at === undefined)) {
      const known = this.peek(address)
      if (known !== undefined) return known ?? undefined
    }
    const kind = this.#entryKind(address.layer)
    return this.#with(async (open) => {
      const head = await readHead(open, address, kind, options?.consistent ?? false)
      const instant = options?.at
      if (instant === undefined) return this.#live(head)
      this.#assertVersioned(address.layer)
      const version = await versionAsOf(open.store, address, head, instant)
      return isLive(version, instant) ? version : undefined
    })
  }

  peek(address: Address): Version | null | undefined {
    this.#entryKind(address.layer)
    const open = this.host.peek(this.name)
    const known = open && peekHead(open, addressId(address))
    return known && (this.#live(known) ?? null)
  }

  async find(place: Place, slot: Slot, value: string, options?: ReadOptions): Promise<Entry | undefined> {
    const kind = this.#entryKind(place.layer)
    return this.#with((open) => findBySecondary(open, place, kind, slot, value, options?.consistent ?? false))
  }

  async put(address: Address, value: Json, options: PutOptions): Promise<Version> {
    const kind = this.#entryKind(address.layer)
    if (options.ttl !== undefined && !(options.ttl > 0 && options.ttl <= MAX_TTL_MS))
      throw new Kv4Error('bad_ttl')
    // As `#with`, without its two promises more: this is the way of most writes.
    const open = this.host.peek(this.name) ?? (await this.host.open(this.name))
    open.active++
    try {
      const version =
        options.keys === undefined && this.writes === undefined
          ? (await open.committer.write(entryWrite(address, kind, value, options)))!
          : await putOnHead(open, address, kind, value, options, this.writes)
      this.host.wrote(open, address, version)
      return version
    } finally {
      open.active--
    }
  }

  async modify(
    address: Address,
    change: (current: Version | undefined) => Json,
    options: Omit<PutOptions, 'expect'>,
  ): Promise<Version> {
    let consistent = false
    for (;;) {
      const current = await this.get(address, { consistent })
      const value = change(current)
      try {
        return await this.put(address, value, {
          ...options,
          expect: current === undefined ? 'absent' : { n: current.n },
        })
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        consistent = true
      }
    }
  }

  async remove(address: Address, options: WriteOptions): Promise<Version | undefined> {
    const kind = this.#entryKind(address.layer)
    return this.#with(async (open) => {
      const version = await removeEntry(open, entryWrite(address, kind, undefined, options), this.writes)
      if (version !== undefined) this.host.wrote(open, address, version)
      return version
    })
  }

  async removeUnder(
    layer: Layer,
    path: Path,
    { by, depth }: { readonly by: string; readonly depth?: number },
  ): Promise<number> {
    this.#entryKind(layer)
    if (depth === 0) return this.#removeAt({ layer, path }, by)
    let removed = 0
    let after: Path | undefined
    for (;;) {
      const page = await this.paths(layer, path, depth, {
        consistent: true,
        limit: REMOVE_AT_ONCE,
        ...(after !== undefined && { after }),
      })
      for (const at of page.items) removed += await this.#removeAt({ layer, path: at }, by)
      if (page.next === undefined) return removed
      after = page.next
    }
  }

  async keys(place: Place, page: PageOptions<Key> = {}): Promise<Listing<Key>> {
    const limit = checkLimit(page.limit)
    return this.#with(async (open) => {
      const items: Key[] = []
      let after = page.after
      let wanted = limit
      for (;;) {
        const rows = await this.#keyRows(open, place, after, wanted, page.consistent ?? false)
        const now = this.host.clock()
        for (const row of rows) {
          after = row.key
          if (!row.live || (row.exp !== undefined && row.exp <= now)) continue
          // One more than asked for says that there is a next page.
          if (items.length === limit) return { items, next: items[limit - 1]! }
          items.push(row.key)
        }
        if (rows.length < wanted + 1) return { items }
        // Small pages of keys that are not live would be many calls of the store.
        wanted = Math.max(limit, Math.min(2 * wanted, DEFAULT_LIMIT))
      }
    })
  }

  async entries(place: Place, page: PageOptions<Key> = {}): Promise<Listing<Entry, Key>> {
    const kind = this.#entryKind(place.layer)
    return this.#with(async (open) => {
      const keys = await this.keys(place, page)
      const addresses = keys.items.map((key) => addressIn(place, key))
      const heads = await readHeads(open, addresses, kind, page.consistent ?? false)
      const items: Entry[] = []
      keys.items.forEach((key, i) => {
        const version = this.#live(heads[i])
        if (version !== undefined) items.push({ key, version })
      })
      return keys.next === undefined ? { items } : { items, next: keys.next }
    })
  }

  async paths(
    layer: Layer,
    under: Path,
    depth: number | undefined,
    page: PageOptions<Path> = {},
  ): Promise<Listing<Path>> {
    const limit = checkLimit(page.limit)
    const kind = this.host.layers.of(layer).kind
    return this.#with(async (open) => {
      const read = async () =>
        pageOf(
          await open.store.paths(layer, kind, under, depth, {
            limit: limit + 1,
            ...(page.after !== undefined && { after: page.after }),
          }),
          limit,
        )
      if (page.consistent || limit > MAX_CACHED_ROWS) return read()
      const { name, touches } = pathsListing(layer, under, depth, page.after, limit)
      return open.cache.listing(layer, name, touches, () => open.fresh, read)
    })
  }

  peekPaths(layer: Layer): Listing<Path> | undefined {
    const open = this.host.peek(this.name)
    return open?.fresh === true ? open.cache.knownListing<Listing<Path>>(layer, ALL_PATHS) : undefined
  }

  async layers(): Promise<readonly Layer[]> {
    return this.#with(async (open) => (await open.store.layers()).filter((layer) => !Layer.isInternal(layer)))
  }

  async history(
    address: Address,
    range: TimeRange = {},
    page: PageOptions<number> = {},
  ): Promise<Listing<Version, number>> {
    this.#assertVersioned(address.layer)
    const limit = checkLimit(page.limit)
    return this.#with(async (open) => {
      const head = await readHead(open, address, 'versioned', page.consistent ?? false)
      return keyHistory(open.store, address, head, range, page.after, limit)
    })
  }

  async pathHistory(
    place: Place,
    range: TimeRange = {},
    page: PageOptions<PathHistoryCursor> = {},
  ): Promise<Listing<PathRow, PathHistoryCursor>> {
    this.#assertVersioned(place.layer)
    const limit = checkLimit(page.limit)
    return this.#with((open) => placeHistory(open.store, place, range, page.after, limit))
  }

  async append(
    address: Address,
    value: Json,
    options: { readonly by: string; readonly at?: number; readonly id?: string },
  ): Promise<Sample> {
    if (this.host.layers.of(address.layer).kind !== 'series') throw new Kv4Error('wrong_layer_kind')
    const marked = this.writes?.nextSample()
    const sample: Sample = {
      at: options.at ?? marked?.at ?? this.host.clock(),
      id: options.id ?? marked?.id ?? this.host.sampleId(),
      by: options.by,
      v: value,
    }
    return this.#with(async (open) => {
      await open.committer.append(address, sample)
      this.host.appended(open, address)
      return sample
    })
  }

  async samples(
    address: Address,
    range: TimeRange & { readonly order?: 'newest' | 'oldest' } = {},
    page: PageOptions<Pick<Sample, 'at' | 'id'>> = {},
  ): Promise<Listing<Sample, Pick<Sample, 'at' | 'id'>>> {
    if (this.host.layers.of(address.layer).kind !== 'series') throw new Kv4Error('wrong_layer_kind')
    const limit = checkLimit(page.limit)
    const { order = 'newest', ...bounds } = range
    return this.#with(async (open) => {
      const rows = await open.store.samples(address, {
        ...bounds,
        order,
        limit: limit + 1,
        ...(page.after !== undefined && { after: page.after }),
      })
      if (rows.length <= limit) return { items: rows }
      const { at, id } = rows[limit - 1]!
      return { items: rows.slice(0, limit), next: { at, id } }
    })
  }

  async aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]> {
    if (this.host.layers.of(query.layer).kind !== 'series') throw new Kv4Error('wrong_layer_kind')
    return this.#with((open) =>
      open.cache.sums.read(
        query,
        () => open.fresh,
        (part) => open.store.aggregate(part),
      ),
    )
  }

  async cursor(): Promise<Cursor> {
    return this.#with((open) => open.store.cursor())
  }

  async *watch(filter: WatchFilter, options: WatchOptions): AsyncGenerator<WatchEvent, void, undefined> {
    const open = await this.host.open(this.name)
    open.active++
    try {
      yield* watch(open.store, open.hub, filter, options, open.feed.start())
    } finally {
      open.active--
    }
  }

  async #removeAt(place: Place, by: string): Promise<number> {
    let removed = 0
    let after: Key | undefined
    for (;;) {
      const page = await this.keys(place, {
        consistent: true,
        limit: REMOVE_AT_ONCE,
        ...(after !== undefined && { after }),
      })
      const versions = await Promise.all(page.items.map((key) => this.remove(addressIn(place, key), { by })))
      removed += versions.filter((version) => version !== undefined).length
      if (page.next === undefined) return removed
      after = page.next
    }
  }

  async #keyRows(
    open: OpenBucket,
    place: Place,
    after: Key | undefined,
    limit: number,
    consistent: boolean,
  ): Promise<readonly KeyRow[]> {
    const kind = this.host.layers.of(place.layer).kind
    const read = () =>
      open.store.keys(place, kind, { limit: limit + 1, ...(after !== undefined && { after }) })
    if (consistent || limit > MAX_CACHED_ROWS) return read()
    const { name, touches } = keysListing(place, after, limit)
    return open.cache.listing(place.layer, name, touches, () => open.fresh, read)
  }

  #live(version: Version | undefined): Version | undefined {
    if (version === undefined || version.op === 'delete') return undefined
    return version.exp === undefined || version.exp > this.host.clock() ? version : undefined
  }

  #entryKind(layer: Layer): 'versioned' | 'current' {
    const { kind } = this.host.layers.of(layer)
    if (kind === 'series') throw new Kv4Error('wrong_layer_kind')
    return kind
  }

  #assertVersioned(layer: Layer): void {
    if (this.host.layers.of(layer).kind !== 'versioned') throw new Kv4Error('wrong_layer_kind')
  }

  /** Runs a call with the bucket open, and keeps it open meanwhile. */
  async #with<Result>(run: (open: OpenBucket) => Promise<Result>): Promise<Result> {
    const open = this.host.peek(this.name) ?? (await this.host.open(this.name))
    open.active++
    try {
      return await run(open)
    } finally {
      open.active--
    }
  }
}

function entryWrite(
  address: Address,
  kind: EntryWrite['kind'],
  value: Json | undefined,
  options: PutOptions,
): EntryWrite {
  return {
    address,
    kind,
    value,
    by: options.by,
    expect: options.expect,
    keys: options.keys,
    ttl: options.ttl,
  }
}

/** @param rows one more than `limit` when there is a next page */
function pageOf<Row>(rows: readonly Row[], limit: number): Listing<Row> {
  return rows.length <= limit ? { items: rows } : { items: rows.slice(0, limit), next: rows[limit - 1]! }
}

function checkLimit(limit: number | undefined): number {
  if (limit === undefined) return DEFAULT_LIMIT
  if (!Number.isInteger(limit) || limit < 1)
    throw new Kv4Error('bad_request', { fields: { parameter: 'limit' } })
  return Math.min(limit, MAX_LIMIT)
}

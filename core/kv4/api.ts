import type { Json } from '../json'
import type { AggregateQuery, AggregateRow, Cursor } from '../store/store'
import type { Address, Place } from './address'
import type { BucketName } from './bucket-name'
import type { Key } from './key'
import type { Layer } from './layer'
import type { LayerRegistry } from './layer-registry'
import type { Path } from './path'
import type { Sample, SecondaryKeys, Slot, Version } from './version'

/** A condition on the latest version that a write replaces. Absent: none, the write always takes the next number. */
export type Expectation = 'absent' | 'present' | { readonly n: number }

export interface WriteOptions {
  /** The login that is recorded. */
  readonly by: string
  readonly expect?: Expectation | undefined
}

export interface PutOptions extends WriteOptions {
  /** Replaces all secondary keys of the entry; absent: those that it has stay. */
  readonly keys?: SecondaryKeys | undefined
  /** Milliseconds until the entry lapses. Absent: never. */
  readonly ttl?: number | undefined
}

/** What makes the writes of a request known, so that carrying it out again finds them instead of writing anew. */
export interface WriteMark {
  /** 1 to 64 bytes without control characters; no other request's. */
  readonly id: string
  /** Unix ms of the first attempt; samples are recorded at this time. */
  readonly startedAt: number
  /** Unix ms: no version of the request is older, whichever node's clock it was written by. */
  readonly since: number
  /** There was no attempt before this one. */
  readonly first: boolean
}

export interface ReadOptions {
  /** Past the cache: sees every write that was acknowledged anywhere before. Default false. */
  readonly consistent?: boolean
}

export interface Entry {
  readonly key: Key
  readonly version: Version
}

/** One page of a listing; `next` is the `after` of the next page and is absent on the last. */
export interface Listing<Item, After = Item> {
  readonly items: readonly Item[]
  readonly next?: After
}

export interface PageOptions<After> extends ReadOptions {
  readonly after?: After
  /** Default 1,000, at most 10,000. */
  readonly limit?: number
}

/** Unix ms, both inclusive. */
export interface TimeRange {
  readonly from?: number
  readonly to?: number
}

export interface PathRow {
  readonly key: Key
  readonly version: Version
}

/** Where a whole path's history goes on: behind this version. */
export interface PathHistoryCursor {
  readonly at: number
  readonly key: Key
  readonly n: number
}

export interface WatchFilter {
  /** Absent: every layer but the engine's own. */
  readonly layer?: Layer
  /** Absent: the root. */
  readonly path?: Path
  /** How many segments below `path`; 0: at the path alone; absent: all below. */
  readonly depth?: number
  readonly key?: Key
}

export type WatchEvent =
  | {
      readonly kind: 'versioned' | 'current'
      readonly address: Address
      readonly version: Version
      readonly cursor: Cursor
    }
  | { readonly kind: 'series'; readonly address: Address; readonly sample: Sample; readonly cursor: Cursor }

export interface WatchOptions {
  /** Go on behind this cursor; absent: from now. */
  readonly since?: Cursor
  readonly signal: AbortSignal
  /** Told how far the feed has come where there was nothing for the filter. Absent: only events tell. */
  readonly passed?: (passed: WatchPassed) => void
  /** Handed, once `since` was found good, what tells at any time how far the watch has come; costs a write nothing. */
  readonly follow?: (progress: WatchProgress) => void
}

/** How far a watch has come. */
export interface WatchProgress {
  /** Going on from here misses nothing; undefined: before the next event was asked for. */
  readonly position: Cursor | undefined
  /** Everything that the store had has been told, and nothing is waiting. */
  readonly idle: boolean
}

/** Everything before `cursor` has been told, and whoever watches has asked for more. */
export interface WatchPassed {
  /** Going on from here misses nothing; may lie a little before the last event's. */
  readonly cursor: Cursor
  /** Changes that went by since it was last told, those that the filter let through among them. */
  readonly changes: number
  /** Nothing more is there at the moment. */
  readonly end: boolean
}

/**
 * One tenant's data. Every write is durable when its promise resolves; `store_unavailable` means that it may or may
 * not have happened.
 */
export interface Bucket {
  readonly name: BucketName

  /** The live value now, or what was live at an instant (`at`, unix ms). undefined: absent, deleted or lapsed. */
  get(address: Address, options?: ReadOptions & { readonly at?: number }): Promise<Version | undefined>
  /**
   * What `get` would answer, where no store has to be asked for it (null: absent, deleted or lapsed); undefined: ask
   * `get`. @throws wrong_layer_kind
   */
  peek(address: Address): Version | null | undefined
  /** By secondary key. */
  find(place: Place, slot: Slot, value: string, options?: ReadOptions): Promise<Entry | undefined>

  /** @throws version_conflict, key_exists, wrong_layer_kind, bad_ttl, bad_secondary_key */
  put(address: Address, value: Json, options: PutOptions): Promise<Version>
  /**
   * Reads the live value and puts what `change` makes of it, again if somebody wrote in between. `change` may throw
   * to give up, and may be called several times.
   */
  modify(
    address: Address,
    change: (current: Version | undefined) => Json,
    options: Omit<PutOptions, 'expect'>,
  ): Promise<Version>
  /** undefined: there was nothing live to remove. @throws version_conflict */
  remove(address: Address, options: WriteOptions): Promise<Version | undefined>
  /** Removes the keys at the path (depth 0) and up to `depth` segments below (absent: all). Counts live keys removed. */
  removeUnder(
    layer: Layer,
    path: Path,
    options: { readonly by: string; readonly depth?: number },
  ): Promise<number>

  /** Live keys in byte order. */
  keys(place: Place, page?: PageOptions<Key>): Promise<Listing<Key>>
  entries(place: Place, page?: PageOptions<Key>): Promise<Listing<Entry, Key>>
  /** Paths with live keys at or below `under`, at most `depth` segments below it. */
  paths(
    layer: Layer,
    under: Path,
    depth: number | undefined,
    page?: PageOptions<Path>,
  ): Promise<Listing<Path>>
  /**
   * The first page of all paths, where no store has to be asked for it; undefined: ask `paths`. The same object until a
   * key of the layer comes, goes, or lapses at another time.
   */
  peekPaths(layer: Layer): Listing<Path> | undefined
  layers(): Promise<readonly Layer[]>

  /** Newest first; survives deletion. `after`: versions below this n. */
  history(address: Address, range?: TimeRange, page?: PageOptions<number>): Promise<Listing<Version, number>>
  /** The history of all keys at a place, newest first. */
  pathHistory(
    place: Place,
    range?: TimeRange,
    page?: PageOptions<PathHistoryCursor>,
  ): Promise<Listing<PathRow, PathHistoryCursor>>

  /** Adds a sample to a series. `id` makes a retry count once; absent: a new one. @throws wrong_layer_kind */
  append(
    address: Address,
    value: Json,
    options: { readonly by: string; readonly at?: number; readonly id?: string },
  ): Promise<Sample>
  samples(
    address: Address,
    range?: TimeRange & { readonly order?: 'newest' | 'oldest' },
    page?: PageOptions<Pick<Sample, 'at' | 'id'>>,
  ): Promise<Listing<Sample, Pick<Sample, 'at' | 'id'>>>
  aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]>

  /**
   * The same bucket for one attempt at a request: what it puts, modifies, removes and appends carries the mark, and
   * what an earlier attempt has written is answered instead of written again, as far as the history goes back
   * (retention; of a current entry the last version alone).
   */
  marked(mark: WriteMark): Bucket

  /** The present end of the feed, to `watch` from later. */
  cursor(): Promise<Cursor>
  /** Every change that the filter lets through, each address's in order; without loss from any cursor. Ends with the signal. */
  watch(filter: WatchFilter, options: WatchOptions): AsyncIterable<WatchEvent>
}

export interface Engine {
  readonly layers: LayerRegistry
  /** A handle on a bucket; costs nothing. Its calls throw `bucket_not_found` where there is none. */
  bucket(name: BucketName): Bucket
  /** false: it was there. */
  create(name: BucketName): Promise<boolean>
  /** Drops the bucket with all its history. false: there was none. */
  drop(name: BucketName): Promise<boolean>
  list(): AsyncIterable<BucketName>
  /** @throws store_unavailable */
  ping(): Promise<void>
  /** Waits for the writes under way, then closes feeds and store. */
  close(): Promise<void>
}

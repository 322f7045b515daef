import type { Address, Place } from '../kv4/address'
import type { BucketName } from '../kv4/bucket-name'
import type { Key } from '../kv4/key'
import type { Layer } from '../kv4/layer'
import type { Path } from '../kv4/path'
import type { Sample, Version } from '../kv4/version'

/**
 * The port between the engine and what keeps the bytes. An adapter gets arguments that are already checked and
 * encodes them exactly; it knows layers only by the kind that each call names.
 *
 * What every adapter promises, and test/core/store/contract.ts proves:
 * - `commit` answers `stored` only for what is durable, and stores each write whole or not at all;
 * - a version number of an address is stored once, whoever else writes;
 * - what `commit` acknowledged, the next call of any method sees;
 * - listings are in byte order of the UTF-8 names, `/` before any other byte of a path, and never hold a bucket in memory;
 * - `changes` from any cursor it gave tells every later write at least once, in an order that keeps each address's own.
 *
 * Errors: `bucket_not_found` when the bucket was dropped, `store_unavailable` when the store does not answer (a write
 * may then have happened or not), `bad_cursor`. Anything else is a bug.
 */
export interface Store {
  readonly features: StoreFeatures
  /** Makes the bucket. false: it was there. */
  create(bucket: BucketName): Promise<boolean>
  /** @throws bucket_not_found */
  open(bucket: BucketName): Promise<BucketStore>
  /** Removes the bucket with all it holds, and nothing else. false: there was none. */
  drop(bucket: BucketName): Promise<boolean>
  /** Every bucket, in byte order. */
  list(): AsyncIterable<BucketName>
  /** Resolves when the store answers. @throws store_unavailable */
  ping(): Promise<void>
  close(): Promise<void>
}

export interface StoreFeatures {
  readonly name: 'embedded' | 'couch'
  /**
   * true: a commit applies its writes in order, each seeing the ones before, so that one commit may carry several
   * versions of one address. false: the engine sends at most one per address.
   */
  readonly ordered: boolean
  /** true: no other process writes to this store, so the engine may trust what it has seen. */
  readonly exclusive: boolean
}

/** Adds version `version.n`; stored only while the address's latest is `version.n - 1` (0: there is none). */
export interface PutVersion {
  readonly kind: 'versioned'
  readonly address: Address
  readonly version: Version
  /** The version before this one had an `exp`: listings must learn that this one lapses at another time or never. */
  readonly renews: boolean
}

/**
 * Replaces a current entry; stored only while its `n` is `over` (0: there is none). `version.op` `delete` removes it
 * and leaves nothing behind but a change in the feed.
 */
export interface PutCurrent {
  readonly kind: 'current'
  readonly address: Address
  readonly version: Version
  readonly over: number
}

/** Appends a sample. One that is there already (same address, at and id) counts as stored and is not counted again. */
export interface PutSample {
  readonly kind: 'series'
  readonly address: Address
  readonly sample: Sample
}

export type Write = PutVersion | PutCurrent | PutSample
export type Outcome = 'stored' | 'conflict'

/** Names after `after` (exclusive), at most `limit`. */
export interface Page<Name> {
  readonly after?: Name
  readonly limit: number
}

export interface KeyRow {
  readonly key: Key
  /** false: the latest version is a `delete`. */
  readonly live: boolean
  /** Of the latest version; the engine decides what it means now. */
  readonly exp?: number
}

export interface VersionRange {
  /** Only n below this. Default: no bound. */
  readonly below?: number
  /** Only n above this. Default 0. */
  readonly above?: number
  readonly order: 'newest' | 'oldest'
  readonly limit: number
}

export interface SampleRange {
  /** Unix ms, inclusive. */
  readonly from?: number
  /** Unix ms, inclusive. */
  readonly to?: number
  /** Exclusive: the sample to go on behind, in the direction of `order`. */
  readonly after?: Pick<Sample, 'at' | 'id'>
  readonly order: 'newest' | 'oldest'
  readonly limit: number
}

export interface Aggregate {
  readonly sum: number
  readonly min: number
  readonly max: number
  readonly count: number
}

/** Levels of the calendar, UTC, coarse to fine. */
export const LEVELS = ['year', 'month', 'day', 'hour', 'minute'] as const
export type Level = (typeof LEVELS)[number]

/** A period named by its parts, e.g. [2016, 3, 16] for a day: 1 to 5 numbers, months from 1. */
export type Period = readonly number[]

export interface AggregateQuery {
  readonly layer: Layer
  /** Absent: over all paths. */
  readonly path?: Path
  /** Only with a path. Absent: over all keys. */
  readonly key?: Key
  /** Inclusive. Absent: from the first sample. */
  readonly from?: Period
  /** Inclusive at its own precision. Absent: to the last sample. */
  readonly to?: Period
  /** One row per period of this level that has samples; absent: one row with an empty period, or none. */
  readonly by?: Level
}

export interface AggregateRow extends Aggregate {
  readonly period: Period
}

/**
 * Samples that are numbers count as themselves; `{sum, min, max, count}` counts as that many; anything else counts as
 * one sample of 0.
 */
export type SampleValue = number | Aggregate

/** A place in a bucket's feed. Opaque; only an adapter makes and reads one. `''` is the beginning. */
export type Cursor = string

export type Change =
  | { readonly kind: 'versioned' | 'current'; readonly address: Address; readonly version: Version }
  | { readonly kind: 'series'; readonly address: Address; readonly sample: Sample }

export interface ChangeBatch {
  readonly changes: readonly Change[]
  /** Behind each of `changes`: going on from there tells the next one. */
  readonly cursors: readonly Cursor[]
  /** Behind the last of `changes`: going on from here misses nothing. */
  readonly cursor: Cursor
}

export interface ChangeOptions {
  /**
   * false: batches until what is there now has been told, then end. true: go on until the signal fires; an empty batch
   * says that the feed is alive though nothing happened (at least every 5 s). When the store cannot be heard any more a
   * live feed throws `store_unavailable`, so that nobody goes on believing what the feed kept true; the caller goes on
   * from the last cursor.
   */
  readonly live: boolean
  /** Changes per batch at most. Default 500. */
  readonly limit?: number
  /** Ends the iteration, which then returns without an error. */
  readonly signal?: AbortSignal
}

export interface Expiring {
  readonly address: Address
  readonly kind: 'versioned' | 'current'
  readonly n: number
  readonly exp: number
}

export interface BucketStore {
  /**
   * Outcomes in the order of `writes`. Durable when it resolves. A write that conflicts stops no other, but for later
   * writes to the same address, which conflict too.
   */
  commit(writes: readonly Write[]): Promise<readonly Outcome[]>

  /** The latest version of each address (a `delete` too; undefined: never written), in the order asked. */
  heads(
    addresses: readonly Address[],
    kind: 'versioned' | 'current',
  ): Promise<readonly (Version | undefined)[]>

  /** Versions of one address by number, in the order asked; undefined: not there (not yet, or no longer). */
  pick(address: Address, numbers: readonly number[]): Promise<readonly (Version | undefined)[]>
  versions(address: Address, range: VersionRange): Promise<readonly Version[]>
  samples(address: Address, range: SampleRange): Promise<readonly Sample[]>

  /** Keys that were ever written at a place and are not forgotten by retention; of series and current layers: those that are there. */
  keys(place: Place, kind: 'versioned' | 'series' | 'current', page: Page<Key>): Promise<readonly KeyRow[]>
  /** Paths with live keys at or below `under`, at most `depth` segments below it. A lapsed key counts until it is swept. */
  paths(
    layer: Layer,
    kind: 'versioned' | 'series' | 'current',
    under: Path,
    depth: number | undefined,
    page: Page<Path>,
  ): Promise<readonly Path[]>
  /** Layers with live keys, internal ones too. */
  layers(): Promise<readonly Layer[]>

  /** Rows oldest first. */
  aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]>

  /** Live entries whose `exp` is in (after, upTo], soonest first; may name entries that were rewritten since. */
  expiring(after: number, upTo: number, limit: number): Promise<readonly Expiring[]>

  /** Forgets the versions of an address below `keepFrom`, never the latest. How many were forgotten. */
  pruneVersions(address: Address, keepFrom: number): Promise<number>
  /** Forgets samples older than `before` (unix ms), at most `limit` a call; their aggregates stay. How many were forgotten. */
  pruneSamples(address: Address, before: number, limit: number): Promise<number>

  /** The present end of the feed. */
  cursor(): Promise<Cursor>
  changes(since: Cursor, options: ChangeOptions): AsyncIterable<ChangeBatch>

  /** Lets go of what this handle holds open; the bucket stays. */
  close(): Promise<void>
}

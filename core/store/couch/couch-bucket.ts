import { isKv4Error } from '../../errors'
import type { Address, Place } from '../../kv4/address'
import type { Key } from '../../kv4/key'
import type { Layer } from '../../kv4/layer'
import type { Path } from '../../kv4/path'
import type { Sample, Version } from '../../kv4/version'
import type {
  AggregateQuery,
  AggregateRow,
  BucketStore,
  ChangeBatch,
  ChangeOptions,
  Cursor,
  Expiring,
  KeyRow,
  Outcome,
  Page,
  SampleRange,
  VersionRange,
  Write,
} from '../store'
import { Commit } from './commit'
import { ConflictMender } from './conflicts'
import type { CouchDatabase } from './couch-database'
import { type VersionDocument, versionOf } from './documents'
import { Feed } from './feed'
import { Heads } from './heads'
import { Ids } from './ids'
import type { HeadsBudget } from './known-heads'
import { IndexPace } from './index-pace'
import { Listings } from './listings'
import type { CouchLog } from './log'
import { MissedBranches } from './missed-branches'
import type { OwnWrites } from './own-writes'
import { pruneSamples } from './prune-samples'
import { pruneVersions } from './prune-versions'
import { ReadQueue } from './read-queue'
import { Series } from './series'

/**
 * One bucket in CouchDB: each method is a file of this folder.
 *
 * On one server the next call sees what was acknowledged. In a cluster that holds for `heads` (read with a quorum);
 * the others read one copy, which may be some milliseconds behind, and two racing commits of one number may both be
 * told `stored`, of which one is then appended again (conflicts.ts).
 */
export class CouchBucket implements BucketStore {
  readonly #heads: Heads
  readonly #commit: Commit
  readonly #listings: Listings
  readonly #series: Series
  readonly #mender: ConflictMender
  readonly #feed: Feed
  readonly #pace: IndexPace
  readonly #missed: MissedBranches
  /** Begins with the first live feed, which tells of what comes later. */
  #mendingMissed: Promise<void> | undefined
  readonly #closed = new AbortController()

  /** `writer` is unique among all that write to the bucket; `graceMs`: see openCouchStore. */
  constructor(
    private readonly database: CouchDatabase,
    writer: string,
    graceMs: number,
    log: CouchLog,
    budget: HeadsBudget,
    private readonly onClose: () => void,
  ) {
    this.#heads = new Heads(database, new ReadQueue(database), budget)
    const readers = new Set<OwnWrites>()
    this.#commit = new Commit(database, this.#heads, writer, graceMs, log, readers)
    this.#listings = new Listings(database)
    this.#series = new Series(database)
    this.#mender = new ConflictMender(database, this.#heads, writer, log, this.#closed.signal)
    this.#missed = new MissedBranches(database, this.#mender, log)
    this.#pace = new IndexPace(database, log)
    this.#feed = new Feed(database, this.#mender, log, readers, () => this.#heads.clear())
  }

  async commit(writes: readonly Write[]): Promise<readonly Outcome[]> {
    await this.#pace.ready()
    try {
      return await this.#commit.run(writes)
    } catch (error) {
      // A bucket of the same name that is made later has other heads.
      if (isKv4Error(error, 'bucket_not_found')) this.#heads.clear()
      throw error
    } finally {
      this.#pace.wrote(writes.length)
    }
  }

  async heads(
    addresses: readonly Address[],
    kind: 'versioned' | 'current',
  ): Promise<readonly (Version | undefined)[]> {
    const heads = await this.#heads.read(addresses.map((address) => ({ address, kind })))
    return heads.map((head) => head?.version)
  }

  async pick(address: Address, numbers: readonly number[]): Promise<readonly (Version | undefined)[]> {
    const rows = await this.database.docs<VersionDocument>(numbers.map((n) => Ids.version(address, n)))
    return rows.map(({ doc }) => (doc ? versionOf(doc) : undefined))
  }

  async versions(address: Address, range: VersionRange): Promise<readonly Version[]> {
    const { above = 0, below, order, limit } = range
    if (limit < 1 || (below !== undefined && below <= above + 1)) return []
    const { start, end } = Ids.versions(address, above, below)
    const bounds =
      order === 'newest'
        ? { startkey: end, endkey: start, descending: true }
        : { startkey: start, endkey: end }
    const [rows] = await this.database.queryDocs<VersionDocument>([{ ...bounds, limit, include_docs: true }])
    return rows!.flatMap(({ doc }) => (doc ? [versionOf(doc)] : []))
  }

  samples(address: Address, range: SampleRange): Promise<readonly Sample[]> {
    return this.#series.samples(address, range)
  }

  keys(place: Place, kind: 'versioned' | 'series' | 'current', page: Page<Key>): Promise<readonly KeyRow[]> {
    return this.#listings.keys(place, kind, page)
  }

  paths(
    layer: Layer,
    kind: 'versioned' | 'series' | 'current',
    under: Path,
    depth: number | undefined,
    page: Page<Path>,
  ): Promise<readonly Path[]> {
    return this.#listings.paths(layer, kind, under, depth, page)
  }

  layers(): Promise<readonly Layer[]> {
    return this.#listings.layers()
  }

  aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]> {
    return this.#series.aggregate(query)
  }

  expiring(after: number, upTo: number, limit: number): Promise<readonly Expiring[]> {
    return this.#listings.expiring(after, upTo, limit)
  }

  pruneVersions(address: Address, keepFrom: number): Promise<number> {
    return pruneVersions(this.database, address, keepFrom)
  }

  pruneSamples(address: Address, before: number, limit: number): Promise<number> {
    return pruneSamples(this.database, this.#series, address, before, limit)
  }

  cursor(): Promise<Cursor> {
    return this.#feed.cursor()
  }

  changes(since: Cursor, { live, limit, signal }: ChangeOptions): AsyncIterable<ChangeBatch> {
    const ended = signal ? AbortSignal.any([signal, this.#closed.signal]) : this.#closed.signal
    if (live) this.#mendingMissed ??= this.#missed.mend(this.#closed.signal)
    return live
      ? this.#feed.live(since, limit, ended)
      : this.#feed.past(since, { ...(limit === undefined ? {} : { limit }), signal: ended })
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#pace.stop()
    this.onClose()
    await this.#mendingMissed
    await this.#mender.idle()
    this.#heads.clear()
  }
}

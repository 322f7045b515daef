import { isKv4Error } from '../../errors'
import type { Change, ChangeBatch, ChangeOptions, Cursor } from '../store'
import { type ChangeRow, changeOf, needsDocument } from './change-row'
import { changeStream } from './change-stream'
import type { ConflictMender } from './conflicts'
import type { CouchDatabase } from './couch-database'
import { CouchError, unavailable } from './couch-error'
import { FeedCursor } from './cursor'
import type { StoredDocument } from './documents'
import { ForeignShare } from './foreign-share'
import type { CouchLog } from './log'
import { OwnWrites } from './own-writes'

const DEFAULT_LIMIT = 500
// A page is read whole, and a change may have 1 MiB.
const MOST_IN_PAGE = 200

interface ChangesPage {
  readonly results: readonly ChangeRow[]
  readonly last_seq: string | number
  readonly pending?: number
}

/** A change, and CouchDB's sequence behind it. */
interface Told {
  readonly change: Change
  readonly seq: string | number
}

/**
 * The changes of one bucket: what there is now, or one connection that tells what comes.
 *
 * Most of what a live feed tells is what this node has just written. To read those documents again costs CouchDB a third
 * of what it costs to store them, so the connection brings ids and revisions only: our own writes are known by them, the
 * documents of others are asked for. Where others write much, or a cluster has several copies of which one that is asked
 * may be behind the one that told, the connection brings the documents.
 *
 *     without documents ──others write much──▶ (breaks) ──▶ with documents
 *           ▲──────────────────────── breaks ───────────────────────┘
 */
export class Feed {
  /** What the next connection brings. */
  #documents: boolean

  constructor(
    private readonly database: CouchDatabase,
    private readonly mender: ConflictMender,
    private readonly log: CouchLog,
    private readonly readers: Set<OwnWrites>,
    /** What was known because of the feed is not any more: the database may have been dropped and made again. */
    private readonly onBreak: () => void,
  ) {
    this.#documents = database.client.clustered
  }

  async cursor(): Promise<Cursor> {
    const { update_seq } = await this.database.send<{ readonly update_seq: string | number }>({})
    return FeedCursor.of(this.database.bucket, update_seq)
  }

  async *past(since: Cursor, options: Omit<ChangeOptions, 'live'>): AsyncGenerator<ChangeBatch> {
    const limit = Math.min(options.limit ?? DEFAULT_LIMIT, MOST_IN_PAGE)
    let seq = FeedCursor.parse(this.database.bucket, since)
    while (!options.signal?.aborted) {
      const { results, last_seq, pending } = await this.database.send<ChangesPage>({
        path: '_changes',
        query: { include_docs: true, conflicts: true, limit, since: seq },
      })
      seq = String(last_seq)
      if (options.signal?.aborted) return
      yield this.#batch(this.#told(results), FeedCursor.of(this.database.bucket, seq))
      if (pending === 0 || results.length === 0) return
    }
  }

  /** One connection: the caller goes on from the last cursor when it breaks. @throws store_unavailable, bucket_not_found */
  async *live(since: Cursor, limit = DEFAULT_LIMIT, signal: AbortSignal): AsyncGenerator<ChangeBatch> {
    const { bucket } = this.database
    if (signal.aborted) return
    const documents = this.#documents
    this.#documents = this.database.client.clustered
    const own = new OwnWrites()
    const others = new ForeignShare()
    const most = documents ? limit : Math.min(limit, MOST_IN_PAGE)
    if (!documents) this.readers.add(own)
    try {
      for await (const rows of changeStream(
        this.database,
        FeedCursor.parse(bucket, since),
        documents,
        signal,
      )) {
        for (let i = 0; i === 0 || i < rows.length; i += most) {
          const part = rows.slice(i, i + most)
          const told = documents ? this.#told(part) : await this.#lookedUp(part, own, others)
          const seq = part.at(-1)?.seq
          if (seq !== undefined) since = FeedCursor.of(bucket, String(seq))
          yield this.#batch(told, since)
          if (signal.aborted) return
        }
        if (others.large) break
      }
    } catch (error) {
      if (signal.aborted) return
      this.onBreak()
      if (!isKv4Error(error, 'store_unavailable') && !(error instanceof CouchError)) throw error
      this.log.warn(
        { bucket, detail: error instanceof CouchError ? error.message : error.detail },
        'the feed broke',
      )
      throw error instanceof CouchError ? unavailable(error.message, error) : error
    } finally {
      this.readers.delete(own)
    }
    if (signal.aborted) return
    this.onBreak()
    if (others.large) {
      this.log.info({ bucket }, 'others write much: the feed starts again, with documents')
      this.#documents = true
      throw unavailable('the feed starts again')
    }
    // CouchDB ends the feed of a database that is dropped without saying why.
    await this.cursor()
    throw unavailable('CouchDB ended the feed')
  }

  /** What rows with documents tell. */
  #told(rows: readonly ChangeRow[]): readonly Told[] {
    const told: Told[] = []
    for (const row of rows) {
      if (row.doc?._conflicts !== undefined) void this.mender.mend(row.doc)
      const change = changeOf(row)
      if (change !== undefined) told.push({ change, seq: row.seq })
    }
    return told
  }

  /** What rows without documents tell: ours are known, those of others are read. */
  async #lookedUp(
    rows: readonly ChangeRow[],
    own: OwnWrites,
    others: ForeignShare,
  ): Promise<readonly Told[]> {
    const known = new Map<ChangeRow, Change>()
    const foreign: ChangeRow[] = []
    for (const row of rows) {
      const [first, ...branches] = row.changes
      let change = branches.length === 0 ? own.take(row.id, first!.rev) : undefined
      const flight = change === undefined ? own.flight(row.id) : undefined
      if (flight !== undefined) {
        await flight
        if (branches.length === 0) change = own.take(row.id, first!.rev)
      }
      if (change !== undefined) known.set(row, change)
      else if (needsDocument(row)) foreign.push(row)
    }
    others.saw(rows.length, foreign.length)
    const documents = foreign.length === 0 ? undefined : await this.#documentsOf(foreign)
    return rows.flatMap((row) => {
      const change = known.get(row)
      return change !== undefined
        ? [{ change, seq: row.seq }]
        : this.#told([{ ...row, doc: documents?.get(row) ?? null }])
    })
  }

  /** The documents as the rows found them; none for one that was replaced and is gone, of which another row will tell. */
  async #documentsOf(rows: readonly ChangeRow[]): Promise<ReadonlyMap<ChangeRow, StoredDocument>> {
    const found = new Map<ChangeRow, StoredDocument>()
    const branched = rows.filter(({ changes }) => changes.length > 1)
    const winners = await this.database.docs(
      branched.map(({ id }) => id),
      true,
    )
    branched.forEach((row, i) => {
      const doc = winners[i]!.doc
      if (doc) found.set(row, doc)
    })
    const rest = rows.filter((row) => !found.has(row))
    const docs = await this.database.revisions<StoredDocument>(
      rest.map(({ id, changes }) => ({ id, rev: changes[0]!.rev })),
    )
    rest.forEach((row, i) => {
      const doc = docs[i]
      if (doc !== undefined) found.set(row, doc)
    })
    return found
  }

  #batch(told: readonly Told[], cursor: Cursor): ChangeBatch {
    const { bucket } = this.database
    let cursors: readonly Cursor[] | undefined
    return {
      changes: told.map(({ change }) => change),
      // A cursor costs a hash, and only watchers want one for each change.
      get cursors() {
        return (cursors ??= told.map(({ seq }) => FeedCursor.of(bucket, seq)))
      },
      cursor,
    }
  }
}

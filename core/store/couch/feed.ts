import { isKv4Error } from '../../errors'
import type { Change, ChangeBatch, ChangeOptions, Cursor } from '../store'
import { type ChangeRow, changeOf } from './change-row'
import { changeStream } from './change-stream'
import type { ConflictMender } from './conflicts'
import type { CouchDatabase } from './couch-database'
import { CouchError, unavailable } from './couch-error'
import { FeedCursor } from './cursor'
import type { CouchLog } from './log'

const DEFAULT_LIMIT = 500
// A page is read whole, and a change may have 1 MiB.
const MOST_IN_PAGE = 200

interface ChangesPage {
  readonly results: readonly ChangeRow[]
  readonly last_seq: string | number
  readonly pending?: number
}

/** The changes of one bucket: what there is now, or one connection that tells what comes. */
export class Feed {
  constructor(
    private readonly database: CouchDatabase,
    private readonly mender: ConflictMender,
    private readonly log: CouchLog,
    /** What was known because of the feed is not any more: the database may have been dropped and made again. */
    private readonly onBreak: () => void,
  ) {}

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
      yield { ...this.#changes(results), cursor: FeedCursor.of(this.database.bucket, seq) }
      if (pending === 0 || results.length === 0) return
    }
  }

  /** One connection: the caller goes on from the last cursor when it breaks. @throws store_unavailable, bucket_not_found */
  async *live(since: Cursor, limit = DEFAULT_LIMIT, signal: AbortSignal): AsyncGenerator<ChangeBatch> {
    const { bucket } = this.database
    if (signal.aborted) return
    try {
      for await (const rows of changeStream(this.database, FeedCursor.parse(bucket, since), signal)) {
        for (let i = 0; i === 0 || i < rows.length; i += limit) {
          const part = rows.slice(i, i + limit)
          const seq = part.at(-1)?.seq
          if (seq !== undefined) since = FeedCursor.of(bucket, String(seq))
          yield { ...this.#changes(part), cursor: since }
          if (signal.aborted) return
        }
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
    }
    if (signal.aborted) return
    this.onBreak()
    // CouchDB ends the feed of a database that is dropped without saying why.
    await this.cursor()
    throw unavailable('CouchDB ended the feed')
  }

  #changes(rows: readonly ChangeRow[]): Pick<ChangeBatch, 'changes' | 'cursors'> {
    const changes: Change[] = []
    const cursors: Cursor[] = []
    for (const row of rows) {
      if (row.doc?._conflicts !== undefined) this.mender.mend(row.doc)
      const change = changeOf(row)
      if (change === undefined) continue
      changes.push(change)
      cursors.push(FeedCursor.of(this.database.bucket, row.seq))
    }
    return { changes, cursors }
  }
}

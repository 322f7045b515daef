import { setTimeout as sleep } from 'node:timers/promises'
import { isKv4Error } from '../../errors'
import type { Change, ChangeBatch, ChangeOptions, Cursor } from '../store'
import { type ChangeRow, changeOf } from './change-row'
import { changeStream } from './change-stream'
import type { ConflictMender } from './conflicts'
import type { CouchDatabase } from './couch-database'
import { CouchError } from './couch-error'
import { FeedCursor } from './cursor'
import type { CouchLog } from './log'

const DEFAULT_LIMIT = 500
// A page is read whole, and a change may have 1 MiB.
const MOST_IN_PAGE = 200
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 5000

interface ChangesPage {
  readonly results: readonly ChangeRow[]
  readonly last_seq: string | number
  readonly pending?: number
}

/**
 * The changes of one bucket.
 *
 *   caught up to a cursor ──► connected ──► batch, batch, (heartbeat: empty batch) …
 *                 ▲               │
 *                 └── pause ◄─────┴─ broken, silent, ended by CouchDB    go on behind the last row that was told
 *
 * Only the database being gone ends a live feed with an error; CouchDB being away is silence.
 */
export class Feed {
  constructor(
    private readonly database: CouchDatabase,
    private readonly mender: ConflictMender,
    private readonly log: CouchLog,
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
      yield { changes: this.#changes(results), cursor: FeedCursor.of(this.database.bucket, seq) }
      if (pending === 0 || results.length === 0) return
    }
  }

  async *live(since: Cursor, limit = DEFAULT_LIMIT, signal: AbortSignal): AsyncGenerator<ChangeBatch> {
    const { bucket } = this.database
    let seq = FeedCursor.parse(bucket, since)
    let pause = FIRST_PAUSE_MS
    while (!signal.aborted) {
      try {
        for await (const rows of changeStream(this.database, seq, signal)) {
          pause = FIRST_PAUSE_MS
          for (let i = 0; i === 0 || i < rows.length; i += limit) {
            const part = rows.slice(i, i + limit)
            seq = String(part.at(-1)?.seq ?? seq)
            yield { changes: this.#changes(part), cursor: FeedCursor.of(bucket, seq) }
            if (signal.aborted) return
          }
        }
      } catch (error) {
        if (!isKv4Error(error, 'store_unavailable') && !(error instanceof CouchError)) throw error
        this.log.warn(
          { bucket, detail: error instanceof CouchError ? error.message : error.detail },
          'the feed broke',
        )
      }
      await sleep(pause, undefined, { signal }).catch(() => undefined)
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS)
    }
  }

  #changes(rows: readonly ChangeRow[]): readonly Change[] {
    const changes: Change[] = []
    for (const row of rows) {
      if (row.doc?._conflicts !== undefined) this.mender.mend(row.doc)
      const change = changeOf(row)
      if (change !== undefined) changes.push(change)
    }
    return changes
  }
}

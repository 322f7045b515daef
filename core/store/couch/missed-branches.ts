import { isKv4Error } from '../../errors'
import type { ChangeRow } from './change-row'
import type { ConflictMender } from './conflicts'
import type { CouchDatabase } from './couch-database'
import { CouchError } from './couch-error'
import type { StoredDocument } from './documents'
import type { CouchLog } from './log'

const ROWS_AT_ONCE = 1_000
const MENDED_AT_ONCE = 20

// A local document: sequences are this database's own, and what is local is not replicated.
const PROGRESS = '_local/kv4-branches'

interface Progress extends StoredDocument {
  /** Up to here the changes have been looked through. */
  readonly seq: string
}

interface ChangesPage {
  readonly results: readonly ChangeRow[]
  readonly last_seq: string | number
}

/**
 * Branches that came while no node followed the feed of the bucket, as replication between sites brings them: found by
 * looking through the changes since the last look, ids and revisions only. A bucket's first look goes through all of it.
 */
export class MissedBranches {
  constructor(
    private readonly database: CouchDatabase,
    private readonly mender: ConflictMender,
    private readonly log: CouchLog,
  ) {}

  /** Mends what it finds up to the present end. Never rejects: what was not looked at is when the bucket opens again. */
  async mend(ended: AbortSignal): Promise<void> {
    try {
      const progress = await this.#progress()
      let seq = progress?.seq ?? '0'
      for (;;) {
        const { results, last_seq } = await this.database.send<ChangesPage>({
          path: '_changes',
          query: { style: 'all_docs', limit: ROWS_AT_ONCE, since: seq },
        })
        const branched = results.flatMap(({ id, changes }) => (changes.length > 1 ? [id] : []))
        // The next look begins with what could not be mended.
        if (!(await this.#mendAll(branched, ended))) break
        if (results.length > 0) seq = String(last_seq)
        if (results.length < ROWS_AT_ONCE) break
      }
      if (ended.aborted || seq === (progress?.seq ?? '0')) return
      await this.database.send({ method: 'PUT', path: PROGRESS, body: { ...progress, seq } })
    } catch (error) {
      if (ended.aborted || isKv4Error(error, 'bucket_not_found')) return
      // Another node has looked, too.
      if (error instanceof CouchError && error.status === 409) return
      this.log.warn(
        { bucket: this.database.bucket, err: error },
        'branches that were missed were not looked for',
      )
    }
  }

  /** false: not all are mended. */
  async #mendAll(ids: readonly string[], ended: AbortSignal): Promise<boolean> {
    for (let i = 0; i < ids.length; i += MENDED_AT_ONCE) {
      const rows = await this.database.docs(ids.slice(i, i + MENDED_AT_ONCE), true)
      const branched = rows.flatMap(({ doc }) => (doc?._conflicts === undefined ? [] : [doc]))
      const mended = await Promise.all(branched.map((doc) => this.mender.mend(doc)))
      if (ended.aborted || mended.includes(false)) return false
    }
    return !ended.aborted
  }

  async #progress(): Promise<Progress | undefined> {
    try {
      return await this.database.send<Progress>({ path: PROGRESS })
    } catch (error) {
      if (error instanceof CouchError && error.status === 404) return undefined
      throw error
    }
  }
}

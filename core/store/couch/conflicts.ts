import { setTimeout as wait } from 'node:timers/promises'
import type { Address } from '../../kv4/address'
import type { Version } from '../../kv4/version'
import type { CouchDatabase } from './couch-database'
import { type StoredDocument, type VersionDocument, documentOf, tombstone, versionOf } from './documents'
import type { Heads } from './heads'
import { Ids } from './ids'
import type { CouchLog } from './log'

const MOST_ATTEMPTS = 20
const PAUSE_MS = 20
const SETTLED_AFTER = 10
const LONGEST_PAUSE_MS = 500
/** Numbers that are tried for in turn: minutes. */
const MOST_NUMBERS = 500
/** Versions in one request: each may have 1 MiB. */
const AT_ONCE = 20

/** What is done about the branches of one document, until the last of those who asked for it is served. */
interface Mending {
  readonly done: Promise<boolean>
  readonly mended: Set<string>
}

/**
 * In a cluster two nodes of CouchDB can each let in a version under the same id while they do not hear each other, and
 * so can two sites that replicate. One branch wins, the other is hidden, and both may have been acknowledged. Whoever
 * reads the feed sees the branches and appends what was hidden as a version of its own, with `lost` naming the number it
 * was written as; then the hidden revision is deleted. The newest by the time of its writing stays the latest: if that
 * is another one, it is appended again behind.
 *
 * A version appended so carries the nonce of the one that it repeats: of several nodes that see the branches one appends,
 * and what two sites have appended, each for itself, is known for the same when they meet.
 * Other documents have nothing to save: branches of a sample are the same sample, of a current entry the winner is
 * current, and what pruning writes it derives again.
 */
export class ConflictMender {
  readonly #mending = new Map<string, Mending>()

  constructor(
    private readonly database: CouchDatabase,
    private readonly heads: Heads,
    private readonly writer: string,
    private readonly log: CouchLog,
    /** Fired when the bucket is closed: what is under way ends soon. */
    private readonly closed: AbortSignal,
  ) {}

  /**
   * Starts at once, or behind what is under way for the same document: its branches may be others by now. A feed must not
   * wait for the end: one that waits for writes could wait for itself. false: it failed, and the branches are still there.
   */
  mend(document: StoredDocument): Promise<boolean> {
    const { _id: id } = document
    const under = this.#mending.get(id)
    const mended = under?.mended ?? new Set<string>()
    const done = (under?.done ?? Promise.resolve(true))
      .then(() => this.#mend(document, mended))
      .then(
        () => true,
        (error: unknown) => {
          // The next change of the document finds them, or whoever opens the bucket next.
          this.log.warn({ bucket: this.database.bucket, id, error }, 'conflict branches could not be mended')
          return false
        },
      )
      .finally(() => {
        if (this.#mending.get(id)?.done === done) this.#mending.delete(id)
      })
    this.#mending.set(id, { done, mended })
    return done
  }

  /** When everything that was started has ended. */
  async idle(): Promise<void> {
    await Promise.all(Array.from(this.#mending.values(), ({ done }) => done))
  }

  /** @param mended revisions that need nothing more; those of this document are added */
  async #mend(winner: StoredDocument, mended: Set<string>): Promise<void> {
    const { _id: id } = winner
    const parsed = Ids.parse(id)
    let revs = (winner._conflicts ?? []).filter((rev) => !mended.has(rev))
    for (let attempt = 1; revs.length > 0; attempt++) {
      let found = revs
      if (parsed?.kind === 'v') {
        const hidden = await this.database.revisions<VersionDocument>(revs.map((rev) => ({ id, rev })))
        found = []
        for (const [i, document] of hidden.entries())
          if (document !== undefined) {
            await this.#append(parsed.address, winner as VersionDocument, document)
            found.push(revs[i]!)
          }
      }
      if (found.length > 0) {
        await this.database.bulk(found.map((rev) => tombstone(id, rev)))
        this.log.warn(
          { bucket: this.database.bucket, id, branches: found.length },
          'conflict branches mended',
        )
        for (const rev of found) mended.add(rev)
      }
      // The copies that answered may not have a branch yet that another one told of. Unread it must not be deleted.
      revs = revs.filter((rev) => !mended.has(rev))
      if (revs.length === 0) return
      if (attempt === MOST_ATTEMPTS) throw new Error(`no copy gave ${revs.length} of its branches`)
      await this.#pause(PAUSE_MS * attempt)
      if (attempt < SETTLED_AFTER) continue
      // By now every copy has heard of it: who does not name it any more has seen its end.
      const [row] = await this.database.docs([id], true)
      revs = revs.filter((rev) => row?.doc?._conflicts?.includes(rev) === true)
    }
  }

  async #append(address: Address, winner: VersionDocument, hidden: VersionDocument): Promise<void> {
    const kept = new Kept(this.database, address, winner, hidden)
    for (let attempt = 0; attempt < MOST_NUMBERS; attempt++) {
      // Others may write to the key all the time, each of them as fast as this.
      if (attempt > 0) await this.#pause(Math.random() * Math.min(LONGEST_PAUSE_MS, PAUSE_MS * attempt))
      await kept.read()
      if (kept.repeats) return
      const [head] = await this.heads.read([{ address, kind: 'versioned' }])
      if (head === undefined || head.version.n !== kept.last) continue
      const appended = follow(head.version, versionOf(hidden), Date.now())
      if (appended === undefined) return
      const documents = [
        {
          ...appending(address, appended, head.version, hidden.w ?? this.writer),
          lost: winner.n,
          was: writtenAt(hidden),
        },
        ...restored(address, kept, hidden, appended),
      ]
      const { results } = await this.database.bulk(documents.slice(0, 1))
      if (results[0]!.rev === undefined || results[0]!.error !== undefined) continue
      if (documents.length > 1) await this.database.bulk(documents.slice(1))
      this.heads.forget(address, 'versioned')
      return
    }
    throw new Error(`no free number for a hidden version after ${MOST_NUMBERS} attempts`)
  }

  async #pause(ms: number): Promise<void> {
    if (!this.closed.aborted) await wait(ms, undefined, { signal: this.closed }).catch(() => undefined)
    if (this.closed.aborted) throw new Error('the bucket was closed')
  }
}

/**
 * The winner of a number that was fought for, and what was written since: read in pages, of which one is in memory. The
 * winner is given, not read: a copy that is behind may know no other than the hidden one under that number, which would
 * then pass for its own repetition.
 */
class Kept {
  /** What is hidden stands here too. */
  repeats: boolean
  /** The number of the latest. */
  last: number
  count = 1
  /** By the time of its writing; of the same instant the latest. */
  newest: VersionDocument

  constructor(
    private readonly database: CouchDatabase,
    private readonly address: Address,
    winner: VersionDocument,
    private readonly hidden: VersionDocument,
  ) {
    this.last = winner.n
    this.newest = winner
    this.repeats = isRepeated(hidden, winner)
  }

  /** Reads what was not read yet; versions never change. */
  async read(): Promise<void> {
    for (;;) {
      const { start, end } = Ids.versions(this.address, this.last)
      const [rows] = await this.database.queryDocs<VersionDocument>([
        { startkey: start, endkey: end, limit: AT_ONCE, include_docs: true },
      ])
      for (const { doc } of rows!) {
        if (!doc) continue
        this.count++
        this.last = doc.n
        this.repeats ||= isRepeated(this.hidden, doc)
        if (writtenAt(doc) >= writtenAt(this.newest)) this.newest = doc
      }
      if (rows!.length < AT_ONCE) return
    }
  }
}

function isRepeated(hidden: VersionDocument, kept: VersionDocument): boolean {
  return kept.w !== undefined && kept.w === hidden.w
}

/** `hidden` as the version behind `head`; undefined: a deletion of what is deleted. */
function follow(head: Version, hidden: Version, now: number): Version | undefined {
  const absent = head.op === 'delete'
  if (hidden.op === 'delete' && absent) return undefined
  const op = hidden.op === 'delete' ? 'delete' : absent ? 'create' : 'update'
  return { ...hidden, n: head.n + 1, at: Math.max(now, head.at), op }
}

/** The newest of what was there, behind what was appended; nothing if that is the newest itself. */
function restored(
  address: Address,
  { newest, count }: Kept,
  hidden: VersionDocument,
  appended: Version,
): readonly VersionDocument[] {
  if (writtenAt(newest) < writtenAt(hidden)) return []
  // Of the same instant: what came behind the number that they fought for has seen its winner.
  if (writtenAt(newest) === writtenAt(hidden) && count === 1) return []
  const again = follow(appended, versionOf(newest), appended.at)
  if (again === undefined) return []
  const w = `${newest.w ?? ''}r${again.n}`
  return [{ ...appending(address, again, appended, w), was: writtenAt(newest) }]
}

function writtenAt({ was, at }: VersionDocument): number {
  return was ?? at
}

function appending(address: Address, version: Version, before: Version, w: string): VersionDocument {
  return documentOf(
    { kind: 'versioned', address, version, renews: before.exp !== undefined },
    w,
  ) as VersionDocument
}

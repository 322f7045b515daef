import { type Address, addressId } from '../../kv4/address'
import { isKv4Error } from '../../errors'
import type { Outcome, PutCurrent, PutVersion, Write } from '../store'
import type { BulkAnswer, BulkResult, CouchDatabase } from './couch-database'
import { CouchError, unavailable } from './couch-error'
import { type StoredDocument, type VersionDocument, documentOf, tombstone } from './documents'
import type { Heads } from './heads'
import { Ids } from './ids'
import type { CouchLog } from './log'
import type { OwnWrites } from './own-writes'

/**
 * How a batch of writes gets into CouchDB, and how we know that it did.
 *
 *   look at the heads that are not known ─► send ─┬─ ok, 201 ───────────────────────────► stored
 *                                            ▲    ├─ conflict, never sent before ───────► conflict
 *                                            │    ├─ accepted (202) ─► confirm ─────────► stored | conflict
 *                                            │    └─ no answer, or not for this one ─► look back
 *                                            │                                            │
 *                                            └──────── it is not there ◄──────────────────┼─► ours: stored
 *                                                                                         └─► another's: conflict
 *
 * The document of a write carries a nonce; looking back compares it. Sending again is safe, for the id (or the
 * revision) lets a document in once. When CouchDB stays away longer than the grace, `store_unavailable` is thrown
 * and the writes may or may not have happened.
 *
 * 202 is a write that fewer copies than a quorum hold. It is sent again as it is, under its revision, which brings it
 * to every copy that is up; CouchDB answers that with 201 whatever was up, so the copies are then counted. If another
 * branch wins meanwhile, ours is taken back and the write has conflicted. The same goes for a write that was found
 * there after its answer was lost. Without a quorum there is no success, though the write may surface later.
 *
 * CouchDB lets an id be written again after it was deleted, and gives it a revision of a higher generation than 1.
 * A sample of which that happens was forgotten by pruning, a version too if there is a later one: the write came too
 * late and is deleted again. Without a later one the number was given up by all who tried for it, and is free.
 */
interface Item {
  readonly write: Write
  readonly index: number
  document: StoredDocument
  /** An earlier attempt may have arrived. */
  sent: boolean
}

/** A document of ours that CouchDB has under this revision. */
interface Arrived {
  readonly item: Item
  readonly rev: string
  /** 201 said so. */
  readonly quorum: boolean
}

const FIRST_PAUSE_MS = 25
const LONGEST_PAUSE_MS = 1000

export class Commit {
  #nonces = 0

  constructor(
    private readonly database: CouchDatabase,
    private readonly heads: Heads,
    /** Unique among all writers of the bucket. */
    private readonly writer: string,
    private readonly graceMs: number,
    private readonly log: CouchLog,
    /** The readers of the live feed, which have to hear of our own writes from here. */
    private readonly readers: ReadonlySet<OwnWrites>,
  ) {}

  async run(writes: readonly Write[]): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = []
    for (const round of rounds(writes)) await this.#round(round, writes, outcomes)
    return outcomes
  }

  async #round(indexes: readonly number[], writes: readonly Write[], outcomes: Outcome[]): Promise<void> {
    const items: Item[] = indexes.map((index) => ({
      write: writes[index]!,
      index,
      document: documentOf(writes[index]!, this.writer + (this.#nonces++).toString(36)),
      sent: false,
    }))
    const ready = await this.#lookAhead(items, outcomes)
    // Ids in order cost CouchDB less than half.
    ready.sort((a, b) => (a.document._id < b.document._id ? -1 : 1))
    await this.#deliver(ready, outcomes)
  }

  /** Settles what cannot succeed and gives rewrites their revision. */
  async #lookAhead(items: readonly Item[], outcomes: Outcome[]): Promise<Item[]> {
    const ready: Item[] = []
    const unknown: (Item & { readonly write: PutVersion | PutCurrent })[] = []
    const settle = (item: Item, n: number, rev: string | undefined): void => {
      if (n !== predecessor(item.write as PutVersion | PutCurrent)) outcomes[item.index] = 'conflict'
      else {
        if (item.write.kind === 'current' && rev !== undefined)
          item.document = { ...item.document, _rev: rev }
        ready.push(item)
      }
    }
    for (const item of items) {
      const { write } = item
      if (write.kind === 'series') {
        ready.push(item)
        continue
      }
      const known = this.heads.known(write.address, write.kind)
      const expected = predecessor(write)
      if (known?.n === expected) settle(item, known.n, known.rev)
      else if (known === undefined && expected === 0) settle(item, 0, undefined)
      else unknown.push(item as Item & { readonly write: PutVersion | PutCurrent })
    }
    const present = await this.#predecessors(unknown.map(({ write }) => write))
    unknown.forEach((item, i) => settle(item, present[i]!.n, present[i]!.rev))
    return ready
  }

  /**
   * Whether what each write follows on is there, in one request. That the version before is there is enough: if it is
   * not the latest, the number that follows is taken.
   */
  async #predecessors(
    writes: readonly (PutVersion | PutCurrent)[],
  ): Promise<readonly { readonly n: number; readonly rev?: string }[]> {
    const versions = writes.flatMap((write) => (write.kind === 'versioned' ? [write] : []))
    const currents = writes.flatMap((write) => (write.kind === 'current' ? [write] : []))
    const before = versions.map(({ address, version }) => Ids.version(address, Math.max(0, version.n - 1)))
    const queries = [
      ...(versions.length === 0 ? [] : [{ keys: before }]),
      ...(currents.length === 0
        ? []
        : [{ keys: currents.map(({ address }) => Ids.current(address)), include_docs: true }]),
    ]
    const rows = (await this.database.queryDocs<VersionDocument>(queries)).flat()
    const found = new Map<PutVersion | PutCurrent, { n: number; rev?: string }>()
    versions.forEach((write, i) => {
      const value = rows[i]?.value
      found.set(write, { n: value && !value.deleted ? write.version.n - 1 : 0 })
    })
    currents.forEach((write, i) => {
      const row = rows[versions.length + i]
      found.set(write, row?.doc && row.value ? { n: row.doc.n, rev: row.value.rev } : { n: 0 })
    })
    return writes.map((write) => found.get(write)!)
  }

  async #deliver(items: readonly Item[], outcomes: Outcome[]): Promise<void> {
    let pending = items
    let deadline: number | undefined
    for (let pause = FIRST_PAUSE_MS; pending.length > 0; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      let failure: Error
      try {
        pending = pending.some(({ sent }) => sent) ? await this.#lookBack(pending, outcomes) : pending
        const unsettled = await this.#send(pending, outcomes)
        if (unsettled.length === 0) return
        pending = unsettled
        failure = unavailable('CouchDB did not settle every document of a batch')
      } catch (error) {
        if (!isKv4Error(error, 'store_unavailable')) throw error
        failure = error
      }
      pending = pending.filter(({ index }) => outcomes[index] === undefined)
      deadline ??= Date.now() + this.graceMs
      if (Date.now() + pause > deadline) throw failure
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }

  /** What was not settled. */
  async #send(items: readonly Item[], outcomes: Outcome[]): Promise<readonly Item[]> {
    if (items.length === 0) return []
    const wasSent = items.map(({ sent }) => sent)
    for (const item of items) item.sent = true
    const { status, results } = await this.#bulk(items)
    const unsettled: Item[] = []
    const arrived: Arrived[] = []
    items.forEach((item, i) => {
      const result = results[i]!
      if (result.id !== item.document._id)
        throw new Error('CouchDB answered in another order than it was asked')
      if (result.rev !== undefined && result.error === undefined)
        arrived.push({ item, rev: result.rev, quorum: status === 201 && result.accepted !== true })
      else if (result.error === 'conflict' && item.write.kind === 'series')
        this.#settle(item, outcomes, 'stored')
      else if (result.error === 'conflict' && !wasSent[i]) this.#settle(item, outcomes, 'conflict')
      else if (isRefusal(result)) throw new CouchError(status, result.error ?? '', result.reason ?? '')
      else unsettled.push(item)
    })
    await this.#accept(arrived, outcomes)
    return unsettled
  }

  async #bulk(items: readonly Item[]): Promise<BulkAnswer> {
    const documents = items.map(({ document }) => document)
    if (this.readers.size === 0) return this.database.bulk(documents)
    const ids = documents.map(({ _id }) => _id)
    const landings = Array.from(this.readers, (own) => own.sending(ids))
    try {
      const answer = await this.database.bulk(documents)
      const written = answer.results.flatMap(({ id, rev, error }, i) =>
        rev === undefined || error !== undefined ? [] : [{ id, rev, write: items[i]!.write }],
      )
      for (const own of this.readers) own.wrote(written)
      return answer
    } finally {
      for (const land of landings) land()
    }
  }

  /** Settles writes that are in CouchDB: for good, unless too few copies have them or they came too late. */
  async #accept(arrived: readonly Arrived[], outcomes: Outcome[]): Promise<void> {
    const again = arrived.filter(({ item, rev }) => item.write.kind !== 'current' && generation(rev) > 1)
    const late = await this.#late(again)
    const unconfirmed: Arrived[] = []
    for (const each of arrived)
      if (late.has(each)) continue
      else if (!each.quorum) unconfirmed.push(each)
      else this.#settle(each.item, outcomes, 'stored', each.rev)
    await this.#takeBack([...late], outcomes)
    if (unconfirmed.length > 0) await this.#confirm(unconfirmed, outcomes)
  }

  async #late(again: readonly Arrived[]): Promise<ReadonlySet<Arrived>> {
    const late = new Set(again)
    const versions = again.flatMap((each) =>
      each.item.write.kind === 'versioned' ? [{ each, write: each.item.write }] : [],
    )
    const rows = await this.database.queryDocs(
      versions.map(({ write }) => {
        const { start, end } = Ids.versions(write.address, write.version.n)
        return { startkey: start, endkey: end, limit: 1 }
      }),
    )
    versions.forEach(({ each }, i) => {
      if (rows[i]!.length === 0) late.delete(each)
    })
    return late
  }

  /** Brings documents that too few copies may hold to a quorum. Throws `store_unavailable` when there is none now. */
  async #confirm(unconfirmed: readonly Arrived[], outcomes: Outcome[]): Promise<void> {
    this.log.warn(
      { bucket: this.database.bucket, documents: unconfirmed.length },
      'CouchDB did not say that a quorum has the documents: asking again',
    )
    const copies = unconfirmed.map(({ item, rev }) => ({
      ...item.document,
      _rev: rev,
      _revisions: revisions(rev, item.document._rev),
    }))
    const { status, results } = await this.database.bulk(copies, true)
    if (status !== 201 || results.length > 0 || !(await this.database.hasQuorum()))
      throw unavailable('too few copies of CouchDB are up')
    const rows = await this.database.docs(copies.map(({ _id }) => _id))
    const lost: Arrived[] = []
    let unseen = 0
    unconfirmed.forEach((each, i) => {
      const { doc, value } = rows[i]!
      if (value?.rev === each.rev) this.#settle(each.item, outcomes, 'stored', each.rev)
      else if (doc) lost.push(each)
      else unseen++
    })
    await this.#takeBack(lost, outcomes)
    // Read from a copy that does not have it yet.
    if (unseen > 0) throw unavailable('a copy of CouchDB is behind')
  }

  /** Removes revisions of ours that must not stay. A sample that was there before, or was forgotten, counts as stored. */
  async #takeBack(arrived: readonly Arrived[], outcomes: Outcome[]): Promise<void> {
    if (arrived.length === 0) return
    await this.database.bulk(arrived.map(({ item, rev }) => tombstone(item.document._id, rev)))
    for (const { item } of arrived)
      this.#settle(item, outcomes, item.write.kind === 'series' ? 'stored' : 'conflict')
  }

  /** Settles by what is there now; returns what has to be sent again. */
  async #lookBack(items: readonly Item[], outcomes: Outcome[]): Promise<readonly Item[]> {
    const rows = await this.database.docs(items.map(({ document }) => document._id))
    const tombs = rows.flatMap(({ id, value }) => (id && value?.deleted ? [{ id, rev: value.rev }] : []))
    const buried = new Map<string, StoredDocument>()
    for (const tomb of await this.database.revisions<StoredDocument>(tombs))
      if (tomb !== undefined) buried.set(tomb._id, tomb)

    const again: Item[] = []
    const arrived: Arrived[] = []
    items.forEach((item, i) => {
      const { doc, value } = rows[i]!
      const { _id, _rev, w } = item.document
      const found = doc ?? buried.get(_id)
      if (found !== undefined && value !== undefined && found.w === w)
        arrived.push({ item, rev: value.rev, quorum: false })
      else if (item.write.kind === 'series' && doc) this.#settle(item, outcomes, 'stored')
      else if (doc ? value?.rev === _rev : item.write.kind !== 'current' || _rev === undefined)
        again.push(item)
      else this.#settle(item, outcomes, 'conflict')
    })
    await this.#accept(arrived, outcomes)
    return again
  }

  #settle(item: Item, outcomes: Outcome[], outcome: Outcome, rev?: string): void {
    outcomes[item.index] = outcome
    const { write } = item
    if (write.kind === 'series') return
    if (outcome === 'conflict' || (write.kind === 'current' && write.version.op === 'delete'))
      this.heads.forget(write.address, write.kind)
    else this.heads.remember(write.address, write.kind, write.version.n, rev)
  }
}

function predecessor(write: PutVersion | PutCurrent): number {
  return write.kind === 'versioned' ? write.version.n - 1 : write.over
}

function generation(rev: string): number {
  return Number.parseInt(rev, 10)
}

/** The branch of a revision, as far as we know it: its ancestor lets a copy that lacks it put it in its place. */
function revisions(rev: string, ancestor: string | undefined): { start: number; ids: string[] } {
  const hash = (of: string): string => of.slice(of.indexOf('-') + 1)
  return { start: generation(rev), ids: ancestor === undefined ? [hash(rev)] : [hash(rev), hash(ancestor)] }
}

/** An answer to one document that another attempt would not change. */
function isRefusal({ error }: BulkResult): boolean {
  return error === 'forbidden' || error === 'unauthorized' || error === 'bad_request'
}

/** Indexes of the writes, split so that no round names an address twice. */
function rounds(writes: readonly Write[]): readonly (readonly number[])[] {
  const all: number[][] = []
  const used = new Map<string, number>()
  writes.forEach((write, index) => {
    const id = key(write)
    const round = id === undefined ? 0 : (used.get(id) ?? 0)
    if (id !== undefined) used.set(id, round + 1)
    ;(all[round] ??= []).push(index)
  })
  return all
}

function key(write: Write): string | undefined {
  return write.kind === 'series' ? undefined : write.kind + addressId(write.address satisfies Address)
}

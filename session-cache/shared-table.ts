import { open } from 'lmdb'
import type { Database, RootDatabase } from 'lmdb'
import { SessionCacheError } from './errors'
import type { RecordHead } from './record'
import { decodeHead, decodeValue, encodeRecord } from './record'
import type { Session } from './session'

/** What the initializer of a table decides for all who attach to it. */
export interface TableShape {
  /** Bytes of a value at most. */
  readonly recordSize: number
  /** Records at most. */
  readonly capacity: number
  /** Default life of a session that is set here, ms; 0: none. */
  readonly sessionsLength: number
  /** A session that nobody used for so long leaves in a sweep, ms; 0: never for that reason. */
  readonly agedOut: number
}

export interface TableOptions {
  /** Given by the initializer. Absent: attach to what another process made. */
  readonly shape?: TableShape
  /** A read writes down that it happened when the last such note is older than this, ms. Default 5000. */
  readonly touchMs?: number
  readonly clock?: () => number
}

export interface PutResult {
  /** false: the table has that session as new or newer. */
  readonly stored: boolean
  /** What had to go, least recently used first; the caller hands it downstream. */
  readonly out: readonly Session[]
}

/** A destroyed session is remembered so long, so that a late copy of it does not come back. */
const TOMBSTONE_MS = 10 * 60_000
const SWEEP_SCAN = 1000
const TOUCH_BATCH = 500
const TOUCH_BACKLOG = 20_000
const TOUCH_DELAY_MS = 20
// Address space, not memory: the file takes what `capacity` records take.
const MAP_BYTES = 16 * 1024 ** 3
const NOT_STORED: PutResult = { stored: false, out: [] }
const EMPTY = Buffer.alloc(0)
const SHAPE = 'shape'
const COUNT = 'count'

/**
 * The table that the processes of a box share: LMDB on a memory file system (docs/decisions/0070).
 *
 *   records   key         → record.ts
 *   recency   [used, key] → nothing; the first row goes first
 *   about     shape, count
 *
 * Each call is one transaction, so that whoever dies in the middle leaves nothing half done: the next process takes the
 * lock over, and readers that died are removed by every sweep. Reads take no lock.
 */
export class SharedTable {
  readonly #root: RootDatabase<Buffer, string>
  readonly #records: Database<Buffer, string>
  readonly #recency: Database<Buffer, [number, string]>
  readonly #about: Database<Buffer, string>
  readonly #clock: () => number
  readonly #touchMs: number
  readonly #touched = new Set<string>()
  #touching: NodeJS.Timeout | undefined
  #shape: TableShape | undefined
  #lastUsed = 0
  #scanned: string | undefined
  #closed = false

  constructor(
    readonly directory: string,
    options: TableOptions = {},
  ) {
    this.#clock = options.clock ?? Date.now
    this.#touchMs = options.touchMs ?? 5000
    this.#root = open<Buffer, string>({
      path: directory,
      encoding: 'binary',
      maxDbs: 4,
      maxReaders: 1024,
      mapSize: MAP_BYTES,
      // A cache in memory: when the machine goes, so does the file.
      noSync: true,
      overlappingSync: false,
    })
    this.#records = this.#root.openDB('records', { encoding: 'binary' })
    this.#recency = this.#root.openDB('recency', { encoding: 'binary' })
    this.#about = this.#root.openDB('about', { encoding: 'binary' })
    this.#root.readerCheck()
    if (options.shape !== undefined) {
      const shape = options.shape
      this.#root.transactionSync(() => {
        this.#about.putSync(SHAPE, Buffer.from(JSON.stringify(shape)))
      })
      this.#shape = shape
    }
  }

  /** @throws table_missing */
  get shape(): TableShape {
    // Asked again at each sweep, since an initializer may come back with another one.
    return (this.#shape ??= this.#readShape())
  }

  /** Records, destroyed and lapsed ones that no sweep has met yet included. */
  get count(): number {
    return this.#about.get(COUNT)?.readDoubleLE(0) ?? 0
  }

  /** The value; null: destroyed; undefined: not here, or its life is over. */
  get(key: string, look: 'newest' | 'this turn' = 'newest'): string | null | undefined {
    let record = this.#records.getBinaryFast(key)
    if (record === undefined) {
      if (look === 'this turn') return undefined
      // Reads of one turn see one moment: before saying no, look at the newest.
      this.#root.resetReadTxn()
      record = this.#records.getBinaryFast(key)
      if (record === undefined) return undefined
    }
    const now = this.#clock()
    const exp = record.readDoubleLE(8)
    if (exp !== 0 && exp <= now) return undefined
    if (record[24] !== 0) return null
    const used = record.readDoubleLE(16)
    const value = decodeValue(record, record.length)
    if (now - used >= this.#touchMs) this.#touch(key)
    return value
  }

  /** The session with what the tiers need to know of it; by the same rules as `get`. */
  session(key: string, counts: 'as a use' | 'as no use' = 'as no use'): Session | undefined {
    this.#root.resetReadTxn()
    const found = this.#read(key)
    const now = this.#clock()
    if (found === undefined || isOver(found.head, now)) return undefined
    if (counts === 'as a use' && !found.head.destroyed && now - found.head.used >= this.#touchMs)
      this.#touch(key)
    return sessionOf(key, found)
  }

  /** Sets from this box: newer than whatever the table has. */
  set(key: string, value: string, life?: number): PutResult & { readonly session: Session } {
    const { recordSize, sessionsLength } = this.shape
    checkSize(value, recordSize)
    const lasts = life ?? sessionsLength
    return this.#write(() => {
      const now = this.#clock()
      const before = this.#read(key)?.head
      const at = Math.max(now, before === undefined ? 0 : before.at + 1)
      const session: Session = { key, value, at, exp: lasts === 0 ? 0 : now + lasts }
      return { session, stored: true, out: this.#store(session, before) }
    })
  }

  /** Destroys, and keeps that in mind. */
  destroy(key: string): Session {
    return this.#write(() => {
      const now = this.#clock()
      const before = this.#read(key)?.head
      const at = Math.max(now, before === undefined ? 0 : before.at + 1)
      const session: Session = { key, value: null, at, exp: now + TOMBSTONE_MS }
      this.#store(session, before)
      return session
    })
  }

  /** Takes over what another tier says, unless the table knows better. @throws value_too_large, table_missing */
  put(session: Session): PutResult {
    if (session.value !== null) checkSize(session.value, this.shape.recordSize)
    return this.#write(() => this.#put(session))
  }

  /** Several in one transaction; what is too large is left out. @throws table_missing */
  putAll(sessions: readonly Session[]): readonly PutResult[] {
    const { recordSize } = this.shape
    return this.#write(() =>
      sessions.map((session) =>
        session.value !== null && Buffer.byteLength(session.value) > recordSize
          ? NOT_STORED
          : this.#put(session),
      ),
    )
  }

  /** Forgets the session here. false: it was not here. */
  delete(key: string): boolean {
    return this.#write(() => {
      const before = this.#read(key)?.head
      if (before === undefined) return false
      this.#remove(key, before)
      this.#setCount(this.count - 1)
      return !before.destroyed && !isOver(before, this.#clock())
    })
  }

  /** Puts out the least recently used, at most `most` that were not used for `idle` ms. */
  evict(most: number, idle: number): readonly Session[] {
    return this.#write(() => this.#evict(most, this.#clock() - idle))
  }

  /**
   * What is to be done from time to time, by one process of the box: readers that died let go of their pages, the next
   * thousand records are looked through for lapsed ones, what nobody used for `agedOut` leaves (at most `most`).
   */
  sweep(most: number): readonly Session[] {
    this.#root.readerCheck()
    this.#shape = this.#readShape()
    const { agedOut, capacity } = this.#shape
    return this.#write(() => {
      const now = this.#clock()
      this.#dropLapsed(now)
      const over = Math.max(0, this.count - capacity)
      const out = over === 0 ? [] : this.#evict(over, now + 1)
      return agedOut === 0 ? out : [...out, ...this.#evict(most, now - agedOut)]
    })
  }

  /** Sessions that were written here at `since` or later, in the order in which they were used, `limit` a page. */
  *writtenSince(since: number, limit = 500): Generator<readonly Session[], undefined> {
    let after: [number, string] = [since, '']
    for (;;) {
      this.#root.resetReadTxn()
      const page: Session[] = []
      let last: [number, string] | undefined
      for (const row of this.#recency.getKeys({ start: after, limit: limit + 1 })) {
        if (row[0] === after[0] && row[1] === after[1]) continue
        last = row
        const found = this.#read(row[1])
        if (found !== undefined && !isOver(found.head, this.#clock())) page.push(sessionOf(row[1], found))
      }
      if (page.length > 0) yield page
      if (last === undefined) return undefined
      after = last
    }
  }

  /** Writes down the reads that wait for it. */
  flush(): void {
    clearTimeout(this.#touching)
    this.#touching = undefined
    if (this.#touched.size === 0) return
    const batch: string[] = []
    for (const key of this.#touched) {
      if (batch.length === TOUCH_BATCH) break
      batch.push(key)
      this.#touched.delete(key)
    }
    this.#write(() => {
      const now = this.#clock()
      for (const key of batch) {
        const found = this.#read(key)
        if (found === undefined || found.head.destroyed || now - found.head.used < this.#touchMs) continue
        this.#recency.removeSync([found.head.used, key])
        const used = this.#nextUsed()
        this.#recency.putSync([used, key], EMPTY)
        this.#records.putSync(key, encodeRecord({ ...found.head, used }, found.value))
      }
    })
    if (this.#touched.size > 0) this.#touchLater()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.flush()
    clearTimeout(this.#touching)
    this.#closed = true
    await this.#root.close()
  }

  #touch(key: string): void {
    // Recency is a hint: under a flood of reads some go unnoted.
    if (this.#touched.size >= TOUCH_BACKLOG) return
    this.#touched.add(key)
    this.#touchLater()
  }

  #touchLater(): void {
    this.#touching ??= setTimeout(() => {
      this.#touching = undefined
      try {
        this.flush()
      } catch (error) {
        // Recency is a hint; a write that somebody waits for will fail too, and tell them.
        process.emitWarning(error as Error)
      }
    }, TOUCH_DELAY_MS).unref()
  }

  #write<T>(work: () => T): T {
    if (this.#closed) throw new SessionCacheError('closed')
    try {
      return this.#root.transactionSync(work)
    } catch (error) {
      if (error instanceof SessionCacheError) throw error
      throw new SessionCacheError('table_failed', (error as Error).message, error)
    }
  }

  #read(key: string): Found | undefined {
    const record = this.#records.getBinaryFast(key)
    return record === undefined
      ? undefined
      : { head: decodeHead(record), value: decodeValue(record, record.length) }
  }

  #readShape(): TableShape {
    this.#root.resetReadTxn()
    const text = this.#about.get(SHAPE)
    if (text === undefined) throw new SessionCacheError('table_missing', this.directory)
    return JSON.parse(text.toString()) as TableShape
  }

  /** In a transaction. */
  #put(session: Session): PutResult {
    const now = this.#clock()
    if (session.exp !== 0 && session.exp <= now) return NOT_STORED
    const before = this.#read(session.key)?.head
    if (before !== undefined && !isNewer(session, before)) return NOT_STORED
    const kept =
      session.value === null && session.exp === 0 ? { ...session, exp: now + TOMBSTONE_MS } : session
    return { stored: true, out: this.#store(kept, before) }
  }

  /** In a transaction. */
  #store(session: Session, before: RecordHead | undefined): readonly Session[] {
    const { capacity } = this.shape
    const used = this.#nextUsed()
    if (before !== undefined) this.#recency.removeSync([before.used, session.key])
    const head = { at: session.at, exp: session.exp, used, destroyed: session.value === null }
    this.#records.putSync(session.key, encodeRecord(head, session.value ?? ''))
    this.#recency.putSync([used, session.key], EMPTY)
    if (before !== undefined) return []
    const count = this.count + 1
    this.#setCount(count)
    return count > capacity ? this.#evict(count - capacity, Infinity) : []
  }

  /** In a transaction. Of what goes, only what still lives is told. */
  #evict(most: number, usedBefore: number): readonly Session[] {
    const now = this.#clock()
    const rows: [number, string][] = []
    for (const row of this.#recency.getKeys({ limit: most })) {
      if (row[0] > usedBefore) break
      rows.push(row)
    }
    const out: Session[] = []
    for (const [, key] of rows) {
      const found = this.#read(key)!
      this.#remove(key, found.head)
      if (!found.head.destroyed && !isOver(found.head, now)) out.push(sessionOf(key, found))
    }
    if (rows.length > 0) this.#setCount(this.count - rows.length)
    return out
  }

  /** In a transaction. */
  #dropLapsed(now: number): void {
    const keys: string[] = []
    const range = { limit: SWEEP_SCAN, ...(this.#scanned === undefined ? {} : { start: this.#scanned }) }
    for (const key of this.#records.getKeys(range)) keys.push(key)
    this.#scanned = keys.length < SWEEP_SCAN ? undefined : keys.at(-1)
    let dropped = 0
    for (const key of keys) {
      const { head } = this.#read(key)!
      if (!isOver(head, now)) continue
      this.#remove(key, head)
      dropped++
    }
    if (dropped > 0) this.#setCount(this.count - dropped)
  }

  #remove(key: string, head: RecordHead): void {
    this.#records.removeSync(key)
    this.#recency.removeSync([head.used, key])
  }

  #setCount(count: number): void {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeDoubleLE(count)
    this.#about.putSync(COUNT, bytes)
  }

  /** Never the same twice in a process; two processes in the same ms are told apart by the key. */
  #nextUsed(): number {
    return (this.#lastUsed = Math.max(this.#clock(), this.#lastUsed + 1 / 1024))
  }
}

interface Found {
  readonly head: RecordHead
  readonly value: string
}

function sessionOf(key: string, { head, value }: Found): Session {
  return { key, value: head.destroyed ? null : value, at: head.at, exp: head.exp }
}

function isOver(head: RecordHead, now: number): boolean {
  return head.exp !== 0 && head.exp <= now
}

function isNewer(session: Session, than: RecordHead): boolean {
  if (session.at !== than.at) return session.at > than.at
  return session.value === null && !than.destroyed
}

function checkSize(value: string, recordSize: number): void {
  const bytes = Buffer.byteLength(value)
  if (bytes > recordSize)
    throw new SessionCacheError('value_too_large', `${bytes} bytes, record_size ${recordSize}`)
}

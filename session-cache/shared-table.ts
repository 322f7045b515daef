import { open } from 'lmdb'
import type { Database, RootDatabase } from 'lmdb'
import { SessionCacheError } from './errors'
import type { HotCopy } from './hot-copies'
import { HotCopies } from './hot-copies'
import { reserveLockFile } from './lock-file'
import type { RecordHead } from './record'
import { copyAsUsed, decodeHead, decodeValue, encodeRecord } from './record'
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
  /**
   * A read writes down that it happened when the last such note is older than this, ms. Default: a quarter of the time
   * that what was put out last had not been used, a minute at most.
   */
  readonly touchMs?: number
  /** Bytes of the process's own copies of what it reads most; 0: none. Default 8 MiB. */
  readonly hotBytes?: number
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
// Others wait for the lock while a batch is written.
const TOUCH_BATCH = 200
const MOST_TOUCH_MS = 60_000
const LEAST_TOUCH_MS = 1000
const TOUCH_BACKLOG = 20_000
const TOUCH_DELAY_MS = 20
// Address space, not memory: the file takes what `capacity` records take.
const MAP_BYTES = 16 * 1024 ** 3
const NOT_STORED: PutResult = { stored: false, out: [] }
const EMPTY = Buffer.alloc(0)
const SHAPE = 'shape'
const TALLY = 'tally'
const TOLD = 'told'
/** Writes that a process may be behind before it forgets all its copies. */
const CHANGES = 1024
/** Keys that one write lists as changed; after one that changed more, all copies are forgotten. */
const LISTED = 500
const HOT_BYTES = 8 * 1024 * 1024
/** By so much the next of two clock readings is later, where the clock itself does not say so. Ms. */
const AT_STEP = 1 / 1024

/**
 * The table that the processes of a box share: LMDB on a memory file system (docs/decisions/0070).
 *
 *   records   key         → record.ts
 *   recency   [used, key] → nothing; the first row goes first
 *   changes   n % 1024    → [n, key …]: what the n-th write changed, so that others drop their copies of it
 *   about     shape; tally: records, the latest `at`, writes so far, how soon records are put out;
 *             told: until when it was told what others changed
 *
 * Each call is one transaction, so that whoever dies in the middle leaves nothing half done: the next process takes the
 * lock over, and readers that died are removed by every sweep. Reads take no lock.
 */
export class SharedTable {
  readonly #root: RootDatabase<Buffer, string>
  readonly #records: Database<Buffer, string>
  readonly #recency: Database<Buffer, [number, string]>
  readonly #changes: Database<Buffer, number>
  readonly #about: Database<Buffer, string>
  readonly #clock: () => number
  readonly #touchMs: number | undefined
  /** What holds where `#touchMs` says nothing. */
  #adapted = MOST_TOUCH_MS
  readonly #touched = new Set<string>()
  readonly #hot: HotCopies
  /** The last write whose changes `#hot` knows, and when that was looked up, ms. */
  #seen = -1
  #lookedAt = 0
  /** What was looked for last was not there. */
  #missed = false
  /** Of the write that is under way. */
  #writing: Writing | undefined
  #touching: NodeJS.Timeout | undefined
  #shape: TableShape | undefined
  #lastUsed = 0
  #heardOf = 0
  #warned = false
  #scanned: string | undefined
  #closed = false

  /** @throws table_failed */
  constructor(
    readonly directory: string,
    options: TableOptions = {},
  ) {
    this.#clock = options.clock ?? Date.now
    this.#touchMs = options.touchMs
    this.#hot = new HotCopies(options.hotBytes ?? HOT_BYTES)
    try {
      reserveLockFile(directory)
      this.#root = open<Buffer, string>({
        path: directory,
        encoding: 'binary',
        maxDbs: 5,
        maxReaders: 1024,
        mapSize: MAP_BYTES,
        // A cache in memory: when the machine goes, so does the file.
        noSync: true,
        overlappingSync: false,
      })
    } catch (error) {
      throw tableFailed(error)
    }
    try {
      this.#records = this.#root.openDB('records', { encoding: 'binary' })
      this.#recency = this.#root.openDB('recency', { encoding: 'binary' })
      this.#changes = this.#root.openDB('changes', { encoding: 'binary' })
      this.#about = this.#root.openDB('about', { encoding: 'binary' })
      this.#root.readerCheck()
      if (options.shape !== undefined) {
        const shape = options.shape
        this.#root.transactionSync(() => {
          this.#about.putSync(SHAPE, Buffer.from(JSON.stringify(shape)))
        })
        this.#shape = shape
      }
    } catch (error) {
      void this.#root.close()
      throw tableFailed(error)
    }
  }

  /** @throws table_missing */
  get shape(): TableShape {
    // Asked again at each sweep, since an initializer may come back with another one.
    return (this.#shape ??= this.#readShape())
  }

  /** Records, destroyed and lapsed ones that no sweep has met yet included. */
  get count(): number {
    this.#root.resetReadTxn()
    return this.#tally().count
  }

  /**
   * The value; null: destroyed; undefined: not here, or its life is over. As the table was at most 1 ms ago. `otherName`:
   * under which it may lie instead.
   */
  get(key: string, otherName?: (key: string) => string): string | null | undefined {
    const ms = Date.now()
    if (ms !== this.#lookedAt) this.#dropWhatChanged(ms)
    const value = this.#use(key, this.#hot.get(key) ?? this.#load(key, this.#readTwice(key)), ms)
    if (value !== undefined || otherName === undefined) return value
    const name = otherName(key)
    // What the last look saw is new enough.
    return this.#use(name, this.#hot.get(name) ?? this.#load(name, this.#read(name)), ms)
  }

  /** The session with what the tiers need to know of it; as a use by the same rules as `get`, else as it is now. */
  session(key: string, counts: 'as a use' | 'as no use' = 'as no use'): Session | undefined {
    const ms = Date.now()
    if (counts === 'as no use') this.#root.resetReadTxn()
    else if (ms !== this.#lookedAt) this.#dropWhatChanged(ms)
    const found = counts === 'as a use' ? this.#readTwice(key) : this.#read(key)
    const now = this.#clock()
    if (found === undefined || isOver(found.head, now)) return undefined
    if (
      counts === 'as a use' &&
      !found.head.destroyed &&
      now - found.head.used >= (this.#touchMs ?? this.#adapted)
    )
      this.#touch(key)
    return sessionOf(key, found)
  }

  /** Sets from this box: newer than whatever the table has. */
  set(key: string, value: string, life?: number): PutResult & { readonly session: Session } {
    const { recordSize, sessionsLength } = this.shape
    checkSize(value, recordSize)
    const lasts = life ?? sessionsLength
    return this.#write(() => {
      const before = this.#read(key)?.head
      const at = this.#stamp(before)
      const session: Session = { key, value, at, exp: lasts === 0 ? 0 : this.#clock() + lasts }
      return { session, stored: true, out: this.#store(session, before) }
    })
  }

  /** Destroys, and keeps that in mind. */
  destroy(key: string): Session {
    return this.#write(() => {
      const before = this.#read(key)?.head
      const at = this.#stamp(before)
      const session: Session = { key, value: null, at, exp: this.#clock() + TOMBSTONE_MS }
      this.#store(session, before)
      return session
    })
  }

  /** An `at` for a session whose sender did not say one: later than what the table has of it. */
  stamp(key: string): number {
    this.#root.resetReadTxn()
    return this.#stamp(this.#read(key)?.head)
  }

  /** A session of that time was seen that is not in the table yet: what is set from now on is later. */
  heard(at: number): void {
    this.#heardOf = Math.max(this.#heardOf, at)
  }

  /** Until when the table was told what others changed, unix ms; undefined: never. */
  get toldUntil(): number | undefined {
    this.#root.resetReadTxn()
    return this.#about.getBinaryFast(TOLD)?.readDoubleLE(0)
  }

  noteTold(until: number): void {
    this.#write(() => {
      const note = Buffer.allocUnsafe(8)
      note.writeDoubleLE(until, 0)
      this.#about.putSync(TOLD, note)
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
      const over = Math.max(0, this.#writing!.count - capacity)
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
    const due = this.#notYetUsed(batch)
    if (due.length > 0)
      this.#write(() => {
        for (const key of this.#notYetUsed(due)) {
          const before = this.#records.getBinaryFast(key)!
          const used = this.#nextUsed()
          this.#recency.removeSync([decodeHead(before).used, key])
          this.#recency.putSync([used, key], EMPTY)
          this.#records.putSync(key, copyAsUsed(before, before.length, used))
          const copy = this.#hot.get(key)
          if (copy !== undefined) copy.used = used
        }
      })
    if (this.#touched.size > 0) this.#touchLater()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.flush()
    clearTimeout(this.#touching)
    this.#closed = true
    this.#lookedAt = 0
    await this.#root.close()
  }

  /** Those of the keys whose use nobody has written down lately. */
  #notYetUsed(keys: readonly string[]): string[] {
    if (this.#writing === undefined) this.#root.resetReadTxn()
    const now = this.#clock()
    return keys.filter((key) => {
      const record = this.#records.getBinaryFast(key)
      if (record === undefined) return false
      const { used, destroyed } = decodeHead(record)
      const copy = this.#hot.get(key)
      if (copy !== undefined) copy.used = used
      return !destroyed && now - used >= (this.#touchMs ?? this.#adapted)
    })
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
        this.#warned = false
      } catch (error) {
        // Recency is a hint; a write that somebody waits for will fail too, and tell them.
        if (!this.#warned) process.emitWarning(error as Error)
        this.#warned = true
      }
    }, TOUCH_DELAY_MS).unref()
  }

  #write<T>(work: () => T): T {
    if (this.#closed) throw new SessionCacheError('closed')
    let writing: Writing | undefined
    try {
      return this.#root.transactionSync(() => {
        const before = this.#tally()
        this.#writing = writing = { ...before, changed: [] }
        const result = work()
        if (writing.changed.length > 0) {
          const n = ++writing.writes
          const listed = writing.changed.length > LISTED ? [] : writing.changed
          this.#changes.putSync(n % CHANGES, Buffer.from(JSON.stringify([n, ...listed])))
        }
        if (writing.writes !== before.writes || writing.latest !== before.latest) this.#setTally(writing)
        return result
      })
    } catch (error) {
      throw tableFailed(error)
    } finally {
      this.#writing = undefined
      for (const key of writing?.changed ?? []) this.#hot.drop(key)
    }
  }

  /** Drops the copies of what was written since the last look. */
  #dropWhatChanged(ms: number): void {
    if (this.#closed) throw new SessionCacheError('closed')
    this.#lookedAt = ms
    this.#root.resetReadTxn()
    const { writes, idle } = this.#tally()
    this.#adapted = idle === 0 ? MOST_TOUCH_MS : Math.min(MOST_TOUCH_MS, Math.max(LEAST_TOUCH_MS, idle / 4))
    const behind = writes - this.#seen
    const from = this.#seen + 1
    this.#seen = writes
    if (behind === 0 || this.#hot.size === 0) return
    if (behind < 0 || behind > CHANGES) {
      this.#hot.clear()
      return
    }
    for (let n = from; n <= writes; n++) {
      const row = this.#changes.getBinaryFast(n % CHANGES)
      const [number, ...keys] = (
        row === undefined ? [] : JSON.parse(row.toString('utf8', 0, row.length))
      ) as [number?, ...string[]]
      if (number !== n || keys.length === 0) {
        this.#hot.clear()
        return
      }
      for (const key of keys) this.#hot.drop(key)
    }
  }

  /** The value, and a note that it was used. */
  #use(key: string, copy: HotCopy | undefined, ms: number): string | null | undefined {
    if (copy === undefined) return undefined
    const now = this.#clock === Date.now ? ms : this.#clock()
    if (copy.exp !== 0 && copy.exp <= now) return undefined
    if (copy.value !== null && now - copy.used >= (this.#touchMs ?? this.#adapted)) this.#touch(key)
    return copy.value
  }

  /** The record as a copy that is kept. */
  #load(key: string, found: Found | undefined): HotCopy | undefined {
    if (found === undefined) return undefined
    const { head, value } = found
    const copy: HotCopy = { value: head.destroyed ? null : value, exp: head.exp, used: head.used }
    this.#hot.keep(key, copy)
    return copy
  }

  /** Of two looks the second one at what is newest; that one alone by who missed the last time, and is likely to again. */
  #readTwice(key: string): Found | undefined {
    if (!this.#missed) {
      const found = this.#read(key)
      if (found !== undefined) return found
    }
    this.#root.resetReadTxn()
    const newest = this.#read(key)
    this.#missed = newest === undefined
    return newest
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
    const writing = this.#writing!
    writing.changed.push(session.key)
    writing.latest = Math.max(writing.latest, session.at)
    if (before !== undefined) return []
    const count = ++writing.count
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
    const newest = rows.at(-1)
    if (newest !== undefined) this.#writing!.idle = Math.max(1, now - newest[0])
    for (const [, key] of rows) {
      const found = this.#read(key)!
      this.#remove(key, found.head)
      if (!found.head.destroyed && !isOver(found.head, now)) out.push(sessionOf(key, found))
    }
    return out
  }

  /** In a transaction. */
  #dropLapsed(now: number): void {
    const keys: string[] = []
    const range = { limit: SWEEP_SCAN, ...(this.#scanned === undefined ? {} : { start: this.#scanned }) }
    for (const key of this.#records.getKeys(range)) keys.push(key)
    this.#scanned = keys.length < SWEEP_SCAN ? undefined : keys.at(-1)
    for (const key of keys) {
      const { head } = this.#read(key)!
      if (isOver(head, now)) this.#remove(key, head)
    }
  }

  /** In a transaction. */
  #remove(key: string, head: RecordHead): void {
    this.#records.removeSync(key)
    this.#recency.removeSync([head.used, key])
    this.#writing!.changed.push(key)
    this.#writing!.count--
  }

  /**
   * Later than the session before, and than all that this table has heard of: so whoever changes a session that came from
   * a box whose clock is ahead still makes the later one (a hybrid logical clock).
   */
  #stamp(before: RecordHead | undefined): number {
    const now = this.#clock()
    const latest = Math.max(this.#heardOf, (this.#writing ?? this.#tally()).latest)
    return Math.max(now, before === undefined ? 0 : before.at + AT_STEP, latest > now ? latest + AT_STEP : 0)
  }

  #tally(): Tally {
    const bytes = this.#about.getBinaryFast(TALLY)
    return bytes === undefined
      ? { count: 0, latest: 0, writes: 0, idle: 0 }
      : {
          count: bytes.readDoubleLE(0),
          latest: bytes.readDoubleLE(8),
          writes: bytes.readDoubleLE(16),
          idle: bytes.readDoubleLE(24),
        }
  }

  #setTally({ count, latest, writes, idle }: Tally): void {
    const bytes = Buffer.allocUnsafe(32)
    bytes.writeDoubleLE(count, 0)
    bytes.writeDoubleLE(latest, 8)
    bytes.writeDoubleLE(writes, 16)
    bytes.writeDoubleLE(idle, 24)
    this.#about.putSync(TALLY, bytes)
  }

  /** Never the same twice in a process; two processes in the same ms are told apart by the key. */
  #nextUsed(): number {
    return (this.#lastUsed = Math.max(this.#clock(), this.#lastUsed + 1 / 1024))
  }
}

function tableFailed(error: unknown): SessionCacheError {
  return error instanceof SessionCacheError
    ? error
    : new SessionCacheError('table_failed', (error as Error).message, error)
}

interface Tally {
  count: number
  /** The latest `at` that was heard of. */
  latest: number
  /** Writes that changed something, so far. */
  writes: number
  /** How long what was put out last had not been used, ms; 0: nothing was. */
  idle: number
}

interface Writing extends Tally {
  readonly changed: string[]
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

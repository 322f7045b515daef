import { DataDirectoryError } from './data-directory-error'
import type { Environment, Range, Reader, Row, Writes } from './environment'
import { StoreKey } from './layout'
import { follows } from './log-file'
import type { Batch, LoggedBatch } from './log-file'
import { Overlay } from './overlay'
import type { Logged } from './overlay'
import { WriteAheadLog } from './write-ahead-log'

/** Records that go to the environment in one transaction, about; and how long they wait for more, ms. */
const APPLY_AT = 5000
const APPLY_AFTER_MS = 500
/** What may wait; who writes faster than the environment takes it is slowed down. */
const MOST_RECORDS = 20_000
const MOST_BYTES = 32 * 1024 * 1024
/** Of LMDB with pages of 4 KiB. */
const LONGEST_KEY = 1978

const NOTHING = Buffer.alloc(0)
const BEHIND_ALL = Buffer.from([0xff])

export interface LoggedOptions {
  /** Told once, when what is in the log cannot be brought to the environment. */
  readonly onFailure: (error: Error) => void
  /** What is not on disk after so long, ms, is taken for failed: lmdb does not tell of every failure. */
  readonly stallMs: number
  readonly pace?: LogPace
}

/** Tests make them small. */
export interface LogPace {
  readonly applyAt?: number
  readonly applyAfterMs?: number
  readonly turnAt?: number
}

/** The last batch that the environment has. */
interface Applied {
  readonly seq: number
  readonly crc: number
}

/**
 * The environment behind a write-ahead log (docs/decisions/0082-a-log-in-front-of-lmdb.md). A write is on disk when it is
 * in the log, one call to the disk for a batch; the environment takes many batches in one transaction, later, and whole ones
 * in their order, so that its file is always a state that the store was in. Reads see both.
 *
 *     write ──► log ──► acknowledged, in the overlay ──► transaction ──► out of the overlay, its part of the log is free
 */
export class LoggedEnvironment implements Reader {
  readonly #overlay = new Overlay()
  /** Logged and not applied, oldest first. */
  #waiting: LoggedBatch[] = []
  #waitingRecords = 0
  #waitingBytes = 0
  #last: Applied
  #applied: number
  #applying: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  /** Told after each transaction. */
  #hasRoom: () => void = () => undefined
  #failure: Error | undefined
  readonly #applyAt: number
  readonly #applyAfterMs: number

  private constructor(
    private readonly environment: Environment,
    private readonly log: WriteAheadLog,
    applied: Applied,
    private readonly options: LoggedOptions,
  ) {
    this.#last = applied
    this.#applied = applied.seq
    this.#applyAt = options.pace?.applyAt ?? APPLY_AT
    this.#applyAfterMs = options.pace?.applyAfterMs ?? APPLY_AFTER_MS
  }

  /**
   * Brings what the log holds to the environment first.
   * @throws DataDirectoryError data_dir_unreadable: the log is not whole, or does not belong to the environment's state
   */
  static async open(
    environment: Environment,
    directory: string,
    options: LoggedOptions,
  ): Promise<LoggedEnvironment> {
    const unreadable = (detail: string) => new DataDirectoryError('data_dir_unreadable', directory, detail)
    const found = environment.get(StoreKey.applied)
    const missing = WriteAheadLog.missing(directory)
    if (found !== undefined && missing !== undefined)
      throw unreadable(`its log ${missing} is missing, which may hold what was written last`)
    const log = await WriteAheadLog.open(directory, options.pace?.turnAt)
    try {
      const logged = new LoggedEnvironment(environment, log, found ? decodeApplied(found) : NONE, options)
      const { batches, stray } = await log.read()
      for (const batch of batches) {
        if (batch.seq <= logged.#applied) continue
        if (!follows(batch, logged.#last))
          throw unreadable(`batch ${batch.seq} of its log does not follow what it holds, ${logged.#last.seq}`)
        logged.#take(batch)
      }
      if (stray > logged.#last.seq)
        throw unreadable(`its log is damaged behind batch ${logged.#last.seq}: there is a batch ${stray}`)
      await logged.#drain()
      return logged
    } catch (error) {
      await log.close()
      throw error
    }
  }

  get(key: Buffer): Buffer | undefined {
    const logged = this.#overlay.get(key)
    return logged === undefined ? this.environment.get(key) : logged.value
  }

  range(range: Range): Iterable<Row> {
    if (this.#overlay.empty) return this.environment.range(range)
    const { start, end, limit } = range
    return this.#merged(this.environment.range({ start, end }), start, end, limit)
  }

  rangeBackward(range: Range): Iterable<Row> {
    if (this.#overlay.empty) return this.environment.rangeBackward(range)
    const { start, end, limit } = range
    return this.#merged(this.environment.rangeBackward({ start, end }), start, end, limit, true)
  }

  keys(range: Range): Iterable<Buffer> {
    if (this.#overlay.empty) return this.environment.keys(range)
    const { start, end, limit } = range
    const stored = rowsOf(this.environment.keys({ start, end }))
    return keysOf(this.#merged(stored, start, end, limit))
  }

  firstKeyFrom(start: Buffer): Buffer | undefined {
    if (this.#overlay.from(start) === undefined) return this.environment.firstKeyFrom(start)
    for (const key of this.keys({ start, end: BEHIND_ALL, limit: 1 })) return key
    return undefined
  }

  /** Resolves when all of it is on disk and in view. One at a time. @throws the system's error */
  async write(writes: Writes): Promise<void> {
    while (this.#isFull && this.#failure === undefined) {
      const room = new Promise<void>((resolve) => (this.#hasRoom = resolve))
      void this.#apply()
      await room
    }
    this.#check()
    const { seq, crc: before } = this.#last
    const batch: Batch = { seq: seq + 1, writes: [...writes] }
    try {
      // What is in the log and cannot be applied would keep the store from opening for good.
      for (const [key] of batch.writes)
        if (key.length === 0 || key.length > LONGEST_KEY) throw new RangeError(`a key of ${key.length} bytes`)
      const crc = await this.#inTime(this.log.append(batch, before, this.#applied))
      // Applying failed meanwhile: nothing is acknowledged any more.
      this.#check()
      this.#take({ seq: batch.seq, writes: batch.writes, crc, before })
    } catch (error) {
      throw (this.#failure = error as Error)
    }
    if (this.#waitingRecords >= this.#applyAt) void this.#apply()
    else this.#applyLater()
  }

  /** Brings all to the environment, unless something failed: then the next one to open it does. */
  async close(): Promise<void> {
    await this.#drain().catch(() => undefined)
    clearTimeout(this.#timer)
    await this.log.close()
    await this.environment.close()
  }

  get #isFull(): boolean {
    return this.#waitingRecords >= MOST_RECORDS || this.#waitingBytes >= MOST_BYTES
  }

  /** A batch that is in the log. */
  #take(batch: LoggedBatch): void {
    this.#last = batch
    this.#overlay.add(batch)
    this.#waiting.push(batch)
    this.#waitingRecords += batch.writes.length
    this.#waitingBytes += bytesOf(batch)
  }

  async #inTime<T>(writing: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const { stallMs } = this.options
    const stalled = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the disk took no write within ${stallMs} ms`)), stallMs)
    })
    try {
      return await Promise.race([writing, stalled])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Resolves when nothing waits. @throws the failure that keeps it from that */
  async #drain(): Promise<void> {
    while (this.#waiting.length > 0 && this.#failure === undefined) await this.#apply()
    await this.#applying
    this.#check()
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  #applyLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      void this.#apply()
    }, this.#applyAfterMs).unref()
  }

  /** A failure is kept, and told to `onFailure`. */
  #apply(): Promise<void> {
    return (this.#applying ??= this.#applyWaiting().finally(() => {
      this.#applying = undefined
      this.#hasRoom()
    }))
  }

  /** What waits now, and what comes meanwhile while it is enough for a transaction. */
  async #applyWaiting(): Promise<void> {
    const { seq } = this.#last
    while (this.#failure === undefined && (this.#applied < seq || this.#waitingRecords >= this.#applyAt)) {
      const batches = this.#nextTransaction()
      try {
        await this.#inTime(this.environment.write(transactionOf(batches)))
      } catch (error) {
        this.#failure = error as Error
        this.options.onFailure(this.#failure)
        return
      }
      this.#applied = batches.at(-1)!.seq
      this.#waiting.splice(0, batches.length)
      for (const batch of batches) {
        this.#overlay.remove(batch, this.#applied)
        this.#waitingRecords -= batch.writes.length
        this.#waitingBytes -= bytesOf(batch)
      }
      this.#hasRoom()
    }
    if (this.#waiting.length > 0 && this.#failure === undefined) this.#applyLater()
  }

  #nextTransaction(): readonly LoggedBatch[] {
    let records = 0
    let count = 0
    while (count < this.#waiting.length && records < this.#applyAt)
      records += this.#waiting[count++]!.writes.length
    return this.#waiting.slice(0, count)
  }

  /** Rows of the environment's file and of the overlay, in the order of `stored`; the overlay has the last word. */
  *#merged(
    stored: Iterable<Row>,
    start: Buffer,
    end: Buffer,
    limit = Infinity,
    backward = false,
  ): Generator<Row> {
    const overlay = this.#overlay
    const next = backward ? (key: Buffer) => overlay.before(key) : (key: Buffer) => overlay.after(key)
    const within = (logged: Logged | undefined) =>
      logged !== undefined &&
      (backward ? Buffer.compare(logged.key, start) >= 0 : Buffer.compare(logged.key, end) < 0)
        ? logged
        : undefined
    let logged = within(backward ? overlay.before(end) : overlay.from(start))
    let left = limit
    const rows = stored[Symbol.iterator]()
    try {
      let row = rows.next()
      while (left > 0) {
        if (logged === undefined && row.done) return
        const order =
          logged === undefined
            ? 1
            : row.done
              ? -1
              : Buffer.compare(logged.key, row.value.key) * (backward ? -1 : 1)
        if (order > 0) {
          yield row.value as Row
          left--
        } else if (logged!.value !== undefined) {
          yield logged as Row
          left--
        }
        if (order >= 0) row = rows.next()
        if (order <= 0) logged = within(next(logged!.key))
      }
    } finally {
      rows.return?.()
    }
  }
}

/** What batches come to together, and how far the environment is with them. */
function transactionOf(batches: readonly LoggedBatch[]): Writes {
  const records = new Map<string, Batch['writes'][number]>()
  for (const { writes } of batches)
    for (const record of writes) records.set(record[0].toString('latin1'), record)
  return [...records.values(), [StoreKey.applied, encodeApplied(batches.at(-1)!)]]
}

const NONE: Applied = { seq: 0, crc: 0 }

function encodeApplied({ seq, crc }: Applied): Buffer {
  const record = Buffer.alloc(12)
  record.writeDoubleBE(seq)
  record.writeUInt32BE(crc, 8)
  return record
}

function decodeApplied(record: Buffer): Applied {
  return { seq: record.readDoubleBE(), crc: record.readUInt32BE(8) }
}

function bytesOf({ writes }: Batch): number {
  let bytes = 0
  for (const [key, value] of writes) bytes += key.length + (value?.length ?? 0)
  return bytes
}

function* rowsOf(keys: Iterable<Buffer>): Generator<Row> {
  for (const key of keys) yield { key, value: NOTHING }
}

function* keysOf(rows: Iterable<Row>): Generator<Buffer> {
  for (const { key } of rows) yield key
}

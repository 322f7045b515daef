import { DataDirectoryError } from './data-directory-error'
import type { Environment, Range, Reader, Row, Writes } from './environment'
import { StoreKey } from './layout'
import type { Batch } from './log-file'
import { Overlay } from './overlay'
import type { Logged } from './overlay'
import { decodeNumber, encodeNumber } from './records'
import { WriteAheadLog } from './write-ahead-log'

/** Records that go to the environment in one transaction, about; and how long they wait for more, ms. */
const APPLY_AT = 5000
const APPLY_AFTER_MS = 500
/** Of keys and values that wait, bytes: who writes faster than the environment takes it is slowed down. */
const MOST_WAITING = 32 * 1024 * 1024

const NOTHING = Buffer.alloc(0)
const BEHIND_ALL = Buffer.from([0xff])

export interface LoggedOptions {
  /** Told once, when what is in the log cannot be brought to the environment. */
  readonly onFailure: (error: Error) => void
  /** What is not on disk after so long, ms, is taken for failed: lmdb does not tell of every failure. */
  readonly stallMs: number
  /** Tests make them small. */
  readonly applyAt?: number
  readonly applyAfterMs?: number
  readonly turnAt?: number
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
  #waiting: Batch[] = []
  #waitingRecords = 0
  #waitingBytes = 0
  #lastSeq: number
  #applied: number
  #applying: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #failure: Error | undefined
  readonly #applyAt: number
  readonly #applyAfterMs: number

  private constructor(
    private readonly environment: Environment,
    private readonly log: WriteAheadLog,
    applied: number,
    private readonly options: LoggedOptions,
  ) {
    this.#lastSeq = this.#applied = applied
    this.#applyAt = options.applyAt ?? APPLY_AT
    this.#applyAfterMs = options.applyAfterMs ?? APPLY_AFTER_MS
  }

  /**
   * Brings what the log holds to the environment first.
   * @throws DataDirectoryError data_dir_unreadable: the log does not belong to the environment's state
   */
  static async open(
    environment: Environment,
    directory: string,
    options: LoggedOptions,
  ): Promise<LoggedEnvironment> {
    const log = await WriteAheadLog.open(directory, options.turnAt)
    try {
      const found = environment.get(StoreKey.applied)
      let applied = found === undefined ? 0 : decodeNumber(found)
      let transaction: Batch[] = []
      let records = 0
      const apply = async () => {
        if (transaction.length > 0) await environment.write(transactionOf(transaction))
        transaction = []
        records = 0
      }
      for (const batch of await log.read()) {
        if (batch.seq <= applied) continue
        if (batch.seq !== applied + 1)
          throw new DataDirectoryError(
            'data_dir_unreadable',
            directory,
            `its log goes on at batch ${batch.seq}, its data ends with ${applied}`,
          )
        applied = batch.seq
        transaction.push(batch)
        if ((records += batch.writes.length) >= APPLY_AT) await apply()
      }
      await apply()
      return new LoggedEnvironment(environment, log, applied, options)
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
    while (this.#waitingBytes >= MOST_WAITING && this.#failure === undefined) await this.#apply()
    if (this.#failure !== undefined) throw this.#failure
    const batch: Batch = { seq: this.#lastSeq + 1, writes: [...writes] }
    try {
      await this.#inTime(this.log.append(batch, this.#applied))
    } catch (error) {
      throw (this.#failure = error as Error)
    }
    this.#lastSeq = batch.seq
    this.#overlay.add(batch)
    this.#waiting.push(batch)
    this.#waitingRecords += batch.writes.length
    this.#waitingBytes += bytesOf(batch)
    if (this.#waitingRecords >= this.#applyAt) void this.#apply()
    else this.#timer ??= setTimeout(() => void this.#apply(), this.#applyAfterMs).unref()
  }

  /** Brings all to the environment, unless something failed: then the next one to open it does. */
  async close(): Promise<void> {
    while (this.#waiting.length > 0 && this.#failure === undefined) await this.#apply()
    await this.#applying
    clearTimeout(this.#timer)
    await this.log.close()
    await this.environment.close()
  }

  async #inTime(writing: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const { stallMs } = this.options
    const stalled = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the disk took no write within ${stallMs} ms`)), stallMs)
    })
    try {
      await Promise.race([writing, stalled])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Never rejects: a failure is told to `onFailure`. */
  #apply(): Promise<void> {
    return (this.#applying ??= this.#applyWaiting().finally(() => (this.#applying = undefined)))
  }

  /** What waits now, and what comes meanwhile while it is enough for a transaction. */
  async #applyWaiting(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const last = this.#lastSeq
    while (this.#failure === undefined && (this.#applied < last || this.#waitingRecords >= this.#applyAt)) {
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
    }
    if (this.#waiting.length > 0)
      this.#timer ??= setTimeout(() => void this.#apply(), this.#applyAfterMs).unref()
  }

  #nextTransaction(): readonly Batch[] {
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
function transactionOf(batches: readonly Batch[]): Writes {
  const records = new Map<string, Batch['writes'][number]>()
  for (const { writes } of batches)
    for (const record of writes) records.set(record[0].toString('latin1'), record)
  const applied = [StoreKey.applied, encodeNumber(batches.at(-1)!.seq)] as const
  return [...records.values(), applied]
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

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'lmdb'

/** The part of lmdb that is used here. */
interface Database {
  get(key: Buffer): Buffer | undefined
  put(key: Buffer, value: Buffer): unknown
  remove(key: Buffer): unknown
  batch(write: () => void): Promise<boolean>
  getRange(options: LmdbRange): Iterable<Row>
  getKeys(options: LmdbRange): Iterable<Buffer>
  close(): Promise<void>
}

interface LmdbRange {
  readonly start: Buffer
  readonly end?: Buffer
  readonly reverse?: boolean
  readonly exclusiveStart?: boolean
  readonly limit?: number
}

export interface Row {
  readonly key: Buffer
  readonly value: Buffer
}

export interface Range {
  /** Inclusive. */
  readonly start: Buffer
  /** Exclusive. */
  readonly end: Buffer
  readonly limit?: number
}

/** Reads what is committed: durable data, and nothing else. What iterates is to be read to its end within one turn. */
export interface Reader {
  get(key: Buffer): Buffer | undefined
  /** Rows in key order; the range is read while it is iterated. */
  range(range: Range): Iterable<Row>
  keys(range: Range): Iterable<Buffer>
  /** From the end of the range to its start. */
  rangeBackward(range: Range): Iterable<Row>
  /** The first key from this one on. */
  firstKeyFrom(start: Buffer): Buffer | undefined
}

/** Keys to their new values; undefined removes. */
export type Writes = Iterable<readonly [key: Buffer, value: Buffer | undefined]>

/**
 * The LMDB file. How it is used, and what of lmdb 3.5.6 that rests on (its src/writer.cpp, write.js, and mdb.c):
 *
 * - A commit is one `batch`: one LMDB transaction on lmdb's writer thread, whose promise resolves after the pages, an
 *   fdatasync, and the meta page through an O_DSYNC descriptor. One is under way at a time (logged-environment.ts).
 * - `overlappingSync` is off. With it a commit is visible to readers before it is on disk, and a failed write of the
 *   last meta page is reported as success: an acknowledgement that a power cut can take back
 *   (docs/decisions/0031-lmdb-without-overlapping-sync.md).
 * - `eventTurnBatching` is off: it adds a promise of its own to each batch which nobody holds, so that a failed commit
 *   would end the process as an unhandled rejection before the failure can be logged.
 * - A commit that fails rejects with "Commit failed" and the cause in a second, also rejected promise, `commitError`.
 *   After a failed meta page every further transaction would hang for ever: none may follow a failure.
 */
export class Environment implements Reader {
  readonly #database: Database

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true })
    this.#database = open({
      path: join(directory, 'kv4.mdb'),
      // lmdb guesses from the name whether the path is a file.
      noSubdir: true,
      keyEncoding: 'binary',
      encoding: 'binary',
      overlappingSync: false,
      eventTurnBatching: false,
    }) as unknown as Database
  }

  get(key: Buffer): Buffer | undefined {
    return this.#database.get(key)
  }

  range(range: Range): Iterable<Row> {
    return this.#database.getRange(range)
  }

  keys(range: Range): Iterable<Buffer> {
    return this.#database.getKeys(range)
  }

  rangeBackward({ start, end, limit }: Range): Iterable<Row> {
    // Backwards, lmdb's start is the upper bound and its end, exclusive, the lower one; a key that is the prefix of
    // all in the range is no record itself, and one that is a record is wanted: step below it.
    return this.#database.getRange({
      start: end,
      end: below(start),
      reverse: true,
      exclusiveStart: true,
      ...(limit === undefined ? {} : { limit }),
    })
  }

  firstKeyFrom(start: Buffer): Buffer | undefined {
    for (const key of this.#database.getKeys({ start, limit: 1 })) return key
    return undefined
  }

  /** Resolves when all of it is on disk. @throws the system's error; the environment is then of no more use */
  async write(writes: Writes): Promise<void> {
    try {
      await this.#database.batch(() => {
        for (const [key, value] of writes)
          if (value === undefined) this.#database.remove(key)
          else this.#database.put(key, value)
      })
    } catch (error) {
      const { commitError } = error as { commitError?: Promise<never> }
      // It is rejected already when it is there at all.
      if (commitError !== undefined) await commitError
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#database.close()
  }
}

/** A key below this one and above every shorter neighbour: keys that end like this are never written. */
function below(key: Buffer): Buffer {
  const last = key[key.length - 1]!
  return last === 0
    ? key.subarray(0, key.length - 1)
    : Buffer.concat([key.subarray(0, -1), Buffer.from([last - 1]), Buffer.alloc(16, 0xff)])
}

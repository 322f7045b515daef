import { join } from 'node:path'
import { LogFile } from './log-file'
import type { Batch } from './log-file'

/** From where on the other file is gone on with, bytes: what is read again after a crash is about twice as much. */
const TURN_AT = 4 * 1024 * 1024

/**
 * Two files that are written by turns. One is begun anew only when all that it holds is in the environment, so that
 * together they always hold what is not.
 */
export class WriteAheadLog {
  #current: LogFile
  #other: LogFile

  private constructor(
    files: readonly [LogFile, LogFile],
    private readonly turnAt: number,
  ) {
    ;[this.#current, this.#other] = files
  }

  static async open(directory: string, turnAt = TURN_AT): Promise<WriteAheadLog> {
    const first = await LogFile.open(join(directory, 'kv4.log-0'))
    try {
      return new WriteAheadLog([first, await LogFile.open(join(directory, 'kv4.log-1'))], turnAt)
    } catch (error) {
      await first.close()
      throw error
    }
  }

  /** What the files hold, oldest first; batches may be missing in front of the later file's. */
  async read(): Promise<Batch[]> {
    const batches = [...(await this.#current.read()), ...(await this.#other.read())]
    return batches.sort((a, b) => a.seq - b.seq)
  }

  /** Resolves when the batch is on disk. One at a time. @param applied the seq up to which all is in the environment */
  append(batch: Batch, applied: number): Promise<void> {
    if (this.#current.position >= this.turnAt && this.#other.lastSeq <= applied) {
      ;[this.#current, this.#other] = [this.#other, this.#current]
      this.#current.rewind()
    }
    return this.#current.append(batch)
  }

  async close(): Promise<void> {
    await this.#current.close()
    await this.#other.close()
  }
}

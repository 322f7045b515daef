import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { LogFile } from './log-file'
import type { Batch, LogContent } from './log-file'

/** The names within the data directory. */
export const LOG_FILES = ['kv4.wal-0', 'kv4.wal-1'] as const

/** From where on the other file is gone on with, bytes. */
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

  /** The first of its files that is not there. */
  static missing(directory: string): string | undefined {
    return LOG_FILES.find((name) => !existsSync(join(directory, name)))
  }

  static async open(directory: string, turnAt = TURN_AT): Promise<WriteAheadLog> {
    const first = await LogFile.open(join(directory, LOG_FILES[0]))
    try {
      return new WriteAheadLog([first, await LogFile.open(join(directory, LOG_FILES[1]))], turnAt)
    } catch (error) {
      await first.close()
      throw error
    }
  }

  /** What the files hold, oldest first; batches may be missing in front of the later file's. */
  async read(): Promise<LogContent> {
    const contents = [await this.#current.read(), await this.#other.read()]
    return {
      batches: contents.flatMap(({ batches }) => batches).sort((a, b) => a.seq - b.seq),
      stray: Math.max(...contents.map(({ stray }) => stray)),
    }
  }

  /**
   * Resolves with its CRC when the batch is on disk. One at a time.
   * @param before the CRC of the batch before
   * @param applied the seq up to which all is in the environment
   */
  async append(batch: Batch, before: number, applied: number): Promise<number> {
    if (this.#current.position >= this.turnAt && this.#other.lastSeq <= applied) {
      ;[this.#current, this.#other] = [this.#other, this.#current]
      await this.#current.rewind()
    }
    return this.#current.append(batch, before)
  }

  async close(): Promise<void> {
    await this.#current.close()
    await this.#other.close()
  }
}

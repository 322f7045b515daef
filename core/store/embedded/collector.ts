import type { Committer } from './committer'
import type { LoggedEnvironment } from './logged-environment'
import { StoreKey, behind, bucketPrefix } from './layout'

// Records per transaction: small enough that a commit behind it hardly waits.
const CHUNK = 1000
const CHUNK_WEIGHT = 256 * 1024

/**
 * Removes the ranges of dropped buckets in the background, a chunk per transaction. A range that is left when the
 * process ends is gone on with at the next start, as its number stays on the list until nothing is left.
 */
export class Collector {
  #running: Promise<void> | undefined
  #stopped = false

  constructor(
    private readonly environment: LoggedEnvironment,
    private readonly committer: Committer,
  ) {}

  /** Goes to work unless it is at it. */
  wake(): void {
    if (this.#stopped) return
    this.#running ??= this.#collect().finally(() => (this.#running = undefined))
  }

  /** Resolves when the work at hand is done; the rest waits for the next start. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** Resolves when nothing is left to collect. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  async #collect(): Promise<void> {
    for (;;) {
      const bucket = this.#next()
      if (bucket === undefined) return
      let from: Buffer | undefined = bucketPrefix(bucket)
      while (from !== undefined) {
        if (this.#stopped) return
        try {
          from = await this.#removeChunk(bucket, from)
        } catch {
          // The committer has told of a failed disk already, and a closed store goes on at its next start.
          return
        }
      }
    }
  }

  #next(): number | undefined {
    const start = StoreKey.garbage
    for (const key of this.environment.keys({ start, end: behind(start), limit: 1 }))
      return StoreKey.droppedOf(key)
    return undefined
  }

  /** Where to go on, as going over what was just removed costs as much as over what is there; undefined at the end. */
  #removeChunk(bucket: number, from: Buffer): Promise<Buffer | undefined> {
    const end = behindBucket(bucketPrefix(bucket))
    return this.committer.submit(CHUNK_WEIGHT, (pending) => {
      let last: Buffer | undefined
      for (const key of this.environment.keys({ start: from, end, limit: CHUNK }))
        pending.remove((last = key))
      if (last === undefined) pending.remove(StoreKey.dropped(bucket))
      return last
    })
  }
}

function behindBucket(prefix: Buffer): Buffer {
  return Buffer.concat([prefix, Buffer.from([0xff])])
}

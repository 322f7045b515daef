import { isKv4Error } from '../errors'
import type { BucketStore, ChangeBatch, Cursor } from '../store/store'

export interface FeedListener {
  heard(batch: ChangeBatch): void
  /** The feed broke. When it is back it goes on from its last cursor, which of a bucket made anew tells nothing. */
  interrupted(): void
  /** The bucket is gone. */
  lost(): void
  /** Something else than an absent store went wrong; the feed tries again. */
  failed(error: unknown): void
}

const FIRST_RETRY_MS = 50
const LAST_RETRY_MS = 5_000

/**
 * Follows the changes of an open bucket, and goes on from the last cursor when the store was away:
 *
 *     starting ──first cursor──▶ following ──error──▶ waiting ──retry──▶ following
 *         └────────── error ─────────▶ waiting          └── bucket_not_found ──▶ lost
 */
export class Feed {
  readonly #abort = new AbortController()
  #cursor: Cursor | undefined
  #heardAt = -Infinity
  #done: Promise<void> | undefined
  #started: Promise<void> | undefined

  constructor(
    private readonly store: BucketStore,
    private readonly listener: FeedListener,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Resolves once every write acknowledged from now on will be told. @throws store_unavailable, bucket_not_found */
  start(): Promise<void> {
    return (this.#started ??= this.store.cursor().then(
      (cursor) => {
        if (this.#abort.signal.aborted) return
        this.#cursor = cursor
        this.#heardAt = this.clock()
        this.#done = this.#follow()
      },
      (error) => {
        this.#started = undefined
        throw error
      },
    ))
  }

  /** Milliseconds since the feed last showed that it is alive; Infinity before it started. */
  get silence(): number {
    return this.clock() - this.#heardAt
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#done
  }

  async #follow(): Promise<void> {
    const signal = this.#abort.signal
    let retryMs = FIRST_RETRY_MS
    while (!signal.aborted) {
      try {
        for await (const batch of this.store.changes(this.#cursor!, { live: true, signal })) {
          this.#cursor = batch.cursor
          this.#heardAt = this.clock()
          retryMs = FIRST_RETRY_MS
          this.listener.heard(batch)
        }
      } catch (error) {
        if (signal.aborted) return
        if (isKv4Error(error, 'bucket_not_found')) {
          this.listener.lost()
          return
        }
        if (!isKv4Error(error, 'store_unavailable')) this.listener.failed(error)
      }
      if (signal.aborted) return
      this.listener.interrupted()
      await pause(retryMs, signal)
      retryMs = Math.min(LAST_RETRY_MS, retryMs * 2)
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

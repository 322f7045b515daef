import type { Ban, Bans } from '../../auth/bans'
import { isKv4Error, type BucketName } from '../../core'

interface Watching {
  holders: number
  readonly end: AbortController
}

const PAUSE_MS = 1_000

/** Hears of bans in the buckets that somebody is connected to. */
export class BanWatch {
  readonly #watching = new Map<BucketName, Watching>()

  constructor(
    private readonly bans: Pick<Bans, 'watch'>,
    private readonly heard: (bucket: BucketName, ban: Ban) => void,
    private readonly onBackgroundError: (error: unknown) => void,
  ) {}

  /** To be released as often. */
  hold(bucket: BucketName): void {
    let watching = this.#watching.get(bucket)
    if (watching === undefined) {
      watching = { holders: 0, end: new AbortController() }
      this.#watching.set(bucket, watching)
      void this.#watch(bucket, watching.end.signal)
    }
    watching.holders++
  }

  release(bucket: BucketName): void {
    const watching = this.#watching.get(bucket)
    if (watching === undefined || --watching.holders > 0) return
    this.#watching.delete(bucket)
    watching.end.abort()
  }

  async #watch(bucket: BucketName, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const ban of this.bans.watch(bucket, signal)) this.heard(bucket, ban)
      } catch (error) {
        // With the bucket its connections end, too.
        if (signal.aborted || isKv4Error(error, 'bucket_not_found')) return
        this.onBackgroundError(error)
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS).unref())
      }
    }
  }
}

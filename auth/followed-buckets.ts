import { isKv4Error } from '../core'
import type { BucketName } from '../core'

interface Following {
  holders: number
  readonly end: AbortController
}

const PAUSE_MS = 1_000

export interface FollowedBucketsOptions<Told> {
  /** From now on, until the signal. @throws bucket_not_found when the bucket goes */
  readonly watch: (bucket: BucketName, signal: AbortSignal) => AsyncIterable<Told>
  readonly heard: (bucket: BucketName, told: Told) => void
  /** Something may have gone unheard: whoever holds the bucket has to look for himself. */
  readonly missed: (bucket: BucketName) => void
  readonly onBackgroundError: (error: unknown) => void
}

/** Hears of what happens in the buckets that somebody holds: one watch for each, however many hold it. */
export class FollowedBuckets<Told> {
  readonly #following = new Map<BucketName, Following>()

  constructor(private readonly options: FollowedBucketsOptions<Told>) {}

  /** To be released as often. */
  hold(bucket: BucketName): void {
    let following = this.#following.get(bucket)
    if (following === undefined) {
      following = { holders: 0, end: new AbortController() }
      this.#following.set(bucket, following)
      void this.#follow(bucket, following.end.signal)
    }
    following.holders++
  }

  release(bucket: BucketName): void {
    const following = this.#following.get(bucket)
    if (following === undefined || --following.holders > 0) return
    this.#following.delete(bucket)
    following.end.abort()
  }

  async #follow(bucket: BucketName, signal: AbortSignal): Promise<void> {
    const { watch, heard, missed, onBackgroundError } = this.options
    for (let again = false; !signal.aborted; again = true) {
      try {
        const told = watch(bucket, signal)
        if (again) missed(bucket)
        for await (const each of told) heard(bucket, each)
      } catch (error) {
        // With the bucket all that was let into it ends, too.
        if (signal.aborted || isKv4Error(error, 'bucket_not_found')) return
        onBackgroundError(error)
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS).unref())
      }
    }
  }
}

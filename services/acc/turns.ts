import type { BucketName } from '../../core'

/**
 * Work on one bucket after the other, in this process: a bucket is not dropped by one request while another makes it
 * anew. Different buckets do not wait for each other.
 */
export class Turns {
  readonly #last = new Map<BucketName, Promise<unknown>>()

  async take<Result>(bucket: BucketName, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(bucket)
    const turn = before === undefined ? work() : before.then(work)
    // The next one waits for the end, however it came.
    const end = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(bucket, end)
    try {
      return await turn
    } finally {
      if (this.#last.get(bucket) === end) this.#last.delete(bucket)
    }
  }
}

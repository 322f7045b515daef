import { Kv4Error } from '../../errors'
import type { BucketName } from '../../kv4/bucket-name'
import type { Change } from '../store'
import type { Reader } from './environment'
import { RECORD, behind, seqOfFeedKey, typePrefix } from './layout'
import { decodeNumber } from './records'

/** What a commit has put on disk. */
export interface Committed {
  /** The seq in front of its first change. */
  readonly after: number
  /** In the order of the feed, one for each seq. */
  readonly changes: readonly Change[]
  /** The numbers of the versions that are the latest now, by the bytes of the address key. */
  readonly latest: ReadonlyMap<string, number>
}

/** Addresses whose latest number is remembered, per bucket. */
const MAX_LATEST = 4096

/** What all handles on a bucket share while one is open. */
export class BucketState {
  handles = 0
  dropped = false
  /** The last seq that was given out; the feed tells what is on disk. */
  seq: number
  /** The last seq on disk. */
  durableSeq: number
  /** The last burial that was forgotten: those in front of it need not be gone over again. */
  forgottenTo: Buffer | undefined
  /** The commit that readers of the feed are just being woken for: they need not read it back. */
  fresh: Committed | undefined
  readonly #latest = new Map<string, number>()
  readonly #waiting = new Set<() => void>()

  constructor(
    readonly name: BucketName,
    readonly id: number,
    reader: Reader,
  ) {
    this.seq = this.durableSeq = lastSeq(reader, id)
  }

  /** @throws bucket_not_found */
  check(): void {
    if (this.dropped) throw new Kv4Error('bucket_not_found')
  }

  /** The number of the latest version on disk, where it is known. @param id the bytes of the address key */
  latest(id: string): number | undefined {
    return this.#latest.get(id)
  }

  committed(commit: Committed): void {
    const { after, changes, latest } = commit
    if (this.#latest.size + latest.size > MAX_LATEST) this.#latest.clear()
    for (const [id, n] of latest) this.#latest.set(id, n)
    if (changes.length === 0) return
    if (after === this.durableSeq && this.#waiting.size > 0) {
      this.fresh = commit
      // For this turn only: a slow reader must not keep the values of idle buckets in memory.
      setImmediate(() => {
        if (this.fresh === commit) this.fresh = undefined
      })
    }
    this.durableSeq = after + changes.length
    this.wake()
  }

  /** Calls back once, at the next change, drop or close. */
  onChange(callback: () => void): () => void {
    this.#waiting.add(callback)
    return () => this.#waiting.delete(callback)
  }

  wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const callback of waiting) callback()
  }
}

function lastSeq(reader: Reader, bucket: number): number {
  const floor = reader.get(typePrefix(bucket, RECORD.feedFloor))
  let last = floor === undefined ? 0 : decodeNumber(floor)
  const start = typePrefix(bucket, RECORD.feed)
  for (const { key } of reader.rangeBackward({ start, end: behind(start), limit: 1 }))
    last = Math.max(last, seqOfFeedKey(key))
  return last
}

import { Kv4Error } from '../../errors'
import type { BucketName } from '../../kv4/bucket-name'
import type { Reader } from './environment'
import { RECORD, behind, seqOfFeedKey, typePrefix } from './layout'
import { decodeNumber } from './records'

/** What all handles on a bucket share while one is open. */
export class BucketState {
  handles = 0
  dropped = false
  /** The last seq that was given out; the feed tells what is on disk. */
  seq: number
  /** The last seq on disk. */
  durableSeq: number
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

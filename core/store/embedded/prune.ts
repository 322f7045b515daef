import type { Address } from '../../kv4/address'
import type { BucketState } from './bucket-state'
import {
  RECORD,
  addressKey,
  behind,
  feedKey,
  sampleKey,
  firstKeyOf,
  typePrefix,
  versionKey,
  versionNumberOf,
} from './layout'
import type { Pending } from './pending'
import { encodeNumber, seqOf } from './records'

/** What one transaction forgets. */
export interface Pruned {
  readonly count: number
  /** The last record of them: going over what was just removed costs as much as over what is there. */
  readonly last: Buffer | undefined
}

/** Plans the removal of at most `limit` versions below `keepFrom`, with their feed records. */
export function planPruneVersions(
  pending: Pending,
  bucket: BucketState,
  address: Address,
  keepFrom: number,
  limit: number,
  after: Buffer | undefined,
): Pruned {
  const prefix = addressKey(bucket.id, RECORD.version, address)
  const newest = firstKeyOf(pending.reader, prefix)
  if (newest === undefined) return { count: 0, last: undefined }
  const below = Math.min(keepFrom, versionNumberOf(newest))
  const start = after ?? versionKey(bucket.id, address, below - 1)
  let count = 0
  let last: Buffer | undefined
  for (const { key, value } of pending.reader.range({ start, end: behind(prefix), limit })) {
    // Another pruning in the same transaction may have been here.
    if (pending.get(key) === undefined) continue
    pending.remove(key)
    pending.remove(feedKey(bucket.id, seqOf(value)))
    count++
    last = key
  }
  return { count, last }
}

/** Plans the removal of at most `limit` samples older than `before`, with their feed records. */
export function planPruneSamples(
  pending: Pending,
  bucket: BucketState,
  address: Address,
  before: number,
  limit: number,
  after: Buffer | undefined,
): Pruned {
  const start = after ?? addressKey(bucket.id, RECORD.sample, address)
  const end = sampleKey(bucket.id, address, before, '')
  let count = 0
  let last: Buffer | undefined
  for (const { key, value } of pending.reader.range({ start, end, limit })) {
    if (pending.get(key) === undefined) continue
    pending.remove(key)
    pending.remove(feedKey(bucket.id, seqOf(value)))
    count++
    last = key
  }
  // The last of the feed may be gone now, and its seq must not be given out again.
  if (count > 0) pending.put(typePrefix(bucket.id, RECORD.feedFloor), encodeNumber(bucket.seq))
  return { count, last }
}

import type { Address } from '../../kv4/address'
import type { BucketState } from './bucket-state'
import {
  RECORD,
  addressKey,
  behind,
  feedKey,
  sampleKey,
  startsWith,
  typePrefix,
  versionKey,
  versionNumberOf,
} from './layout'
import type { Pending } from './pending'
import { encodeNumber, seqOf } from './records'

/** Plans the removal of at most `limit` versions below `keepFrom`, with their feed records. How many. */
export function planPruneVersions(
  pending: Pending,
  bucket: BucketState,
  address: Address,
  keepFrom: number,
  limit: number,
): number {
  const prefix = addressKey(bucket.id, RECORD.version, address)
  const newest = pending.reader.firstKeyFrom(prefix)
  if (newest === undefined || !startsWith(newest, prefix)) return 0
  const below = Math.min(keepFrom, versionNumberOf(newest))
  const start = versionKey(bucket.id, address, below - 1)
  let pruned = 0
  for (const { key, value } of pending.reader.range({ start, end: behind(prefix), limit })) {
    // Another pruning in the same transaction may have been here.
    if (pending.get(key) === undefined) continue
    pending.remove(key)
    pending.remove(feedKey(bucket.id, seqOf(value)))
    pruned++
  }
  return pruned
}

/** Plans the removal of at most `limit` samples older than `before`, with their feed records. How many. */
export function planPruneSamples(
  pending: Pending,
  bucket: BucketState,
  address: Address,
  before: number,
  limit: number,
): number {
  const start = addressKey(bucket.id, RECORD.sample, address)
  const end = sampleKey(bucket.id, address, before, '')
  let pruned = 0
  for (const { key, value } of pending.reader.range({ start, end, limit })) {
    if (pending.get(key) === undefined) continue
    pending.remove(key)
    pending.remove(feedKey(bucket.id, seqOf(value)))
    pruned++
  }
  // The last of the feed may be gone now, and its seq must not be given out again.
  if (pruned > 0) pending.put(typePrefix(bucket.id, RECORD.feedFloor), encodeNumber(bucket.seq))
  return pruned
}

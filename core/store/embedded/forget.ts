import type { BucketState } from './bucket-state'
import type { Reader } from './environment'
import { RECORD, addressKey, burialsFrom, feedKey, readBurialKey, typePrefix } from './layout'
import type { Pending } from './pending'
import { decodeNumber, encodeNumber, seqOf } from './records'

/** How long the feed tells of the deletion of a current entry. A cursor that is older is refused. */
const KEPT_MS = 7 * 24 * 3600 * 1000
/** Enough that they go faster than they come, few enough that the deletion which does it hardly takes longer. */
const AT_ONCE = 1000

/**
 * Plans the removal of old tombstones with what the feed says of them, at the cost of a deletion that comes later: where
 * nothing is deleted no tombstones are made either. Once for each bucket and transaction.
 */
export function planForgetting(pending: Pending, bucket: BucketState, now: number): void {
  if (pending.forgetting.has(bucket.id)) return
  pending.forgetting.add(bucket.id)
  const start = bucket.forgottenTo ?? typePrefix(bucket.id, RECORD.burial)
  const end = burialsFrom(bucket.id, now - KEPT_MS)
  let highest = 0
  for (const key of pending.reader.keys({ start, end, limit: AT_ONCE })) {
    // Its entry may have been made anew within this transaction.
    if (pending.get(key) === undefined) continue
    const tombstone = addressKey(bucket.id, RECORD.tombstone, readBurialKey(key).address)
    const seq = seqOf(pending.get(tombstone)!)
    bucket.forgottenTo = key
    pending.remove(key)
    pending.remove(tombstone)
    pending.remove(feedKey(bucket.id, seq))
    highest = Math.max(highest, seq)
  }
  if (highest > forgottenUpTo(pending, bucket.id))
    pending.put(typePrefix(bucket.id, RECORD.forgotten), encodeNumber(highest))
}

export function forgottenUpTo(reader: Pick<Reader, 'get'>, bucket: number): number {
  const found = reader.get(typePrefix(bucket, RECORD.forgotten))
  return found === undefined ? 0 : decodeNumber(found)
}

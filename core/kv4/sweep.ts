import { isKv4Error } from '../errors'
import type { Expiring } from '../store/store'
import type { Address } from './address'
import { Key } from './key'
import { Layer } from './layer'
import type { OpenBucket } from './open-bucket'
import { Path } from './path'
import { readHead } from './reader'
import { removeEntry } from './secondary'

/** Recorded as the writer of the `delete` versions that a sweep adds. */
export const SWEEPER = '$sys'

const AT_ONCE = 500
// Other nodes' clocks may be behind: who has not heard of their entries looks back a little further than the last one came.
const OVERLAP_MS = 5 * 60_000
const PROGRESS: Address = { layer: Layer.internal('sweep'), path: Path.root, key: Key.parse('upTo') }

/**
 * Gives every entry that has lapsed its `delete` version, on the condition that it is still the version that lapsed;
 * with several nodes one of them wins and the others find it done. Sets the bucket's next lapse.
 */
export async function sweepLapsed(bucket: OpenBucket, now: number): Promise<void> {
  let from = bucket.sweptUpTo ?? (await readProgress(bucket))
  let limit = AT_ONCE
  let swept = 0
  bucket.nextLapse = Infinity
  for (;;) {
    const rows = await bucket.store.expiring(from, now, limit)
    const done = await Promise.all(rows.map((row) => lapse(bucket, row)))
    swept += done.filter(Boolean).length
    if (rows.length < limit) break
    // Several entries may lapse at one instant: a page that ends between them is read again from that instant.
    const last = rows.at(-1)!.exp - 1
    if (last > from) from = last
    else limit *= 2
  }
  // What was heard of meanwhile may lapse before `now` and came too late for the rows.
  bucket.sweptUpTo = Math.min(now, bucket.nextLapse - 1)
  if (swept >= AT_ONCE) await writeProgress(bucket, now - OVERLAP_MS)
  const [next] = await bucket.store.expiring(now, Number.MAX_SAFE_INTEGER, 1)
  if (next !== undefined) bucket.nextLapse = Math.min(bucket.nextLapse, next.exp)
}

/** false: it was rewritten or removed meanwhile, by a caller or by a faster node. */
async function lapse(bucket: OpenBucket, { address, kind, n }: Expiring): Promise<boolean> {
  try {
    const removal = {
      address,
      kind,
      value: undefined,
      by: SWEEPER,
      expect: undefined,
      onHead: n,
      keys: undefined,
      ttl: undefined,
    }
    return (await removeEntry(bucket, { ...removal, lapsed: true })) !== undefined
  } catch (error) {
    if (isKv4Error(error, 'version_conflict')) return false
    throw error
  }
}

async function readProgress(bucket: OpenBucket): Promise<number> {
  const progress = await readHead(bucket, PROGRESS, 'current', true)
  return typeof progress?.v === 'number' ? progress.v : 0
}

async function writeProgress(bucket: OpenBucket, upTo: number): Promise<void> {
  await bucket.committer.write({
    address: PROGRESS,
    kind: 'current',
    value: upTo,
    by: SWEEPER,
    expect: undefined,
    keys: undefined,
    ttl: undefined,
  })
}

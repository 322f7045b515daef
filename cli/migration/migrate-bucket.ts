import type { Cursor, Layer } from '../../core'
import type { BucketStore, Change, StoreFeatures } from '../../core/store/store'
import { CliFailure, EXIT } from '../failure'
import { ContentDigest, type Counts } from './content-digest'
import { CopiedBucket } from './copied-bucket'
import { FILLER } from './fillers'
import { carryForgottenSamples, forgetSamples } from './forgotten-samples'

const CHANGES_AT_ONCE = 500

/**
 * Copies a bucket with all its history, then reads both to compare them.
 *
 *     feed of the source ──► versions, current entries, samples ──► forgotten samples' aggregates ──► compare
 *
 * @throws CliFailure when source and target differ at the end, or when the source was written to meanwhile
 */
export async function migrateBucket(
  source: BucketStore,
  target: BucketStore,
  features: StoreFeatures,
): Promise<Counts> {
  const copied = new CopiedBucket(source, target, features)
  const before = new ContentDigest()
  const series = new Set<Layer>()
  let cursor: Cursor = ''
  for await (const batch of source.changes('', { live: false, limit: CHANGES_AT_ONCE })) {
    for (const change of batch.changes) {
      before.add(change)
      if (change.kind === 'series') series.add(change.address.layer)
    }
    await copied.take(batch.changes)
    cursor = batch.cursor
  }
  await carryForgottenSamples(source, target, series)

  const after = await digestOf(target)
  if (await hasMore(source, cursor))
    throw new CliFailure(
      EXIT.refused,
      'the source was written to meanwhile',
      'Stop every server that uses it, then go on with --resume.',
    )
  if (before.hex !== after.hex)
    throw new CliFailure(
      EXIT.refused,
      `the target differs from the source: ${print(before.counts)} there, ${print(after.counts)} here`,
      'Stop every server that uses either of them, then go on with --resume.',
    )
  return after.counts
}

async function digestOf(bucket: BucketStore): Promise<ContentDigest> {
  const digest = new ContentDigest()
  for await (const { changes } of bucket.changes('', { live: false, limit: CHANGES_AT_ONCE }))
    for (const change of changes) {
      if (isFiller(change)) await forget(bucket, change)
      else digest.add(change)
    }
  return digest
}

/** Left by a copy that was broken off between writing what stands for the forgotten and forgetting it. */
function isFiller(change: Change): boolean {
  return (change.kind === 'series' ? change.sample.by : change.version.by) === FILLER
}

async function forget(bucket: BucketStore, change: Change): Promise<void> {
  if (change.kind === 'series') await forgetSamples(bucket, change.address, change.sample.at)
  else await bucket.pruneVersions(change.address, change.version.n + 1)
}

async function hasMore(bucket: BucketStore, cursor: Cursor): Promise<boolean> {
  for await (const { changes } of bucket.changes(cursor, { live: false, limit: 1 }))
    if (changes.length > 0) return true
  return false
}

export function print({ versions, current, samples }: Counts): string {
  return `${versions} versions, ${current} current entries, ${samples} samples`
}

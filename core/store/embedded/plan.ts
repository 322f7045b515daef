import type { Address, Place } from '../../kv4/address'
import { aggregateOf, sumOf } from '../aggregate'
import { LEVELS } from '../store'
import type { Change, Outcome, PutCurrent, PutSample, PutVersion } from '../store'
import type { BucketState, Committed } from './bucket-state'
import {
  NUMBER_BYTES,
  PREFIX_BYTES,
  RECORD,
  addressKey,
  burialKey,
  expiryKey,
  feedKey,
  layerPrefix,
  livePathKey,
  rollupKey,
  firstKeyOf,
  versionNumberOf,
} from './layout'
import { planForgetting } from './forget'
import type { Pending } from './pending'
import type { Prepared } from './prepare'
import {
  decodeAggregate,
  decodeCount,
  decodeKeyState,
  decodeVersion,
  encodeAggregate,
  encodeCount,
  encodeKeyState,
  encodeNumber,
  entryExp,
  entryNumber,
  seqOf,
  stampSeq,
} from './records'
import type { KeyState } from './records'
import { periodAt } from './rollup'

const BURIED = Buffer.from([1])
const NEVER_WRITTEN: KeyState = { live: false, exp: undefined }

/** What a commit comes to, in the order of its writes, and what is known once it is on disk. */
export interface PlannedCommit extends Committed {
  readonly outcomes: readonly Outcome[]
}

/**
 * Plans writes into a transaction: all records of a write, or none when it conflicts. The common case, a new version
 * of a live key, costs one lookup and two records: the version and its feed entry.
 */
export function planWrites(
  pending: Pending,
  bucket: BucketState,
  writes: readonly Prepared[],
): PlannedCommit {
  const after = bucket.seq
  const changes: Change[] = []
  const numbers = new Map<string, number>()
  // Later writes to an address that conflicted were made on a wrong assumption.
  const conflicted = new Set<string>()
  const outcomes = writes.map((prepared): Outcome => {
    switch (prepared.write.kind) {
      case 'versioned': {
        const { write, key, record } = prepared as Prepared & { write: PutVersion }
        const address = key.subarray(0, key.length - NUMBER_BYTES)
        const id = address.toString('latin1')
        if (conflicted.has(id) || write.version.n !== latestNumber(pending, bucket, id, address) + 1) {
          conflicted.add(id)
          return 'conflict'
        }
        pending.latest.set(id, write.version.n)
        numbers.set(id, write.version.n)
        planVersion(pending, bucket, write, key, record)
        changes.push({ kind: 'versioned', address: write.address, version: write.version })
        return 'stored'
      }
      case 'current': {
        const { write, key, record } = prepared as Prepared & { write: PutCurrent }
        const entry =
          write.version.op === 'delete' ? addressKey(bucket.id, RECORD.current, write.address) : key
        const id = entry.toString('latin1')
        const before = pending.get(entry)
        if (conflicted.has(id) || write.over !== (before === undefined ? 0 : entryNumber(before))) {
          conflicted.add(id)
          return 'conflict'
        }
        planCurrent(pending, bucket, write, entry, before, key, record)
        changes.push({ kind: 'current', address: write.address, version: write.version })
        return 'stored'
      }
      case 'series': {
        const { write, key, record } = prepared as Prepared & { write: PutSample }
        if (pending.get(key) !== undefined) return 'stored'
        planSample(pending, bucket, write, key, record)
        changes.push({ kind: 'series', address: write.address, sample: write.sample })
        return 'stored'
      }
    }
  })
  return { outcomes, after, changes, latest: numbers }
}

function latestNumber(pending: Pending, bucket: BucketState, id: string, address: Buffer): number {
  const known = pending.latest.get(id) ?? bucket.latest(id)
  if (known !== undefined) return known
  const newest = firstKeyOf(pending.reader, address)
  return newest === undefined ? 0 : versionNumberOf(newest)
}

function appendToFeed(pending: Pending, bucket: BucketState, key: Buffer, record: Buffer): void {
  const seq = ++bucket.seq
  stampSeq(record, seq)
  pending.append(feedKey(bucket.id, seq), key.subarray(PREFIX_BYTES))
}

function planVersion(
  pending: Pending,
  bucket: BucketState,
  { address, version, renews }: PutVersion,
  key: Buffer,
  record: Buffer,
): void {
  appendToFeed(pending, bucket, key, record)
  pending.append(key, record)
  if (version.op === 'update' && version.n > 1 && version.exp === undefined && !renews) return

  const row = addressKey(bucket.id, RECORD.keyRow, address)
  const found = pending.get(row)
  const before = found === undefined ? NEVER_WRITTEN : decodeKeyState(found)
  const live = version.op !== 'delete'
  const after: KeyState = { live, exp: live ? version.exp : undefined }
  if (found === undefined || before.live !== after.live || before.exp !== after.exp)
    pending.put(row, encodeKeyState(after))
  planExpiry(pending, bucket, RECORD.version, address, before.exp, after.exp, version.n)
  planLiveness(pending, bucket, address, before.live, after.live)
}

function planCurrent(
  pending: Pending,
  bucket: BucketState,
  { address, version }: PutCurrent,
  entry: Buffer,
  before: Buffer | undefined,
  key: Buffer,
  record: Buffer,
): void {
  // The feed keeps only the last word about a current entry.
  if (before !== undefined) pending.remove(feedKey(bucket.id, seqOf(before)))
  const tombstone = before === undefined ? addressKey(bucket.id, RECORD.tombstone, address) : undefined
  const buried = tombstone && pending.get(tombstone)
  if (buried !== undefined) {
    pending.remove(feedKey(bucket.id, seqOf(buried)))
    pending.remove(burialKey(bucket.id, decodeVersion(buried).at, address))
  }

  const seq = ++bucket.seq
  stampSeq(record, seq)
  // Not appended: the next write of this transaction may take it out again.
  pending.put(feedKey(bucket.id, seq), key.subarray(PREFIX_BYTES))
  const live = version.op !== 'delete'
  if (live) {
    if (buried !== undefined) pending.remove(tombstone!)
  } else {
    if (before !== undefined) pending.remove(entry)
    pending.put(burialKey(bucket.id, version.at, address), BURIED)
    planForgetting(pending, bucket, version.at)
  }
  pending.put(key, record)
  const expBefore = before === undefined ? undefined : entryExp(before)
  planExpiry(pending, bucket, RECORD.current, address, expBefore, live ? version.exp : undefined, version.n)
  planLiveness(pending, bucket, address, before !== undefined, live)
}

function planSample(
  pending: Pending,
  bucket: BucketState,
  { address, sample }: PutSample,
  key: Buffer,
  record: Buffer,
): void {
  appendToFeed(pending, bucket, key, record)
  // Not appended: the same sample may come again in this transaction.
  pending.put(key, record)
  const row = addressKey(bucket.id, RECORD.keyRow, address)
  if (pending.get(row) === undefined) {
    pending.put(row, encodeKeyState({ live: true, exp: undefined }))
    planLiveness(pending, bucket, address, false, true)
  }
  const added = aggregateOf(sample.v)
  const period = periodAt(sample.at)
  const { layer, path } = address
  for (const grouping of [{ layer }, { layer, path }, address])
    for (let level = 0; level < LEVELS.length; level++) {
      const rollup = rollupKey(bucket.id, grouping, level, period.slice(0, level + 1))
      const sum = pending.get(rollup)
      pending.put(rollup, encodeAggregate(sumOf(sum && decodeAggregate(sum), added)))
    }
}

function planExpiry(
  pending: Pending,
  bucket: BucketState,
  kind: typeof RECORD.version | typeof RECORD.current,
  address: Address,
  before: number | undefined,
  after: number | undefined,
  n: number,
): void {
  if (before !== undefined && before !== after) pending.remove(expiryKey(bucket.id, before, kind, address))
  if (after !== undefined) pending.put(expiryKey(bucket.id, after, kind, address), encodeNumber(n))
}

function planLiveness(
  pending: Pending,
  bucket: BucketState,
  place: Place,
  before: boolean,
  after: boolean,
): void {
  if (before === after) return
  const paths = count(pending, livePathKey(bucket.id, place), after)
  if (paths === (after ? 1 : 0)) count(pending, layerPrefix(bucket.id, RECORD.liveLayer, place.layer), after)
}

/** One more or one less; a count of nothing is no record. */
function count(pending: Pending, key: Buffer, up: boolean): number {
  const found = pending.get(key)
  const counted = (found === undefined ? 0 : decodeCount(found)) + (up ? 1 : -1)
  if (counted > 0) pending.put(key, encodeCount(counted))
  else pending.remove(key)
  return counted
}

import { Kv4Error } from '../../errors'
import type { Change, ChangeBatch, ChangeOptions, Cursor } from '../store'
import type { BucketState } from './bucket-state'
import type { Reader } from './environment'
import { forgottenUpTo } from './forget'
import {
  PREFIX_BYTES,
  RECORD,
  bucketPrefix,
  feedKey,
  readAddress,
  readSampleKey,
  seqOfFeedKey,
} from './layout'
import { decodeEntry, decodeSample, decodeVersion } from './records'

const DEFAULT_LIMIT = 500
// Of values in a batch; one change more may be over it.
const MAX_BATCH_BYTES = 4 * 1024 * 1024

/**
 * A cursor is `<bucket>.<seq>`, both base 36: the bucket's number, which a bucket made again under the same name does
 * not share, and the last seq that was told.
 */
const CURSOR = /^([0-9a-z]{1,8})\.([0-9a-z]{1,11})$/

export function cursorAt(bucket: BucketState, seq: number): Cursor {
  return bucket.id.toString(36) + '.' + seq.toString(36)
}

/** @throws bad_cursor */
export function seqOfCursor(bucket: BucketState, cursor: Cursor): number {
  if (cursor === '') return 0
  const match = CURSOR.exec(cursor)
  if (match === null) throw new Kv4Error('bad_cursor')
  const seq = Number.parseInt(match[2]!, 36)
  if (Number.parseInt(match[1]!, 36) !== bucket.id || seq > bucket.durableSeq)
    throw new Kv4Error('bad_cursor')
  return seq
}

/** Records of the feed behind a seq; `next` is the seq to go on behind, `full` when there may be more. */
function readBatch(
  reader: Reader,
  bucket: BucketState,
  after: number,
  limit: number,
): { changes: readonly Change[]; cursors: readonly Cursor[]; next: number; full: boolean } {
  const { fresh } = bucket
  if (fresh?.after === after && fresh.changes.length < limit)
    return {
      changes: fresh.changes,
      cursors: fresh.changes.map((_, i) => cursorAt(bucket, after + 1 + i)),
      next: after + fresh.changes.length,
      full: false,
    }
  const prefix = bucketPrefix(bucket.id)
  const changes: Change[] = []
  const cursors: Cursor[] = []
  let next = after
  let bytes = 0
  // A commit may be in view before it is acknowledged: a cursor never runs ahead of what the bucket knows.
  const range = {
    start: feedKey(bucket.id, after + 1),
    end: feedKey(bucket.id, bucket.durableSeq + 1),
    limit,
  }
  for (const { key, value } of reader.range(range)) {
    const record = Buffer.concat([prefix, value])
    const stored = reader.get(record)
    // Its record is removed together with it, so that one in view has the other in view.
    if (stored === undefined)
      throw new Error(`the feed names a record that is not there: ${record.toString('hex')}`)
    next = seqOfFeedKey(key)
    changes.push(changeOf(record, stored))
    cursors.push(cursorAt(bucket, next))
    bytes += stored.length
    if (bytes >= MAX_BATCH_BYTES) return { changes, cursors, next, full: true }
  }
  return { changes, cursors, next, full: changes.length >= limit }
}

function changeOf(key: Buffer, stored: Buffer): Change {
  const { address, next } = readAddress(key, PREFIX_BYTES + 1)
  const type = key[PREFIX_BYTES]
  switch (type) {
    case RECORD.version:
      return { kind: 'versioned', address, version: decodeVersion(stored) }
    case RECORD.current:
      return { kind: 'current', address, version: decodeEntry(stored) }
    case RECORD.tombstone:
      return { kind: 'current', address, version: decodeVersion(stored) }
    case RECORD.sample: {
      const { at, id } = readSampleKey(key, next)
      return { kind: 'series', address, sample: decodeSample(stored, at, id) }
    }
    default:
      throw new Error(`the feed names a record of type ${type}`)
  }
}

/** Resolves at the next change of the bucket, when a signal ends, or after `ms`. */
function pause(bucket: BucketState, ms: number, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      forget()
      for (const signal of signals) signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    const forget = bucket.onChange(done)
    for (const signal of signals) signal.addEventListener('abort', done)
  })
}

/**
 * The feed reads what is on disk and is woken by commits, so a reader of any speed holds no more than one batch.
 * It ends without an error with either signal: the caller's or the handle's.
 */
export async function* changesSince(
  reader: Reader,
  bucket: BucketState,
  since: Cursor,
  options: ChangeOptions & { readonly closed: AbortSignal; readonly heartbeatMs: number },
): AsyncGenerator<ChangeBatch, void, void> {
  const { live, limit = DEFAULT_LIMIT, closed, heartbeatMs } = options
  const signals = options.signal === undefined ? [closed] : [closed, options.signal]
  const ended = () => signals.some((signal) => signal.aborted)
  let seq = seqOfCursor(bucket, since)
  // Whoever begins at the beginning believes nothing that he would have to be told the end of.
  if (seq > 0 && seq < forgottenUpTo(reader, bucket.id)) throw new Kv4Error('bad_cursor')
  let lastWord = Date.now()
  for (;;) {
    if (ended()) return
    bucket.check()
    const { changes, cursors, next, full } = readBatch(reader, bucket, seq, limit)
    if (changes.length > 0) {
      seq = next
      lastWord = Date.now()
      yield { changes, cursors, cursor: cursorAt(bucket, seq) }
    }
    if (full) {
      // Reading never waits, so a reader that does not either would keep everybody else from their turn.
      await new Promise((resolve) => setImmediate(resolve))
      continue
    }
    if (!live) return
    const silence = Date.now() - lastWord
    if (silence >= heartbeatMs) {
      lastWord = Date.now()
      yield { changes: [], cursors: [], cursor: cursorAt(bucket, seq) }
      // Whatever happened while the reader was busy is read before the next pause.
      continue
    }
    if (changes.length === 0 && seq >= bucket.durableSeq) await pause(bucket, heartbeatMs - silence, signals)
    else if (changes.length === 0) seq = Math.max(seq, bucket.durableSeq)
  }
}

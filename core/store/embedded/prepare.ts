import type { PutCurrent, PutSample, PutVersion, Write } from '../store'
import { MAX_SAMPLE_ID_BYTES, RECORD, addressKey, sampleKey, versionKey } from './layout'
import { encodeEntry, encodeRecord } from './records'

/** A write with its record's key and value; only the seq is still missing. */
export type Prepared =
  | { readonly write: PutVersion; readonly key: Buffer; readonly record: Buffer }
  | { readonly write: PutCurrent; readonly key: Buffer; readonly record: Buffer }
  | { readonly write: PutSample; readonly key: Buffer; readonly record: Buffer }

/**
 * Encodes a write before its turn comes, so that what cannot be encoded is refused alone and never fails a
 * transaction that carries other people's writes.
 * @throws RangeError for what the engine must never send
 */
export function prepare(bucket: number, write: Write): Prepared {
  switch (write.kind) {
    case 'versioned': {
      checkVersion(write)
      return {
        write,
        key: versionKey(bucket, write.address, write.version.n),
        record: encodeRecord(write.version),
      }
    }
    case 'current': {
      checkVersion(write)
      const deletes = write.version.op === 'delete'
      return {
        write,
        key: addressKey(bucket, deletes ? RECORD.tombstone : RECORD.current, write.address),
        record: deletes ? encodeRecord(write.version) : encodeEntry(write.version),
      }
    }
    case 'series': {
      const { at, id, by, v } = write.sample
      if (!Number.isFinite(at)) throw new RangeError(`a sample's time is not a number: ${at}`)
      if (Buffer.byteLength(id) > MAX_SAMPLE_ID_BYTES || !id.isWellFormed())
        throw new RangeError(`a sample's id is longer than ${MAX_SAMPLE_ID_BYTES} bytes or no Unicode`)
      return { write, key: sampleKey(bucket, write.address, at, id), record: encodeRecord([by, v]) }
    }
  }
}

function checkVersion({ version: { n, exp } }: PutVersion | PutCurrent): void {
  if (!Number.isSafeInteger(n) || n < 1) throw new RangeError(`not a version number: ${n}`)
  if (exp !== undefined && !Number.isFinite(exp)) throw new RangeError(`not an instant: ${exp}`)
}

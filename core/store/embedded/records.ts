import type { Json } from '../../json'
import type { Sample, Version } from '../../kv4/version'
import type { Aggregate } from '../store'
import { NUMBER_BYTES, getNumber, putNumber } from './layout'

/** The values of the records that layout.ts draws. Every one that the feed names begins with its seq. */

/** Leaves room for the seq, which is known only when the record is committed. */
export function encodeRecord(value: unknown): Buffer {
  const text = JSON.stringify(value)
  const bytes = Buffer.allocUnsafe(NUMBER_BYTES + Buffer.byteLength(text, 'utf8'))
  bytes.write(text, NUMBER_BYTES, 'utf8')
  return bytes
}

export function stampSeq(record: Buffer, seq: number): void {
  putNumber(record, seq, 0)
}

export function seqOf(record: Buffer): number {
  return getNumber(record, 0)
}

export function decodeVersion(record: Buffer): Version {
  return JSON.parse(record.toString('utf8', NUMBER_BYTES)) as Version
}

export function decodeSample(record: Buffer, at: number, id: string): Sample {
  const [by, v] = JSON.parse(record.toString('utf8', NUMBER_BYTES)) as [string, Json]
  return { at, id, by, v }
}

const ENTRY_HEAD = 2 * NUMBER_BYTES + 8

/** A current entry: what a listing and a compare-and-set need stands before the JSON. */
export function encodeEntry(version: Version): Buffer {
  const text = JSON.stringify(version)
  const bytes = Buffer.allocUnsafe(ENTRY_HEAD + Buffer.byteLength(text, 'utf8'))
  putNumber(bytes, version.n, NUMBER_BYTES)
  bytes.writeDoubleBE(version.exp ?? Number.NaN, 2 * NUMBER_BYTES)
  bytes.write(text, ENTRY_HEAD, 'utf8')
  return bytes
}

export function decodeEntry(record: Buffer): Version {
  return JSON.parse(record.toString('utf8', ENTRY_HEAD)) as Version
}

export function entryNumber(record: Buffer): number {
  return getNumber(record, NUMBER_BYTES)
}

export function entryExp(record: Buffer): number | undefined {
  const exp = record.readDoubleBE(2 * NUMBER_BYTES)
  return Number.isNaN(exp) ? undefined : exp
}

export interface KeyState {
  readonly live: boolean
  readonly exp: number | undefined
}

export function encodeKeyState({ live, exp }: KeyState): Buffer {
  const bytes = Buffer.alloc(exp === undefined ? 1 : 9)
  bytes[0] = live ? 1 : 0
  if (exp !== undefined) bytes.writeDoubleBE(exp, 1)
  return bytes
}

export function decodeKeyState(record: Buffer): KeyState {
  return { live: record[0] === 1, exp: record.length === 1 ? undefined : record.readDoubleBE(1) }
}

export function encodeCount(count: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(count)
  return bytes
}

export function decodeCount(record: Buffer): number {
  return record.readUInt32BE(0)
}

export function encodeNumber(n: number): Buffer {
  const bytes = Buffer.alloc(NUMBER_BYTES)
  putNumber(bytes, n, 0)
  return bytes
}

export function decodeNumber(record: Buffer): number {
  return getNumber(record, 0)
}

export function encodeBucketNumber(bucket: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes.writeUIntBE(bucket, 0, 5)
  return bytes
}

export function decodeBucketNumber(record: Buffer): number {
  return record.readUIntBE(0, 5)
}

export function encodeAggregate({ sum, min, max, count }: Aggregate): Buffer {
  const bytes = Buffer.alloc(32)
  bytes.writeDoubleBE(sum, 0)
  bytes.writeDoubleBE(min, 8)
  bytes.writeDoubleBE(max, 16)
  bytes.writeDoubleBE(count, 24)
  return bytes
}

export function decodeAggregate(record: Buffer): Aggregate {
  return {
    sum: record.readDoubleBE(0),
    min: record.readDoubleBE(8),
    max: record.readDoubleBE(16),
    count: record.readDoubleBE(24),
  }
}

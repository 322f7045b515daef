/**
 * A record of the shared table:
 *
 *   0        8        16         24      25
 *   | at f64 | exp f64 | used f64 | flags | the value, UTF-8
 *
 * `used` is the place of the record in the order of recency: the ms when it was last set or read, as exactly as
 * `touch_ms` says, with a fraction that keeps writes of the same ms apart. flags: 1 destroyed.
 */
export interface RecordHead {
  readonly at: number
  readonly exp: number
  readonly used: number
  readonly destroyed: boolean
}

export const HEAD_BYTES = 25
const DESTROYED = 1

export function encodeRecord(head: RecordHead, value: string): Buffer {
  const record = Buffer.allocUnsafe(HEAD_BYTES + Buffer.byteLength(value))
  record.writeDoubleLE(head.at, 0)
  record.writeDoubleLE(head.exp, 8)
  record.writeDoubleLE(head.used, 16)
  record[24] = head.destroyed ? DESTROYED : 0
  record.write(value, HEAD_BYTES)
  return record
}

/** `record` may be longer than what it holds: lmdb lends a buffer of its own and says the length beside. */
export function decodeHead(record: Buffer): RecordHead {
  return {
    at: record.readDoubleLE(0),
    exp: record.readDoubleLE(8),
    used: record.readDoubleLE(16),
    destroyed: record[24] === DESTROYED,
  }
}

/** The record with another `used`. */
export function copyAsUsed(record: Buffer, length: number, used: number): Buffer {
  const copy = Buffer.from(new Uint8Array(record.buffer, record.byteOffset, length))
  copy.writeDoubleLE(used, 16)
  return copy
}

export function decodeValue(record: Buffer, length: number): string {
  return record.toString('utf8', HEAD_BYTES, length)
}

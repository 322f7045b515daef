import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { constants } from 'node:fs'
import { crc32 } from 'node:zlib'

export interface Batch {
  /** The batches of a store are numbered without a gap. */
  readonly seq: number
  readonly writes: readonly (readonly [key: Buffer, value: Buffer | undefined])[]
}

const MAGIC = 0x6b76346c
const HEAD_BYTES = 20
const CHECKED_FROM = 4
const CRC_AT = 16
const RECORD_HEAD_BYTES = 6
const SMALLEST_ROOM = 64 * 1024
const LARGEST_ROOM = 1024 * 1024

// The descriptor syncs what it writes, so that a batch is one call.
const SYNCS = process.platform === 'linux'
const FLAGS = constants.O_RDWR | constants.O_CREAT | (SYNCS ? constants.O_DSYNC : 0)

/**
 * One file of the log: batches, each written at once behind the last one and on disk when that returns.
 *
 *   batch    magic u32, bytes of the records u32, seq float64, crc32 u32 of those two and the records, records …
 *   record   bytes of the key u16, bytes of the value + 1 u32, key, value; 0 for the value's: the key is removed
 *
 * The file is used again and again from its start and never gets shorter: what lies behind the last batch is from
 * earlier, and is told by its seq, which does not follow. Room is made by zeros ahead of the batches, since a file
 * that grows costs the disk its metadata with each write.
 */
export class LogFile {
  #position = 0
  #size: number
  /** Of the last batch written. */
  lastSeq = 0

  private constructor(
    private readonly handle: FileHandle,
    size: number,
  ) {
    this.#size = size
  }

  static async open(path: string): Promise<LogFile> {
    const handle = await open(path, FLAGS, 0o600)
    return new LogFile(handle, (await handle.stat()).size)
  }

  /** Where the next batch goes. */
  get position(): number {
    return this.#position
  }

  /** The batches from the start of the file to the first that is torn or does not follow. */
  async read(): Promise<Batch[]> {
    const bytes = Buffer.alloc(this.#size)
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await this.handle.read(bytes, at, bytes.length - at, at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    const batches: Batch[] = []
    for (let at = 0; ;) {
      const batch = batchAt(bytes, at)
      const before = batches.at(-1)
      if (batch === undefined || (before !== undefined && batch.seq !== before.seq + 1)) return batches
      batches.push(batch)
      at += HEAD_BYTES + bytes.readUInt32BE(at + 4)
    }
  }

  /** From now on the file is written from its start. */
  rewind(): void {
    this.#position = 0
  }

  /** Resolves when the batch is on disk. One at a time. */
  async append(batch: Batch): Promise<void> {
    let length = encodedBytes(batch)
    const end = this.#position + length
    if (end > this.#size) length += Math.min(Math.max(SMALLEST_ROOM, this.#size), LARGEST_ROOM)
    const bytes = Buffer.allocUnsafe(length)
    encode(batch, bytes)
    for (let at = 0; at < length;) {
      const { bytesWritten } = await this.handle.write(bytes, at, length - at, this.#position + at)
      at += bytesWritten
    }
    if (!SYNCS) await this.handle.datasync()
    this.#size = Math.max(this.#size, this.#position + length)
    this.#position = end
    this.lastSeq = batch.seq
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}

function encodedBytes({ writes }: Batch): number {
  let length = HEAD_BYTES
  for (const [key, value] of writes) length += RECORD_HEAD_BYTES + key.length + (value?.length ?? 0)
  return length
}

/** Fills what is behind the batch with zeros. */
function encode({ seq, writes }: Batch, bytes: Buffer): void {
  let at = HEAD_BYTES
  for (const [key, value] of writes) {
    bytes.writeUInt16BE(key.length, at)
    bytes.writeUInt32BE(value === undefined ? 0 : value.length + 1, at + 2)
    bytes.set(key, at + RECORD_HEAD_BYTES)
    at += RECORD_HEAD_BYTES + key.length
    if (value === undefined) continue
    bytes.set(value, at)
    at += value.length
  }
  bytes.writeUInt32BE(MAGIC, 0)
  bytes.writeUInt32BE(at - HEAD_BYTES, CHECKED_FROM)
  bytes.writeDoubleBE(seq, CHECKED_FROM + 4)
  bytes.writeUInt32BE(checksum(bytes.subarray(0, at)), CRC_AT)
  bytes.fill(0, at)
}

function checksum(batch: Buffer): number {
  return crc32(batch.subarray(HEAD_BYTES), crc32(batch.subarray(CHECKED_FROM, CRC_AT)))
}

/** undefined: none, or one that was not written to its end. */
function batchAt(bytes: Buffer, start: number): Batch | undefined {
  if (bytes.length < start + HEAD_BYTES || bytes.readUInt32BE(start) !== MAGIC) return undefined
  const end = start + HEAD_BYTES + bytes.readUInt32BE(start + CHECKED_FROM)
  if (end > bytes.length) return undefined
  const batch = bytes.subarray(start, end)
  if (checksum(batch) !== batch.readUInt32BE(CRC_AT)) return undefined
  const writes: [Buffer, Buffer | undefined][] = []
  for (let at = HEAD_BYTES; at < batch.length;) {
    const key = at + RECORD_HEAD_BYTES
    const value = key + batch.readUInt16BE(at)
    const present = batch.readUInt32BE(at + 2)
    at = value + Math.max(0, present - 1)
    writes.push([batch.subarray(key, value), present === 0 ? undefined : batch.subarray(value, at)])
  }
  return { seq: batch.readDoubleBE(CHECKED_FROM + 4), writes }
}

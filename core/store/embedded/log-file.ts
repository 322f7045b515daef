import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { constants, write } from 'node:fs'
import { crc32 } from 'node:zlib'

export interface Batch {
  /** The batches of a store are numbered without a gap. */
  readonly seq: number
  readonly writes: readonly (readonly [key: Buffer, value: Buffer | undefined])[]
}

/** A batch as it was read. */
export interface LoggedBatch extends Batch {
  /** CRC-32 of the batch, and of the one before it. */
  readonly crc: number
  readonly before: number
}

/** What a file holds. */
export interface LogContent {
  /** From the start of the file to the first that is torn or does not follow. */
  readonly batches: readonly LoggedBatch[]
  /** The highest seq of whole batches behind those, 0 for none: of an earlier use, unless the file is damaged. */
  readonly stray: number
}

const MAGIC = Buffer.from('kv4l')
const HEAD_BYTES = 24
const LENGTH_AT = 4
const SEQ_AT = 8
const BEFORE_AT = 16
const CRC_AT = 20
const RECORD_HEAD_BYTES = 6
const SMALLEST_ROOM = 64 * 1024
const LARGEST_ROOM = 1024 * 1024
/** A file that a rush has made longer is cut when it is begun anew, bytes. */
const LONGEST = 16 * 1024 * 1024
// As LMDB makes its own.
const MODE = 0o664

// The descriptor syncs what it writes, so that a batch is one call.
const SYNCS = process.platform === 'linux'
const FLAGS = constants.O_RDWR | constants.O_CREAT | (SYNCS ? constants.O_DSYNC : 0)

/**
 * One file of the log: batches, each written at once behind the last one and on disk when that returns.
 *
 *   batch    magic u32, bytes of the records u32, seq float64, crc32 of the batch before, crc32 of all but itself, records …
 *   record   bytes of the key u16, bytes of the value + 1 u32, key, value; 0 for the value's: the key is removed
 *
 * The file is used again and again from its start: what lies behind the last batch is from earlier, and is told by its seq,
 * which does not follow. Room is made by zeros ahead of the batches, since a file that grows costs the disk its metadata
 * with each write.
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
    const handle = await open(path, FLAGS, MODE)
    return new LogFile(handle, (await handle.stat()).size)
  }

  /** Where the next batch goes. */
  get position(): number {
    return this.#position
  }

  async read(): Promise<LogContent> {
    const bytes = Buffer.alloc(this.#size)
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await this.handle.read(bytes, at, bytes.length - at, at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    const batches: LoggedBatch[] = []
    let at = 0
    for (;;) {
      const batch = batchAt(bytes, at)
      const last = batches.at(-1)
      if (batch === undefined || (last !== undefined && !follows(batch, last))) break
      batches.push(batch)
      at += HEAD_BYTES + bytes.readUInt32BE(at + LENGTH_AT)
    }
    let stray = 0
    for (at = bytes.indexOf(MAGIC, at); at !== -1; at = bytes.indexOf(MAGIC, at + 1))
      stray = Math.max(stray, batchAt(bytes, at)?.seq ?? 0)
    return { batches, stray }
  }

  /** From now on the file is written from its start. */
  async rewind(): Promise<void> {
    this.#position = 0
    if (this.#size <= LONGEST) return
    await this.handle.truncate(SMALLEST_ROOM)
    this.#size = SMALLEST_ROOM
  }

  /** Resolves with its CRC when the batch is on disk. One at a time. @param before the CRC of the batch before */
  async append(batch: Batch, before: number): Promise<number> {
    let length = encodedBytes(batch)
    const end = this.#position + length
    if (end > this.#size) length += Math.min(Math.max(SMALLEST_ROOM, this.#size), LARGEST_ROOM)
    const bytes = Buffer.allocUnsafe(length)
    const crc = encode(batch, before, bytes)
    for (let at = 0; at < length;) {
      at += await written(this.handle.fd, bytes, at, this.#position + at)
    }
    if (!SYNCS) await this.handle.datasync()
    this.#size = Math.max(this.#size, this.#position + length)
    this.#position = end
    this.lastSeq = batch.seq
    return crc
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}

/** Whether a batch is the one right after another. */
export function follows(batch: LoggedBatch, last: Pick<LoggedBatch, 'seq' | 'crc'>): boolean {
  return batch.seq === last.seq + 1 && batch.before === last.crc
}

/** Of the bytes from an offset on, how many were written. With less around it than a FileHandle has. */
function written(file: number, bytes: Buffer, from: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(file, bytes, from, bytes.length - from, position, (error, count) => {
      if (error === null) resolve(count)
      else reject(error)
    })
  })
}

function encodedBytes({ writes }: Batch): number {
  let length = HEAD_BYTES
  for (const [key, value] of writes) length += RECORD_HEAD_BYTES + key.length + (value?.length ?? 0)
  return length
}

/** Fills what is behind the batch with zeros. */
function encode({ seq, writes }: Batch, before: number, bytes: Buffer): number {
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
  bytes.set(MAGIC, 0)
  bytes.writeUInt32BE(at - HEAD_BYTES, LENGTH_AT)
  bytes.writeDoubleBE(seq, SEQ_AT)
  bytes.writeUInt32BE(before, BEFORE_AT)
  const crc = checksum(bytes.subarray(0, at))
  bytes.writeUInt32BE(crc, CRC_AT)
  bytes.fill(0, at)
  return crc
}

function checksum(batch: Buffer): number {
  return crc32(batch.subarray(HEAD_BYTES), crc32(batch.subarray(0, CRC_AT)))
}

/** undefined: none, or one that was not written to its end. */
function batchAt(bytes: Buffer, start: number): LoggedBatch | undefined {
  if (
    bytes.length < start + HEAD_BYTES ||
    bytes.compare(MAGIC, 0, MAGIC.length, start, start + MAGIC.length) !== 0
  )
    return undefined
  const end = start + HEAD_BYTES + bytes.readUInt32BE(start + LENGTH_AT)
  if (end > bytes.length) return undefined
  const batch = bytes.subarray(start, end)
  const crc = batch.readUInt32BE(CRC_AT)
  if (checksum(batch) !== crc) return undefined
  const writes: [Buffer, Buffer | undefined][] = []
  for (let at = HEAD_BYTES; at < batch.length;) {
    const key = at + RECORD_HEAD_BYTES
    const value = key + batch.readUInt16BE(at)
    const present = batch.readUInt32BE(at + 2)
    at = value + Math.max(0, present - 1)
    writes.push([batch.subarray(key, value), present === 0 ? undefined : batch.subarray(value, at)])
  }
  return { seq: batch.readDoubleBE(SEQ_AT), before: batch.readUInt32BE(BEFORE_AT), crc, writes }
}

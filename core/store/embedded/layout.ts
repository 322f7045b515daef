import type { Address, Place } from '../../kv4/address'
import type { BucketName } from '../../kv4/bucket-name'
import type { Key } from '../../kv4/key'
import type { Layer } from '../../kv4/layer'
import type { Path } from '../../kv4/path'
import type { Period } from '../store'
import type { Reader } from './environment'

/**
 * Every key of the one LMDB database, in bytes. Buckets are numbers that are never used twice, so opening a bucket
 * costs nothing, and dropping one is the removal of its name; its range is collected afterwards.
 *
 *   store     00 'v'                        -> format version, ASCII
 *             00 'i'                        -> the next bucket number, u40
 *             00 'b' name                   -> bucket number, u40
 *             00 'g' bucket                 -> a dropped bucket whose range is not collected yet
 *             00 'w'                        -> the last batch of the log that is in here: seq float64, crc32
 *   bucket    01 bucket type …              bucket: u40
 *     version     'V' address ~n            -> seq, JSON of the version; ~n: newest first, so the latest is the first
 *     current     'C' address               -> seq, n, exp, JSON of the version
 *     tombstone   'D' address               -> seq, JSON of the deletion of a current entry: it lives in the feed alone
 *     burial      'T' at address            -> nothing (one byte): when each tombstone was made
 *     forgotten   'U'                       -> the highest seq of a tombstone that is not kept any more
 *     sample      'S' address at id         -> seq, JSON of [by, v]
 *     key row     'K' address               -> live (one byte), exp when there is one; versioned and series layers
 *     live path   'P' layer 00 path 00      -> how many live keys it has, u32
 *     live layer  'L' layer 00              -> how many live paths it has, u32
 *     rollup      'R' layer 00 '0' …        -> sum, min, max, count (float64 each), of all paths, …
 *                 'R' layer 00 '1' path 00 …          … of a path, …
 *                 'R' layer 00 '2' path 00 key 00 …   … of a key; where … is: level (one byte) period
 *     expiry      'X' exp ('V' | 'C') address -> n; only what is live and has an exp
 *     feed        'F' seq                   -> the key of its record from its type byte on
 *     feed floor  'Q'                       -> the highest seq whose feed record was pruned
 *
 *   address   layer 00 path 00 key 00; no name holds a control character, so no address is the beginning of another
 *   path      its bytes with each '/' as 01, the root as nothing: byte order is then tree order
 *   seq, n    u56; ~n is 2^53 - 1 - n
 *   at, exp   float64 with its bits arranged so that byte order is numeric order
 *   period    year u24 (plus 2^23), month, day, hour, minute u8, as many as the level has
 *
 * The longest key takes 6 + 1 + 130 + 1025 + 513 + 8 + 255 bytes of the 1,978 that LMDB allows.
 */
export const RECORD = {
  version: 0x56,
  current: 0x43,
  tombstone: 0x44,
  sample: 0x53,
  keyRow: 0x4b,
  livePath: 0x50,
  liveLayer: 0x4c,
  rollup: 0x52,
  expiry: 0x58,
  feed: 0x46,
  feedFloor: 0x51,
  burial: 0x54,
  forgotten: 0x55,
} as const
export type RecordType = (typeof RECORD)[keyof typeof RECORD]

/** Bytes before the type byte. */
export const PREFIX_BYTES = 6
export const NUMBER_BYTES = 7
const INSTANT_BYTES = 8
/** A sample's id follows its address in the key. */
export const MAX_SAMPLE_ID_BYTES = 255

const STORE = 0x00
const BUCKETS = 0x01
const SLASH = 0x2f
const SLASH_IN_KEY = 0x01

// One scratch area for the key that is being written: each builder copies its result out before another starts.
const scratch = Buffer.allocUnsafe(8192)
let end = 0

function taken(): Buffer {
  return Buffer.from(scratch.subarray(0, end))
}

function begin(bucket: number, type: RecordType): void {
  scratch[0] = BUCKETS
  scratch.writeUIntBE(bucket, 1, 5)
  scratch[PREFIX_BYTES] = type
  end = PREFIX_BYTES + 1
}

function writeName(name: string): void {
  end += scratch.write(name, end, 'utf8')
  scratch[end++] = 0
}

function writePath(path: Path): void {
  if (path !== '/') {
    const from = end
    end += scratch.write(path, end, 'utf8')
    for (let i = from; i < end; i++) if (scratch[i] === SLASH) scratch[i] = SLASH_IN_KEY
  }
  scratch[end++] = 0
}

function writeAddress({ layer, path, key }: Address): void {
  writeName(layer)
  writePath(path)
  writeName(key)
}

/** As u56 at an offset. */
export function putNumber(target: Buffer, n: number, offset: number): void {
  target.writeUIntBE(Math.floor(n / 0x1_0000_0000), offset, 3)
  target.writeUInt32BE(n % 0x1_0000_0000, offset + 3)
}

export function getNumber(source: Buffer, offset: number): number {
  return source.readUIntBE(offset, 3) * 0x1_0000_0000 + source.readUInt32BE(offset + 3)
}

function writeNumber(n: number): void {
  putNumber(scratch, n, end)
  end += NUMBER_BYTES
}

function descending(n: number): number {
  return Number.MAX_SAFE_INTEGER - Math.min(Math.max(n, 0), Number.MAX_SAFE_INTEGER)
}

function writeInstant(instant: number): void {
  scratch.writeDoubleBE(instant, end)
  if (instant < 0) for (let i = end; i < end + INSTANT_BYTES; i++) scratch[i] = ~scratch[i]! & 0xff
  else scratch[end]! |= 0x80
  end += INSTANT_BYTES
}

function getInstant(source: Buffer, offset: number): number {
  const bytes = Buffer.from(source.subarray(offset, offset + INSTANT_BYTES))
  if ((bytes[0]! & 0x80) === 0) for (let i = 0; i < INSTANT_BYTES; i++) bytes[i] = ~bytes[i]! & 0xff
  else bytes[0]! &= 0x7f
  return bytes.readDoubleBE(0)
}

function readName(source: Buffer, from: number): { name: string; next: number } {
  const stop = source.indexOf(0, from)
  return { name: source.toString('utf8', from, stop), next: stop + 1 }
}

function readPath(source: Buffer, from: number): { path: Path; next: number } {
  const { name, next } = readName(source, from)
  return { path: (name === '' ? '/' : name.replaceAll('\u0001', '/')) as Path, next }
}

/** The address at an offset of a key and the offset behind it. */
export function readAddress(source: Buffer, from: number): { address: Address; next: number } {
  const layer = readName(source, from)
  const path = readPath(source, layer.next)
  const key = readName(source, path.next)
  return {
    address: { layer: layer.name as Layer, path: path.path, key: key.name as Key },
    next: key.next,
  }
}

/** The first key behind every key that begins with this one; the last byte of a prefix is never ff here. */
export function behind(prefix: Buffer): Buffer {
  const key = Buffer.from(prefix)
  key[key.length - 1]!++
  return key
}

/** The first key that begins so. */
export function firstKeyOf(reader: Pick<Reader, 'keys'>, prefix: Buffer): Buffer | undefined {
  for (const key of reader.keys({ start: prefix, end: behind(prefix), limit: 1 })) return key
  return undefined
}

export const StoreKey = {
  format: Buffer.from([STORE, 0x76]),
  nextBucket: Buffer.from([STORE, 0x69]),
  buckets: Buffer.from([STORE, 0x62]),
  garbage: Buffer.from([STORE, 0x67]),
  applied: Buffer.from([STORE, 0x77]),

  bucket(name: BucketName): Buffer {
    return Buffer.concat([StoreKey.buckets, Buffer.from(name, 'utf8')])
  },

  nameOf(key: Buffer): BucketName {
    return key.toString('utf8', StoreKey.buckets.length) as BucketName
  },

  dropped(bucket: number): Buffer {
    const key = Buffer.alloc(StoreKey.garbage.length + 5)
    StoreKey.garbage.copy(key)
    key.writeUIntBE(bucket, StoreKey.garbage.length, 5)
    return key
  },

  droppedOf(key: Buffer): number {
    return key.readUIntBE(StoreKey.garbage.length, 5)
  },
}

/** What all keys of a bucket begin with. */
export function bucketPrefix(bucket: number): Buffer {
  const key = Buffer.alloc(PREFIX_BYTES)
  key[0] = BUCKETS
  key.writeUIntBE(bucket, 1, 5)
  return key
}

export function typePrefix(bucket: number, type: RecordType): Buffer {
  begin(bucket, type)
  return taken()
}

export function layerPrefix(bucket: number, type: RecordType, layer: Layer): Buffer {
  begin(bucket, type)
  writeName(layer)
  return taken()
}

export function placePrefix(bucket: number, type: RecordType, { layer, path }: Place): Buffer {
  begin(bucket, type)
  writeName(layer)
  writePath(path)
  return taken()
}

export function addressKey(bucket: number, type: RecordType, address: Address): Buffer {
  begin(bucket, type)
  writeAddress(address)
  return taken()
}

/** Of a key row or a current entry, whose keys end with their address. */
export function keyNameOf(key: Buffer): Key {
  const layer = key.indexOf(0, PREFIX_BYTES + 1)
  const path = key.indexOf(0, layer + 1)
  return key.toString('utf8', path + 1, key.length - 1) as Key
}

export function versionKey(bucket: number, address: Address, n: number): Buffer {
  begin(bucket, RECORD.version)
  writeAddress(address)
  writeNumber(descending(n))
  return taken()
}

export function versionNumberOf(key: Buffer): number {
  return Number.MAX_SAFE_INTEGER - getNumber(key, key.length - NUMBER_BYTES)
}

export function sampleKey(bucket: number, address: Address, at: number, id: string): Buffer {
  begin(bucket, RECORD.sample)
  writeAddress(address)
  writeInstant(at)
  end += scratch.write(id, end, 'utf8')
  return taken()
}

/** Behind every sample up to this instant. */
export function samplesAfter(bucket: number, address: Address, at: number): Buffer {
  begin(bucket, RECORD.sample)
  writeAddress(address)
  writeInstant(at)
  // No UTF-8 text begins with ff.
  scratch[end++] = 0xff
  return taken()
}

/** `from`: the offset behind the address. */
export function readSampleKey(key: Buffer, from: number): { at: number; id: string } {
  return { at: getInstant(key, from), id: key.toString('utf8', from + INSTANT_BYTES) }
}

export function livePathKey(bucket: number, place: Place): Buffer {
  return placePrefix(bucket, RECORD.livePath, place)
}

export function livePathOf(key: Buffer): Path {
  return readPath(key, key.indexOf(0, PREFIX_BYTES + 1) + 1).path
}

/** Behind a path and all that is below it. */
export function livePathsBehind(bucket: number, place: Place): Buffer {
  const key = livePathKey(bucket, place)
  // What is below goes on with 01 where the path itself ends with 00.
  key[key.length - 1] = SLASH_IN_KEY + 1
  return key
}

export function liveLayerOf(key: Buffer): Layer {
  return key.toString('utf8', PREFIX_BYTES + 1, key.length - 1) as Layer
}

export function expiryKey(
  bucket: number,
  exp: number,
  kind: typeof RECORD.version | typeof RECORD.current,
  address: Address,
): Buffer {
  begin(bucket, RECORD.expiry)
  writeInstant(exp)
  scratch[end++] = kind
  writeAddress(address)
  return taken()
}

/** Behind everything that lapses up to this instant. */
export function expiriesAfter(bucket: number, exp: number): Buffer {
  begin(bucket, RECORD.expiry)
  writeInstant(exp)
  scratch[end++] = 0xff
  return taken()
}

export function readExpiryKey(key: Buffer): { exp: number; kind: number; address: Address } {
  const from = PREFIX_BYTES + 1
  return {
    exp: getInstant(key, from),
    kind: key[from + INSTANT_BYTES]!,
    address: readAddress(key, from + INSTANT_BYTES + 1).address,
  }
}

export function burialKey(bucket: number, at: number, address: Address): Buffer {
  begin(bucket, RECORD.burial)
  writeInstant(at)
  writeAddress(address)
  return taken()
}

/** Before every burial at this instant. */
export function burialsFrom(bucket: number, at: number): Buffer {
  begin(bucket, RECORD.burial)
  writeInstant(at)
  return taken()
}

export function readBurialKey(key: Buffer): { at: number; address: Address } {
  const from = PREFIX_BYTES + 1
  return { at: getInstant(key, from), address: readAddress(key, from + INSTANT_BYTES).address }
}

export function feedKey(bucket: number, seq: number): Buffer {
  begin(bucket, RECORD.feed)
  writeNumber(seq)
  return taken()
}

export function seqOfFeedKey(key: Buffer): number {
  return getNumber(key, PREFIX_BYTES + 1)
}

export type Grouping = Partial<Pick<Address, 'path' | 'key'>> & Pick<Address, 'layer'>

/** The rollup of a grouping at a period; a period with fewer parts than the level has is a prefix of such keys. */
export function rollupKey(bucket: number, grouping: Grouping, level: number, period: Period): Buffer {
  begin(bucket, RECORD.rollup)
  writeName(grouping.layer)
  scratch[end++] = grouping.path === undefined ? 0x30 : grouping.key === undefined ? 0x31 : 0x32
  if (grouping.path !== undefined) writePath(grouping.path)
  if (grouping.key !== undefined) writeName(grouping.key)
  scratch[end++] = level
  for (const [i, part] of period.entries()) {
    if (i === 0) {
      scratch.writeUIntBE(Math.min(Math.max(part + 0x80_0000, 0), 0xff_ffff), end, 3)
      end += 3
    } else scratch[end++] = Math.min(Math.max(part, 0), 0xff)
  }
  return taken()
}

/** The period at the end of a rollup's key, of a level with so many parts. */
export function periodOf(key: Buffer, parts: number): number[] {
  const from = key.length - parts - 2
  const period = [key.readUIntBE(from, 3) - 0x80_0000]
  for (let i = 1; i < parts; i++) period.push(key[from + 2 + i]!)
  return period
}

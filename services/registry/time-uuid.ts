import { randomBytes } from 'node:crypto'

/**
 * Version 1 UUIDs. Tokens of heartbeats and ids of events are such, because clients take the time out of them
 * (contract, service-registry.md §7 and §10).
 *
 *     time_low - time_mid - 1 time_hi - 10 clock_seq - node      60 bits of 100 ns since 1582-10-15, 14, 48
 *
 * An event's node says where the event stands in its feed: the multicast bit, which no network card has, 33 bits of the
 * entry's number and 7 of the event's place in it.
 */

const EPOCH_TICKS = 122_192_928_000_000_000n
const TICKS_PER_MS = 10_000n
const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i
const MULTICAST = 0x01_00_00_00_00_00n
const PLACE_BITS = 7n

/** Events that one entry of a feed may hold. */
export const MAX_PLACES = 128

/** Where an event stands: the number of the entry that holds it, and its place in there. */
export interface EventPosition {
  readonly entry: number
  readonly place: number
}

const POOL_BYTES = 4_000
const RANDOM_BYTES = 10
let pool = Buffer.alloc(0)

/** A call for ten bytes costs as much as one for four thousand. */
function someRandomBytes(): Buffer {
  if (pool.length < RANDOM_BYTES) pool = randomBytes(POOL_BYTES)
  const bytes = pool.subarray(0, RANDOM_BYTES)
  pool = pool.subarray(RANDOM_BYTES)
  return bytes
}

function print(ticks: bigint, sequence: number, node: bigint): string {
  const time = ticks.toString(16).padStart(15, '0')
  const clock = (0x8000 | (sequence & 0x3fff)).toString(16)
  return `${time.slice(7)}-${time.slice(3, 7)}-1${time.slice(0, 3)}-${clock}-${node.toString(16).padStart(12, '0')}`
}

export const TimeUuid = {
  is(text: string): boolean {
    return FORM.test(text)
  },

  /** 100 ns since 1582, of a text that `is` one. */
  ticks(uuid: string): bigint {
    return BigInt('0x' + uuid.slice(15, 18) + uuid.slice(9, 13) + uuid.slice(0, 8))
  },

  ticksOf(ms: number): bigint {
    return BigInt(Math.floor(ms)) * TICKS_PER_MS + EPOCH_TICKS
  },

  /** Unix ms. */
  time(uuid: string): number {
    return TimeUuid.ms(TimeUuid.ticks(uuid))
  },

  ms(ticks: bigint): number {
    return Number((ticks - EPOCH_TICKS) / TICKS_PER_MS)
  },

  /** Says that instant and is otherwise beyond guessing: 74 random bits. */
  random(ms: number): string {
    const bytes = someRandomBytes()
    const ticks = TimeUuid.ticksOf(ms) + BigInt(bytes.readUInt16BE(0) % Number(TICKS_PER_MS))
    return print(ticks, bytes.readUInt16BE(2), BigInt('0x' + bytes.toString('hex', 4)) | MULTICAST)
  },

  ofEvent(ticks: bigint, { entry, place }: EventPosition): string {
    return print(ticks, 0, MULTICAST | (BigInt(entry) << PLACE_BITS) | BigInt(place) | 0n)
  },

  /** What `ofEvent` said, if it did: any other UUID gives some position too. */
  position(uuid: string): EventPosition {
    const node = BigInt('0x' + uuid.slice(24)) & (MULTICAST - 1n)
    return { entry: Number(node >> PLACE_BITS), place: Number(node & 0x7fn) }
  },
} as const

import { SessionCacheError } from './errors'

/** A message of the wire: any JSON object. */
export type Frame = Readonly<Record<string, unknown>>

export interface FrameLimits {
  /** Bytes of one frame at most. */
  readonly bytes: number
  /** Objects and arrays in each other at most. */
  readonly depth: number
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN = 0x7b
const CLOSE = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d

/**
 * Cuts a stream of JSON objects, which stand one behind the other without delimiter or length, into objects. It knows
 * when it is inside a string, so that `}{` there does not cut.
 *
 *   between --{--> object, depth 1 --{[--> deeper --}]--> ... --}, depth 0--> a frame --> between
 *                    `--"--> string --"--> back;  \ in a string skips the next byte
 */
export class FrameReader {
  #chunks: Buffer[] = []
  #size = 0
  #depth = 0
  #inString = false
  #escaped = false

  constructor(private readonly limits: FrameLimits) {}

  /** The frames that are complete now. @throws malformed_frame, frame_too_large: the stream cannot be followed further */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    let start = this.#depth > 0 ? 0 : -1
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (byte === BACKSLASH) this.#escaped = true
        else if (byte === QUOTE) this.#inString = false
      } else if (this.#depth === 0) {
        if (byte === OPEN) {
          this.#depth = 1
          start = i
        } else if (!isSpace(byte))
          throw new SessionCacheError('malformed_frame', `byte ${byte} between frames`)
      } else if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN || byte === OPEN_ARRAY) {
        if (++this.#depth > this.limits.depth) throw new SessionCacheError('malformed_frame', 'too deep')
      } else if ((byte === CLOSE || byte === CLOSE_ARRAY) && --this.#depth === 0) {
        frames.push(this.#frame(chunk.subarray(start, i + 1)))
        start = -1
      }
    }
    if (start >= 0) this.#keep(chunk.subarray(start))
    return frames
  }

  #keep(bytes: Buffer): void {
    this.#size += bytes.length
    if (this.#size > this.limits.bytes) throw new SessionCacheError('frame_too_large')
    // A copy: what a socket lends may be far larger than what is kept.
    let last = Buffer.from(bytes)
    // Whoever sends byte by byte shall not make us keep an object for each.
    while (this.#chunks.length > 0 && this.#chunks.at(-1)!.length <= last.length)
      last = Buffer.concat([this.#chunks.pop()!, last])
    this.#chunks.push(last)
  }

  #frame(end: Buffer): Frame {
    const bytes = this.#chunks.length === 0 ? end : Buffer.concat([...this.#chunks, end])
    this.#chunks = []
    this.#size = 0
    if (bytes.length > this.limits.bytes) throw new SessionCacheError('frame_too_large')
    try {
      return JSON.parse(bytes.toString('utf8')) as Frame
    } catch (error) {
      throw new SessionCacheError('malformed_frame', undefined, error)
    }
  }
}

/**
 * The bytes of a frame. Receivers of the original cut at every `}` that is followed by `{`, white space between them
 * or not, also inside strings; outside of strings that never occurs in JSON, so every such `{` is escaped.
 */
export function encodeFrame(frame: Frame): string {
  return JSON.stringify(frame).replace(/\}(\s*)(?=\{)\{/g, '}$1\\u007b')
}

/** Names that an attacker may send are never copied from one object into another; this reads one that may be there. */
export function textIn(frame: Frame, name: string): string | undefined {
  const value = Object.hasOwn(frame, name) ? frame[name] : undefined
  return typeof value === 'string' ? value : undefined
}

export function numberIn(frame: Frame, name: string): number | undefined {
  const value = Object.hasOwn(frame, name) ? frame[name] : undefined
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

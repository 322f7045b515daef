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
  /** The last byte was a backslash in a string. */
  #escaped = false

  constructor(private readonly limits: FrameLimits) {}

  /** The frames that are complete now. @throws malformed_frame, frame_too_large: the stream cannot be followed further */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    const { length } = chunk
    // In variables: a field for each byte would take longer than to read the JSON does.
    let depth = this.#depth
    let inString = this.#inString
    let start = depth > 0 ? 0 : -1
    let i = this.#escaped ? 1 : 0
    for (; i < length; i++) {
      if (inString) {
        while (i < length && chunk[i] !== QUOTE) i += chunk[i] === BACKSLASH ? 2 : 1
        if (i >= length) break
        inString = false
        continue
      }
      const byte = chunk[i]!
      if (depth === 0) {
        if (byte === OPEN) {
          depth = 1
          start = i
        } else if (!isSpace(byte))
          throw new SessionCacheError('malformed_frame', `byte ${byte} between frames`)
      } else if (byte === QUOTE) inString = true
      else if (byte === OPEN || byte === OPEN_ARRAY) {
        if (++depth > this.limits.depth) throw new SessionCacheError('malformed_frame', 'too deep')
      } else if ((byte === CLOSE || byte === CLOSE_ARRAY) && --depth === 0) {
        frames.push(this.#frame(chunk, start, i + 1))
        start = -1
      }
    }
    this.#depth = depth
    this.#inString = inString
    this.#escaped = i > length
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

  /** `chunk` from `start` to `end` is the frame, or its last part. */
  #frame(chunk: Buffer, start: number, end: number): Frame {
    if (this.#size + end - start > this.limits.bytes) throw new SessionCacheError('frame_too_large')
    const text =
      this.#size === 0
        ? chunk.toString('utf8', start, end)
        : Buffer.concat([...this.#chunks, chunk.subarray(start, end)]).toString('utf8')
    this.#chunks = []
    this.#size = 0
    try {
      return JSON.parse(text) as Frame
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
  const text = JSON.stringify(frame)
  // Most have nothing to escape, and to see that is cheaper than to replace nothing.
  return GLUED.test(text) ? text.replace(ALL_GLUED, '}$1\\u007b') : text
}

const GLUED = /\}\s*\{/
const ALL_GLUED = /\}(\s*)(?=\{)\{/g

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

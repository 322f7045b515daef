import { isUtf8 } from 'node:buffer'
import { Kv4Error } from '../core'
import type { Json } from '../core'

/** Levels of arrays and objects that a body may nest. */
export const MAX_DEPTH = 64

// How far a string is walked before the search for its end goes to the (faster, but dearer to call) native indexOf.
const WALK = 32
// Integers of so many digits are exact, and decimals of so many neither too large nor too small, without looking.
const EXACT_DIGITS = 15
const ORDINARY_DIGITS = 300
// Objects with more names than this are checked with a Set.
const LINEAR_NAMES = 16

const QUOTE = 0x22
const PLUS = 0x2b
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const UPPER_E = 0x45
const LOWER_E = 0x65
const LOWER_U = 0x75
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * JSON from outside, as `JSON.parse` reads it, once it is certain that nothing changes silently on the way in:
 * refused are invalid UTF-8, more than 64 levels, a name twice in one object, the names `__proto__` and
 * `constructor.prototype`, escaped lone surrogates, integers that come back with other digits, and numbers that
 * become Infinity or 0. A decimal fraction is taken as the nearest double.
 * @throws bad_json with `reason`, and `at` (the byte) where it is known
 */
export function parseStrictJson(bytes: Buffer): Json {
  if (!isUtf8(bytes)) throw refusal('not valid UTF-8')
  scan(bytes)
  try {
    return JSON.parse(bytes.toString('utf8')) as Json
  } catch {
    // The message of the parser quotes the body, which may hold a secret.
    throw refusal('not JSON')
  }
}

function refusal(reason: string, at?: number): Kv4Error {
  return new Kv4Error('bad_json', { fields: at === undefined ? { reason } : { reason, at } })
}

/**
 * The names of the objects that are open, as places in the body: those of the innermost are on top, from `base[depth]`
 * on. Comparing places instead of strings leaves nothing for the garbage collector. One scan runs at a time.
 */
const base = new Int32Array(MAX_DEPTH + 1)
const nameStart: number[] = []
const nameEnd: number[] = []
const nameHash: number[] = []
// Of an object with many names, or with one that has an escape: all of them, decoded.
const sets: (Set<string> | undefined)[] = new Array<undefined>(MAX_DEPTH + 1).fill(undefined)
// The name whose value is being read.
const openStart = new Int32Array(MAX_DEPTH + 1)
const openEnd = new Int32Array(MAX_DEPTH + 1)

/**
 * One pass that looks at what JSON.parse does not tell. It does not check the grammar, which JSON.parse does
 * afterwards: of text that is not JSON it may refuse or pass any part.
 */
function scan(bytes: Buffer): void {
  const length = bytes.length
  let depth = 0
  let top = 0
  let backslash = bytes.indexOf(BACKSLASH)
  let i = 0
  openEnd[0] = 0

  while (i < length) {
    const code = bytes[i]!
    if (code === QUOTE) {
      const start = ++i
      let escaped = false
      let hash = 0
      for (;;) {
        const near = i + WALK < length ? i + WALK : length
        let byte = 0
        while (i < near && (byte = bytes[i]!) !== QUOTE && byte !== BACKSLASH) {
          hash = (Math.imul(hash, 31) + byte) | 0
          i++
        }
        if (i >= near) {
          if (backslash !== -1 && backslash < i) backslash = bytes.indexOf(BACKSLASH, i)
          const quote = bytes.indexOf(QUOTE, i)
          if (quote === -1) throw refusal('not JSON')
          i = backslash !== -1 && backslash < quote ? backslash : quote
        }
        if (bytes[i] === QUOTE) break
        escaped = true
        i = escape(bytes, i)
      }
      const end = i++
      while (i < length && bytes[i]! <= 0x20) i++
      if (bytes[i] !== COLON || depth === 0) continue
      i++

      if (end - start >= 9 && isDangerous(bytes, start, end, depth, escaped))
        throw refusal('a name that would reach the prototype', start)
      let set = sets[depth]
      if (set === undefined && (escaped || top - base[depth]! >= LINEAR_NAMES)) {
        set = sets[depth] = new Set()
        for (let j = base[depth]!; j < top; j++) set.add(nameAt(bytes, nameStart[j]!, nameEnd[j]!))
      }
      if (set !== undefined) {
        const size = set.size
        if (set.add(nameAt(bytes, start, end)).size === size)
          throw refusal('a name twice in one object', start)
      } else {
        for (let j = base[depth]!; j < top; j++)
          if (nameHash[j] === hash && isSame(bytes, nameStart[j]!, nameEnd[j]!, start, end))
            throw refusal('a name twice in one object', start)
        nameStart[top] = start
        nameEnd[top] = end
        nameHash[top] = hash
        top++
      }
      openStart[depth] = start
      openEnd[depth] = end
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      if (++depth > MAX_DEPTH) throw refusal(`more than ${MAX_DEPTH} levels`, i)
      base[depth] = top
      sets[depth] = undefined
      openStart[depth] = 0
      openEnd[depth] = 0
      i++
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      if (depth > 0) {
        top = base[depth]!
        sets[depth] = undefined
        depth--
      }
      i++
    } else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      i = number(bytes, i)
    } else i++
  }
}

function isSame(bytes: Buffer, start: number, end: number, otherStart: number, otherEnd: number): boolean {
  const length = end - start
  if (length !== otherEnd - otherStart) return false
  for (let j = 0; j < length; j++) if (bytes[start + j] !== bytes[otherStart + j]) return false
  return true
}

/** `__proto__` anywhere, `prototype` inside of `constructor`; escaped spellings are longer, never shorter. */
function isDangerous(bytes: Buffer, start: number, end: number, depth: number, escaped: boolean): boolean {
  if (!escaped && bytes[start] !== 0x5f && bytes[start] !== 0x70) return false
  const name = nameAt(bytes, start, end)
  if (name === '__proto__') return true
  return (
    name === 'prototype' &&
    openEnd[depth - 1]! > 0 &&
    nameAt(bytes, openStart[depth - 1]!, openEnd[depth - 1]!) === 'constructor'
  )
}

/** What is between two quotes, decoded. */
function nameAt(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end)
  if (!text.includes('\\')) return text
  try {
    return JSON.parse(`"${text}"`) as string
  } catch {
    throw refusal('not JSON')
  }
}

/** From a backslash to behind its escape. */
function escape(bytes: Buffer, at: number): number {
  if (bytes[at + 1] !== LOWER_U) return at + 2
  const unit = hex(bytes, at + 2)
  if (unit < 0xd800 || unit > 0xdfff) return at + 6
  const low =
    unit <= 0xdbff && bytes[at + 6] === BACKSLASH && bytes[at + 7] === LOWER_U ? hex(bytes, at + 8) : 0
  if (low < 0xdc00 || low > 0xdfff) throw refusal('a lone surrogate', at)
  return at + 12
}

function hex(bytes: Buffer, at: number): number {
  const digits = bytes.toString('latin1', at, at + 4)
  if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw refusal('not JSON')
  return Number.parseInt(digits, 16)
}

/** From the first character of a number to behind it. */
function number(bytes: Buffer, start: number): number {
  let i = start
  let digits = 0
  let integer = true
  let power = false
  for (; i < bytes.length; i++) {
    const code = bytes[i]!
    if (code >= ZERO && code <= NINE) digits++
    else if (code === DOT) integer = false
    else if (code === LOWER_E || code === UPPER_E) power = true
    else if (code !== MINUS && code !== PLUS) break
  }
  if (!power && digits <= (integer ? EXACT_DIGITS : ORDINARY_DIGITS)) return i
  const token = bytes.toString('latin1', start, i)
  const value = Number(token)
  if (!Number.isFinite(value)) throw refusal('a number too large for a double', start)
  if (value === 0 && /^[^eE]*[1-9]/.test(token)) throw refusal('a number too small for a double', start)
  // JSON.stringify writes the shortest digits that come back to the same double, which need not be its exact value.
  if (/^-?\d+$/.test(token) && BigInt(token) !== BigInt(value) && String(value) !== token)
    throw refusal('an integer that a double cannot hold; send it as a string', start)
  return i
}

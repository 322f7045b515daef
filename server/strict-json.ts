import { isUtf8 } from 'node:buffer'
import { Kv4Error } from '../core'
import type { Json } from '../core'

/** Levels of arrays and objects that a body may nest. */
export const MAX_DEPTH = 64

// How far a string is walked before the search for its end goes to the (faster, but dearer to call) native indexOf.
const WALK = 24
// Integers of so many digits are exact without looking.
const SAFE_DIGITS = 15
// Objects with more names than this are checked with a Set.
const LINEAR_NAMES = 12

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const LOWER_U = 0x75
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * JSON from outside, as `JSON.parse` reads it, once it is certain that nothing changes silently on the way in:
 * refused are invalid UTF-8, more than 64 levels, a name twice in one object, the names `__proto__` and
 * `constructor.prototype`, escaped lone surrogates, integers that come back with other digits, and numbers that
 * become Infinity or 0. A decimal fraction is taken as the nearest double.
 * @throws bad_json with `reason`, and `at` (the character) where it is known
 */
export function parseStrictJson(bytes: Buffer): Json {
  if (!isUtf8(bytes)) throw refusal('not valid UTF-8')
  const text = bytes.toString('utf8')
  scan(text)
  try {
    return JSON.parse(text) as Json
  } catch {
    // The message of the parser quotes the body, which may hold a secret.
    throw refusal('not JSON')
  }
}

function refusal(reason: string, at?: number): Kv4Error {
  return new Kv4Error('bad_json', { fields: at === undefined ? { reason } : { reason, at } })
}

/**
 * One pass that looks at what JSON.parse does not tell. It does not check the grammar, which JSON.parse does
 * afterwards: of text that is not JSON it may refuse or pass any part.
 */
function scan(text: string): void {
  const length = text.length
  // Per level: the names of the object so far, and the one whose value is being read.
  const names: (string[] | undefined)[] = []
  const sets: (Set<string> | undefined)[] = []
  const open: (string | undefined)[] = []
  let depth = 0
  let backslash = text.indexOf('\\')
  let i = 0

  while (i < length) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) {
      const start = ++i
      let escaped = false
      for (;;) {
        const near = Math.min(length, i + WALK)
        while (i < near && text.charCodeAt(i) !== QUOTE && text.charCodeAt(i) !== BACKSLASH) i++
        if (i >= near) {
          if (backslash !== -1 && backslash < i) backslash = text.indexOf('\\', i)
          const quote = text.indexOf('"', i)
          if (quote === -1) throw refusal('not JSON')
          i = backslash !== -1 && backslash < quote ? backslash : quote
        }
        if (text.charCodeAt(i) === QUOTE) break
        escaped = true
        i = escape(text, i)
      }
      const end = i++
      while (i < length && text.charCodeAt(i) <= 0x20) i++
      if (text.charCodeAt(i) !== COLON || depth === 0) continue
      i++
      const name = escaped ? unescaped(text, start, end) : text.slice(start, end)
      if (name === '__proto__' || (name === 'prototype' && open[depth - 1] === 'constructor'))
        throw refusal(`the name ${name} is not allowed`, start)
      if (isKnown(names, sets, depth, name)) throw refusal('a name twice in one object', start)
      open[depth] = name
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      if (++depth > MAX_DEPTH) throw refusal(`more than ${MAX_DEPTH} levels`, i)
      names[depth] = undefined
      sets[depth] = undefined
      open[depth] = undefined
      i++
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      if (depth > 0) depth--
      i++
    } else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) {
      i = number(text, i)
    } else i++
  }
}

/** Remembers the name; true when the object had it. */
function isKnown(
  names: (string[] | undefined)[],
  sets: (Set<string> | undefined)[],
  depth: number,
  name: string,
): boolean {
  const known = names[depth]
  if (known === undefined) {
    names[depth] = [name]
    return false
  }
  if (known.length < LINEAR_NAMES) {
    for (let j = 0; j < known.length; j++) if (known[j] === name) return true
    known.push(name)
    return false
  }
  const set = (sets[depth] ??= new Set(known))
  if (set.has(name)) return true
  set.add(name)
  return false
}

/** From a backslash to behind its escape. */
function escape(text: string, at: number): number {
  if (text.charCodeAt(at + 1) !== LOWER_U) return at + 2
  const unit = hex(text, at + 2)
  if (unit < 0xd800 || unit > 0xdfff) return at + 6
  const low =
    unit <= 0xdbff && text.charCodeAt(at + 6) === BACKSLASH && text.charCodeAt(at + 7) === LOWER_U
      ? hex(text, at + 8)
      : 0
  if (low < 0xdc00 || low > 0xdfff) throw refusal('a lone surrogate', at)
  return at + 12
}

function hex(text: string, at: number): number {
  const digits = text.slice(at, at + 4)
  if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw refusal('not JSON')
  return Number.parseInt(digits, 16)
}

function unescaped(text: string, start: number, end: number): string {
  try {
    return JSON.parse(text.slice(start - 1, end + 1)) as string
  } catch {
    throw refusal('not JSON')
  }
}

/** From the first character of a number to behind it. */
function number(text: string, start: number): number {
  let i = start
  let digits = 0
  let integer = true
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x30 && code <= 0x39) digits++
    else if (code === 0x2e || code === 0x65 || code === 0x45 || code === 0x2b) integer = false
    else if (code === COMMA || code !== 0x2d) break
  }
  if (integer && digits <= SAFE_DIGITS) return i
  const token = text.slice(start, i)
  const value = Number(token)
  if (!Number.isFinite(value)) throw refusal('a number too large for a double', start)
  if (value === 0 && /^[^eE]*[1-9]/.test(token)) throw refusal('a number too small for a double', start)
  // JSON.stringify writes the shortest digits that come back to the same double, which need not be its exact value.
  if (integer && /^-?\d+$/.test(token) && BigInt(token) !== BigInt(value) && String(value) !== token)
    throw refusal('an integer that a double cannot hold; send it as a string', start)
  return i
}

const P1 = 0x9e3779b1
const P2 = 0x85ebca77
const P3 = 0xc2b2ae3d
const P4 = 0x27d4eb2f
const P5 = 0x165667b1

const SHORT = new Uint8Array(64)

/** xxHash, 32 bits, of the UTF-8 bytes of a text: the hash that the original makes its tokens from. */
export function xxhash32(text: string, seed = 0): number {
  const short = keepShort(text)
  const data = short ? SHORT : Buffer.from(text)
  const length = short ? text.length : data.length
  let at = 0
  let h: number
  if (length >= 16) {
    let a = (seed + P1 + P2) | 0
    let b = (seed + P2) | 0
    let c = seed | 0
    let d = (seed - P1) | 0
    for (; at <= length - 16; at += 16) {
      a = round(a, wordAt(data, at))
      b = round(b, wordAt(data, at + 4))
      c = round(c, wordAt(data, at + 8))
      d = round(d, wordAt(data, at + 12))
    }
    h = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0
  } else h = (seed + P5) | 0
  h = (h + length) | 0
  for (; at <= length - 4; at += 4) h = Math.imul(rotate((h + Math.imul(wordAt(data, at), P3)) | 0, 17), P4)
  for (; at < length; at++) h = Math.imul(rotate((h + Math.imul(data[at]!, P5)) | 0, 11), P1)
  h = Math.imul(h ^ (h >>> 15), P2)
  h = Math.imul(h ^ (h >>> 13), P3)
  return (h ^ (h >>> 16)) >>> 0
}

/** The `hash` of the wire, "modulus-hash": which bucket of a table of `slots` the key belongs to, and its hash. */
export function tokenOf(key: string, slots: number, seed: number): string {
  const hash = xxhash32(key, seed)
  return `${hash % slots}-${hash}`
}

/** Keys are short and mostly ASCII: for those a Buffer would take longer than the hash. false: this one is not. */
function keepShort(text: string): boolean {
  if (text.length > SHORT.length) return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 127) return false
    SHORT[i] = code
  }
  return true
}

function wordAt(data: Uint8Array, at: number): number {
  return data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
}

function round(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, P2)) | 0, 13), P1)
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

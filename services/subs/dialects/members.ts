/** Deeper than this no client says anything, and some of them would fail on it. */
const MAX_DEPTH = 64

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const COMMA = 0x2c
const COLON = 0x3a

/**
 * The members of a JSON object, each value as the text that it is: numbers, escapes and the order of names survive. Of a
 * name that occurs twice the last counts, as for JSON.parse.
 * @param text what JSON.parse has accepted as an object
 * @returns undefined when it is deeper than 64 levels
 */
export function members(text: string): Map<string, string> | undefined {
  const found = new Map<string, string>()
  let depth = 0
  let name: string | undefined
  let start = 0
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE: {
        const end = endOfString(text, i)
        if (depth === 1 && name === undefined) name = JSON.parse(text.slice(i, end + 1)) as string
        i = end
        break
      }
      case COLON:
        if (depth === 1) start = i + 1
        break
      case OPEN_OBJECT:
      case OPEN_LIST:
        if (++depth > MAX_DEPTH) return undefined
        break
      case COMMA:
        if (depth === 1) {
          found.set(name!, text.slice(start, i).trim())
          name = undefined
        }
        break
      case CLOSE_OBJECT:
      case CLOSE_LIST:
        if (--depth === 0 && name !== undefined) found.set(name, text.slice(start, i).trim())
        break
    }
  }
  return found
}

/** Where the string that begins at `start` ends. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end
  }
}

/** The object that a text is. undefined: it is none, or no JSON. */
export function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined
}

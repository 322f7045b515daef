/**
 * One user-given name (layer, path, key, sample id) as a part of a document id and of a view key.
 *
 * ASCII only, injective, and in the order of the port: byte order of what comes out = byte order of the UTF-8 names,
 * with the `/` of a path before any other byte. Each byte becomes itself or an escape that sorts where the byte does:
 *
 *   byte                         becomes     sorts
 *   the `/` of a path            +           before all others
 *   0x20 … 0x2c                  ,hh
 *   -                            -
 *   . /                          .hh
 *   0-9 :                        themselves
 *   0x3b … 0x40                  ;hh
 *   A-Z                          themselves
 *   0x5b … 0x60 (`_` too)        ^hh
 *   a-z                          themselves
 *   0x7b … 0xff                  ~hh         after all others
 *
 * So `_`, `/`, `.`, `|`, `%`, `"`, `\` and everything that is not ASCII never appear. Plain bytes are all above `!`
 * and `"`, which ids use as their separator and as its successor.
 */

const PLAIN = /^[-0-9:A-Za-z]*$/
const PLAIN_PATH = /^[-0-9:A-Za-z/]*$/
const PATH_SLASH = '+'
/** Sorts behind every path that begins with `x/` when put behind x: the successor of the path's slash. */
const BEHIND_SLASH = ','
const COMPONENT = /^(?:[-0-9:A-Za-z+]|[,.;^~][0-9a-f]{2})*$/

const ESCAPED: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  if (PLAIN.test(character)) return character
  const lead = byte < 0x2d ? ',' : byte < 0x30 ? '.' : byte < 0x41 ? ';' : byte < 0x61 ? '^' : '~'
  return lead + byte.toString(16).padStart(2, '0')
})
const SLASH_BYTE = 0x2f

function escape(name: string, slash: string): string {
  let escaped = ''
  for (const byte of Buffer.from(name, 'utf8')) escaped += byte === SLASH_BYTE ? slash : ESCAPED[byte]!
  return escaped
}

function unescape(component: string): string {
  const bytes: number[] = []
  for (let i = 0; i < component.length; i++) {
    const character = component[i]!
    if (character === PATH_SLASH) bytes.push(SLASH_BYTE)
    else if (',.;^~'.includes(character)) {
      bytes.push(Number.parseInt(component.slice(i + 1, i + 3), 16))
      i += 2
    } else bytes.push(component.charCodeAt(i))
  }
  return Buffer.from(bytes).toString('utf8')
}

export const Component = {
  /** Of a layer, a key or a sample's id, where a `/` is a byte like any other. */
  of(name: string): string {
    return PLAIN.test(name) ? name : escape(name, ESCAPED[SLASH_BYTE]!)
  },

  ofPath(path: string): string {
    return PLAIN_PATH.test(path) ? path.replaceAll('/', PATH_SLASH) : escape(path, PATH_SLASH)
  },

  /** Back to the name; only of what the functions above made. */
  parse(component: string): string {
    return PLAIN.test(component) ? component : unescape(component)
  },

  isOne(text: string): boolean {
    return COMPONENT.test(text)
  },

  /** Above every component. */
  last: '~~',

  /** The least text above the component of `path` and of everything below it. */
  behindTree(path: string): string {
    return path === '/' ? Component.last : Component.ofPath(path) + BEHIND_SLASH
  },
}

import { Kv4Error, Path } from '../../../core'
import { SCHEMAS_AT, SETTINGS_AT } from '../places'

const SEGMENT_BYTES = 255
const OWN_URLS: readonly string[] = [SCHEMAS_AT, SETTINGS_AT]

/**
 * The path of a session whose id a client chose as it liked. An id that is a path already is that path, so that both APIs
 * mean the same session by it. Anything else is spelled out, each id in its own way:
 *
 *   %XX           a byte that a segment cannot have, of a `.` or `..`, or a `%`
 *   % at the end  of a segment: the next one goes on with it (longer than 255 bytes), or it is empty
 *
 * @throws bad_segment for more than 64 segments or 1,024 bytes in all
 */
export function sessionPathOf(id: string): Path {
  if (id === '') throw new Kv4Error('bad_segment', { fields: { reason: 'empty' } })
  const path = '/' + id.split('/').flatMap(spelled).join('/')
  return Path.parse(OWN_URLS.includes(path) ? `/%5F${path.slice(2)}` : path)
}

function spelled(segment: string): readonly string[] {
  if (segment === '') return ['%']
  if (segment === '.' || segment === '..') return [segment.replaceAll('.', '%2E')]
  const text = segment.replace(/[\u0000-\u001f\u007f-\u009f%]/g, encodeURIComponent)
  if (Buffer.byteLength(text) <= SEGMENT_BYTES) return [text]
  const parts: string[] = []
  let part = ''
  let bytes = 0
  for (const piece of text.match(/%[0-9A-F]{2}|[^]/gu)!) {
    const size = Buffer.byteLength(piece)
    if (bytes + size + 1 > SEGMENT_BYTES) {
      parts.push(part + '%')
      part = ''
      bytes = 0
    }
    part += piece
    bytes += size
  }
  return [...parts, part]
}

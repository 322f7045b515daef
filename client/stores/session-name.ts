const SEGMENT_BYTES = 255

/**
 * The path of a key below a prefix, as it stands in a URL. What a segment cannot have is spelled `%XX`; a key that is
 * longer than a segment goes on in the next one, the one before ends in `%`.
 * @throws URIError for a lone surrogate, which no store can keep
 */
export function pathOf(prefix: string, key: string): string {
  return [...prefix.split('/'), ...segmentsOf(key)].map(encodeURIComponent).join('/')
}

/** The key of a path that the server lists; undefined: it is not below the prefix. */
export function keyOf(prefix: string, path: string): string | undefined {
  if (!path.startsWith(prefix + '/')) return undefined
  const spelled = path
    .slice(prefix.length + 1)
    .split('/')
    .map((segment, i, all) => (i + 1 < all.length && segment.endsWith('%') ? segment.slice(0, -1) : segment))
    .join('')
  try {
    return decodeURIComponent(spelled.replace(/%(?![0-9A-F]{2})/g, ''))
  } catch {
    return undefined
  }
}

function segmentsOf(key: string): readonly string[] {
  if (key === '') return ['%']
  if (key === '.' || key === '..') return [key.replaceAll('.', '%2E')]
  const text = key.replace(/[\u0000-\u001f\u007f-\u009f%/]/g, encodeURIComponent)
  const segments: string[] = []
  let segment = ''
  let bytes = 0
  const pieces = text.match(/%[0-9A-F]{2}|[^]/gu)!
  const size = new TextEncoder().encode(text).length
  if (size <= SEGMENT_BYTES) return [text]
  for (const piece of pieces) {
    const length = new TextEncoder().encode(piece).length
    if (bytes + length + 1 > SEGMENT_BYTES) {
      segments.push(segment + '%')
      segment = ''
      bytes = 0
    }
    segment += piece
    bytes += length
  }
  return [...segments, segment]
}

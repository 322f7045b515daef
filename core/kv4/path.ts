import { Kv4Error } from '../errors'
import { byteLength, hasControlCharacter } from './text'

declare const brand: unique symbol

/**
 * A place in a bucket's tree, in its one canonical spelling: `/` for the root, `/a/b` below it; no trailing slash.
 * Only `Path.parse` makes one.
 */
export type Path = string & { readonly [brand]: 'Path' }

const MAX_SEGMENTS = 64
const MAX_SEGMENT_BYTES = 255
const MAX_BYTES = 1024

function segmentProblem(segment: string): string | undefined {
  if (segment === '.' || segment === '..') return 'a relative segment'
  if (byteLength(segment) > MAX_SEGMENT_BYTES) return `longer than ${MAX_SEGMENT_BYTES} bytes`
  if (hasControlCharacter(segment)) return 'a control character or a lone surrogate'
  return undefined
}

export const Path = {
  root: '/' as Path,

  /**
   * From segments separated by `/`: empty segments collapse, leading and trailing slashes do not matter.
   * @throws bad_segment
   */
  parse(text: string): Path {
    const segments = text.split('/').filter((segment) => segment !== '')
    if (segments.length === 0) return Path.root
    if (segments.length > MAX_SEGMENTS)
      throw new Kv4Error('bad_segment', { fields: { reason: `more than ${MAX_SEGMENTS} segments` } })
    for (const segment of segments) {
      const reason = segmentProblem(segment)
      if (reason !== undefined) throw new Kv4Error('bad_segment', { fields: { reason } })
    }
    const path = '/' + segments.join('/')
    if (byteLength(path) > MAX_BYTES)
      throw new Kv4Error('bad_segment', { fields: { reason: `longer than ${MAX_BYTES} bytes in all` } })
    return path as Path
  },

  segments(path: Path): readonly string[] {
    return path === '/' ? [] : path.slice(1).split('/')
  },

  depth(path: Path): number {
    return path === '/' ? 0 : path.split('/').length - 1
  },

  /** True for the path itself and everything below it. */
  contains(above: Path, path: Path): boolean {
    return (
      above === '/' ||
      path === above ||
      (path.length > above.length && path.startsWith(above) && path[above.length] === '/')
    )
  },

  /** The path and each of its ancestors, root first. */
  lineage(path: Path): readonly Path[] {
    const lineage: Path[] = [Path.root]
    let at = ''
    for (const segment of Path.segments(path)) lineage.push((at += '/' + segment) as Path)
    return lineage
  },
}

import { Kv4Error, Path } from '../../core'

/** Where a call goes. */
export interface CallTarget {
  readonly origin: string
  /** Path and query, as they are sent. */
  readonly path: string
}

/**
 * `<url>/_prefix/path?query`. The path is the one that was routed by, decoded once and without relative segments, and is
 * encoded anew, so that nothing in it is read as a separator.
 * @param query as it was sent, without `?`
 * @throws bad_segment for a path that would lead elsewhere
 */
export function callTarget(url: string, prefix: string, path: Path, query: string): CallTarget {
  const base = new URL(url)
  const root = `${base.pathname.replace(/\/+$/, '')}/${prefix}`
  const segments = Path.segments(path).map((segment) => '/' + encodeURIComponent(segment))
  const target = root + segments.join('') + (query === '' ? '' : '?' + query)
  // As whoever receives it may resolve it.
  const resolved = new URL(base.origin + target)
  if (
    resolved.origin !== base.origin ||
    (resolved.pathname !== root && !resolved.pathname.startsWith(root + '/')) ||
    resolved.pathname.split('/').length !== root.split('/').length + segments.length
  )
    throw new Kv4Error('bad_segment', { fields: { reason: 'the path leads out of the service' } })
  return { origin: base.origin, path: target }
}

import { Kv4Error, Path } from '../core'

/** Query parameters that a request may have. */
export const MAX_PARAMETERS = 32

/** What a request line names. */
export interface RequestTarget {
  /** First segment, e.g. `_data`; empty for the root. */
  readonly prefix: string
  /** The segments behind the prefix. */
  readonly path: Path
  /** Each parameter once: of a repeated one the last. Without a prototype, so every name is just a name. */
  readonly query: Readonly<Record<string, string>>
}

const NO_QUERY: Readonly<Record<string, string>> = Object.freeze(
  Object.create(null) as Record<string, string>,
)

function refusal(reason: string): Kv4Error {
  return new Kv4Error('bad_request', { fields: { reason } })
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw refusal('percent encoding that is not UTF-8')
  }
}

/**
 * Decodes once, so that routing, bans and the store see one spelling. Empty segments collapse. An encoded slash is
 * refused: it would be part of a segment here and a separator to a proxy in front.
 * @throws bad_request, bad_segment
 */
export function parseRequestTarget(target: string): RequestTarget {
  if (target.charCodeAt(0) !== 0x2f) throw refusal('the target is not a path')
  if (target.includes('#')) throw refusal('a fragment in the target')
  const mark = target.indexOf('?')
  const { prefix, path } = parsePlace(mark === -1 ? target : target.slice(0, mark))
  return {
    prefix,
    path,
    query: mark === -1 || mark + 1 === target.length ? NO_QUERY : parseQuery(target.slice(mark + 1)),
  }
}

type RequestPlace = Pick<RequestTarget, 'prefix' | 'path'>

/** By how they were sent: callers ask for few places again and again. */
const places = new Map<string, RequestPlace>()
const MOST_PLACES = 1_000
const MOST_LENGTH = 256

function parsePlace(text: string): RequestPlace {
  const known = places.get(text)
  if (known !== undefined) return known
  if (text.length > MOST_LENGTH) return readPlace(text)
  // A copy: a piece of the target would keep the whole of it in memory, and what a query says may be secret.
  const own = Buffer.from(text).toString()
  // A lone surrogate, which UTF-8 has none of, became another character: the original is what is refused.
  if (own !== text) return readPlace(text)
  const place = readPlace(own)
  if (places.size >= MOST_PLACES) places.clear()
  places.set(own, place)
  return place
}

function readPlace(text: string): RequestPlace {
  let start = 1
  while (start < text.length && text.charCodeAt(start) === 0x2f) start++
  let slash = text.indexOf('/', start)
  if (slash === -1) slash = text.length
  const rest = text.slice(slash)
  if (rest.includes('%') && /%2f/i.test(rest))
    throw new Kv4Error('bad_segment', { fields: { reason: 'an encoded slash' } })
  return { prefix: decoded(text.slice(start, slash)), path: Path.parse(decoded(rest)) }
}

function parseQuery(text: string): Readonly<Record<string, string>> {
  const query = Object.create(null) as Record<string, string>
  let count = 0
  let start = 0
  while (start <= text.length) {
    let end = text.indexOf('&', start)
    if (end === -1) end = text.length
    if (end > start) {
      if (++count > MAX_PARAMETERS) throw refusal(`more than ${MAX_PARAMETERS} query parameters`)
      let equals = text.indexOf('=', start)
      if (equals === -1 || equals > end) equals = end
      query[form(text.slice(start, equals))] = form(text.slice(equals + 1, end))
    }
    start = end + 1
  }
  return query
}

/** `+` is a blank in a query, as in forms. */
function form(text: string): string {
  return decoded(text.includes('+') ? text.replaceAll('+', ' ') : text)
}

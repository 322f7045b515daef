import { Kv4Error } from '../core'

/** RFC 9110 §8.8.3: opaque text in quotes, `W/` in front when weak. */
interface EntityTag {
  readonly weak: boolean
  readonly tag: string
}

const LIST = /[ \t]*(?:(W\/)?"([\x21\x23-\x7e\x80-\xff]*)")[ \t]*(?:,|$)/y

/** `*`, or the tags of If-Match / If-None-Match. @throws bad_request when it is neither */
function parse(header: string, name: string): '*' | readonly EntityTag[] {
  const text = header.trim()
  if (text === '*') return '*'
  const tags: EntityTag[] = []
  LIST.lastIndex = 0
  while (LIST.lastIndex < text.length) {
    const match = LIST.exec(text)
    if (match === null) throw refusal(name, 'is neither * nor a list of entity tags')
    tags.push({ weak: match[1] !== undefined, tag: match[2]! })
  }
  if (tags.length === 0) throw refusal(name, 'is empty')
  return tags
}

function refusal(name: string, reason: string): Kv4Error {
  return new Kv4Error('bad_request', { fields: { path: name, reason } })
}

export function formatEntityTag(tag: string): string {
  return `"${tag}"`
}

/**
 * The one version tag that a condition names, for a service. If-Match compares strongly, so a weak tag matches
 * nothing. Several tags are refused: a write can be bound to one version only.
 * @throws bad_request, precondition_failed
 */
export function singleTag(header: string, name: 'If-Match' | 'If-None-Match'): string {
  const tags = parse(header, name)
  if (tags === '*') return '*'
  const [first, ...more] = tags
  if (more.length > 0) throw refusal(name, 'names more than one version')
  if (first!.weak && name === 'If-Match') throw new Kv4Error('precondition_failed')
  return first!.tag
}

/** If-None-Match of a GET: true when the caller has this version already. Weak comparison. @throws bad_request */
export function isKnown(header: string, tag: string): boolean {
  const tags = parse(header, 'If-None-Match')
  return tags === '*' || tags.some((known) => known.tag === tag)
}

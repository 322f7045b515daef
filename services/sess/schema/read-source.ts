import { isAlias, isNode, isScalar, parseDocument, visit, type ParsedNode, type Scalar } from 'yaml'
import type { Json } from '../../../core'
import { badSchema } from './bad-schema'

export const MOST_BYTES = 32 * 1024

/**
 * A schema as it was sent: YAML (or JSON, which is YAML) as a text, or what such a text says. Of YAML it takes what JSON
 * could say too: no anchors and aliases, by which a few bytes become gigabytes, no tags, no names twice.
 * @throws bad_schema
 */
export function readSource(source: Json): Json {
  if (typeof source !== 'string') {
    if (Buffer.byteLength(JSON.stringify(source)) > MOST_BYTES) throw tooLong()
    return source
  }
  if (Buffer.byteLength(source) > MOST_BYTES) throw tooLong()
  const document = parsed(source)
  const [problem] = [...document.errors, ...document.warnings]
  if (problem !== undefined) throw badSchema('', problem.message.split('\n', 1)[0]!)
  visit(document, {
    Node(_, node) {
      if (isAlias(node) || node.anchor !== undefined) throw badSchema('', 'anchors and aliases are not read')
      if (node.tag !== undefined) throw badSchema('', 'tags are not read')
    },
    Pair(_, { key }) {
      if (!isNode(key) || !isScalar<Primitive>(key) || !isName(key))
        throw badSchema('', 'a name that is not a text')
    },
  })
  return document.toJS({ maxAliasCount: 0 }) as Json
}

/** What a scalar of the core schema of YAML is. */
type Primitive = string | number | boolean | null

/** `true` and `12` are the names that they look like; `~`, `null` and `1.0` would be others, without a word. */
function isName({ value, source }: Scalar<Primitive>): boolean {
  return typeof value === 'string' || (value !== null && String(value) === source)
}

/** As names of JSON: `1` and `"1"` are one. */
function isSameName(a: ParsedNode, b: ParsedNode): boolean {
  return isScalar<Primitive>(a) && isScalar<Primitive>(b) && String(a.value) === String(b.value)
}

function parsed(text: string): ReturnType<typeof parseDocument> {
  try {
    return parseDocument(text, { version: '1.2', schema: 'core', uniqueKeys: isSameName, logLevel: 'error' })
  } catch (error) {
    // It descends as deep as the text does.
    if (error instanceof RangeError) throw badSchema('', 'nested too deeply')
    throw error
  }
}

function tooLong() {
  return badSchema('', `longer than ${MOST_BYTES} bytes`)
}

import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { Kv4Error, isJsonObject, type Json, type JsonObject } from '../../../core'
import { badSchema } from './bad-schema'
import { pointerPart } from './pointer'
import type { Translated } from './translate'

const MOST_PLACES = 1_000
const MOST_SCHEMAS = 50

/** Members of a document that the mount writes, and that clients send back with what they have read. */
const METADATA = ['_session', '_namespace', '_modified']

/** @throws invalid with path, rule and what is expected */
export type Validate = (document: JsonObject) => void

/**
 * All that a schema is made of, by name, itself first.
 * @param find the schema of a name; undefined: there is none
 * @throws bad_schema for a reference that leads nowhere or back, and for too many
 */
export async function closure(
  name: string,
  find: (name: string) => Promise<Translated | undefined>,
): Promise<ReadonlyMap<string, Translated>> {
  const all = new Map<string, Translated>()
  let places = 0
  async function visit(at: string, trail: readonly string[]): Promise<void> {
    if (trail.includes(at)) throw badSchema('', `the references make a circle: ${[...trail, at].join(' → ')}`)
    if (all.has(at)) return
    const found = await find(at)
    if (found === undefined)
      throw badSchema('', `there is no schema ${at}, which ${trail.at(-1) ?? 'a namespace'} refers to`)
    places += found.places
    for (const next of found.refers) await visit(next, [...trail, at])
    // Only now: what is under way is a circle when it is met again, what is done is not.
    all.set(at, found)
    if (all.size > MOST_SCHEMAS) throw badSchema('', `made of more than ${MOST_SCHEMAS} schemas`)
    if (places > MOST_PLACES)
      throw badSchema('', `more than ${MOST_PLACES} places with all that it refers to`)
  }
  await visit(name, [])
  return all
}

/** Costs milliseconds. A new Ajv each time: it keeps what it has compiled as long as it lives itself. */
export function compile(name: string, all: ReadonlyMap<string, Translated>): Validate {
  const ids = new Map([...all.keys()].map((each, i) => [each, String(i)]))
  const $defs: Record<string, Json> = {}
  for (const [each, { schema }] of all) $defs[ids.get(each)!] = linked(schema, ids)
  let root = $defs[ids.get(name)!]! as JsonObject
  while (typeof root.$ref === 'string') root = $defs[root.$ref.slice('#/$defs/'.length)]! as JsonObject
  const ajv = new Ajv({
    // `required: ['constructor']` would be met by every object otherwise.
    ownProperties: true,
    validateSchema: false,
    meta: false,
    strict: false,
    inlineRefs: false,
    logger: false,
  })
  const validate = ajv.compile({ ...withMetadata(root), $defs })
  return (document) => {
    if (!validate(document)) throw refusal(validate)
  }
}

function linked(value: Json, ids: ReadonlyMap<string, string>): Json {
  if (Array.isArray(value)) return value as Json
  if (!isJsonObject(value)) return value
  if (typeof value.$ref === 'string') return { $ref: `#/$defs/${ids.get(value.$ref)!}` }
  const { properties, items } = value
  return {
    ...value,
    ...(isJsonObject(items) && { items: linked(items, ids) }),
    ...(isJsonObject(properties) && {
      properties: Object.fromEntries(Object.entries(properties).map(([at, each]) => [at, linked(each, ids)])),
    }),
  }
}

function withMetadata(root: JsonObject): JsonObject {
  if (root.additionalProperties !== false) return root
  const properties = { ...(root.properties as JsonObject | undefined) }
  for (const name of METADATA) if (!Object.hasOwn(properties, name)) properties[name] = {}
  return { ...root, properties }
}

const SHOWN = 20

/** What Ajv says, in the words of the schema. */
const RULES: Readonly<Record<string, string>> = {
  type: 'type',
  required: 'required',
  additionalProperties: 'allowUnknown',
  enum: 'enum',
  minimum: 'min',
  maximum: 'max',
  minLength: 'min',
  maxLength: 'max',
  minItems: 'min',
  maxItems: 'max',
}

function refusal({ errors }: ValidateFunction): Kv4Error {
  const error = errors?.[0] as ErrorObject<string, Readonly<Record<string, Json>>> | undefined
  if (error === undefined)
    return new Kv4Error('internal', { detail: 'Ajv refused a document without a word' })
  const { instancePath, keyword, params } = error
  const rule = RULES[keyword]
  if (rule === undefined) return new Kv4Error('internal', { detail: `Ajv refused a document by ${keyword}` })
  const member = params.missingProperty ?? params.additionalProperty
  const path = typeof member === 'string' ? `${instancePath}/${pointerPart(member)}` : instancePath
  return new Kv4Error('invalid', { fields: { path: path || '/', rule, expected: expected(rule, params) } })
}

function expected(rule: string, params: Readonly<Record<string, Json>>): Json {
  switch (rule) {
    case 'type':
      return params.type!
    case 'required':
      return 'present'
    case 'allowUnknown':
      return 'absent'
    case 'enum': {
      const values = params.allowedValues as readonly (string | number)[]
      return values.slice(0, SHOWN).join(', ') + (values.length > SHOWN ? ', …' : '')
    }
    default:
      return params.limit!
  }
}

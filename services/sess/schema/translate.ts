import { isJsonObject, type Json, type JsonObject } from '../../../core'
import { badSchema } from './bad-schema'
import { pointerPart } from './pointer'
import { isSchemaName, isType, type Type } from './schema-name'

const MOST_PLACES = 500
const DEEPEST = 16
const MOST_VALUES = 1_000

/** A schema as Ajv reads it. */
export interface Translated {
  /** References stand in it as {$ref: '<name>'}. */
  readonly schema: JsonObject
  /** Names that it refers to. */
  readonly refers: ReadonlySet<string>
  /** How many places of a document it describes. */
  readonly places: number
}

/** The words that may stand beside `type` and `optional`. */
const WORDS: Readonly<Record<Type | 'reference', readonly string[]>> = {
  object: ['properties', 'allowUnknown'],
  array: ['items', 'min', 'max'],
  string: ['min', 'max', 'enum'],
  number: ['min', 'max', 'enum'],
  integer: ['min', 'max', 'enum'],
  boolean: [],
  reference: [],
}

/**
 * The syntax of seed 001: every word of it, and no other.
 *
 *   type          object, array, string, number, integer, boolean, or the name of another schema
 *   optional      the property may be missing (false)
 *   properties    of an object: name → schema; without it any properties
 *   allowUnknown  of an object: properties that are not named, too (false, where `properties` names some)
 *   items         of an array: what each is; without it anything
 *   min, max      of a number its bounds, of a text the number of characters, of an array that of items
 *   enum          of a text or number: one of these
 * @throws bad_schema
 */
export function translate(source: Json): Translated {
  const refers = new Set<string>()
  let places = 0

  function place(from: Json | undefined, path: string, depth: number): JsonObject {
    if (++places > MOST_PLACES) throw badSchema(path, `more than ${MOST_PLACES} places`)
    if (depth > DEEPEST) throw badSchema(path, `more than ${DEEPEST} levels`)
    if (!isJsonObject(from)) throw badSchema(path, 'not an object with a `type`')
    const { type } = from
    if (typeof type !== 'string') throw badSchema(`${path}/type`, 'a type has to be named')
    const kind = isType(type) ? type : 'reference'
    for (const word of Object.keys(from))
      if (word !== 'type' && word !== 'optional' && !WORDS[kind].includes(word))
        throw badSchema(`${path}/${word}`, `of no meaning for ${kind === 'reference' ? 'a reference' : kind}`)
    truth(from.optional, `${path}/optional`)
    switch (kind) {
      case 'object':
        return object(from, path, depth)
      case 'array':
        return {
          type,
          ...(from.items !== undefined && { items: place(from.items, `${path}/items`, depth + 1) }),
          ...bounds(from, path, ['minItems', 'maxItems'], true),
        }
      case 'string':
        return { type, ...bounds(from, path, ['minLength', 'maxLength'], true), ...values(from, path, kind) }
      case 'number':
      case 'integer':
        return { type, ...bounds(from, path, ['minimum', 'maximum'], false), ...values(from, path, kind) }
      case 'boolean':
        return { type }
      case 'reference':
        if (!isSchemaName(type)) throw badSchema(`${path}/type`, 'neither a type nor the name of a schema')
        refers.add(type)
        return { $ref: type }
      default:
        return kind satisfies never
    }
  }

  function object(from: JsonObject, path: string, depth: number): JsonObject {
    const { properties, allowUnknown } = from
    truth(allowUnknown, `${path}/allowUnknown`)
    if (properties === undefined)
      return { type: 'object', ...(allowUnknown === false && { additionalProperties: false }) }
    if (!isJsonObject(properties)) throw badSchema(`${path}/properties`, 'not an object')
    const required: string[] = []
    const described = Object.entries(properties).map(([name, property]) => {
      const at = `${path}/properties/${pointerPart(name)}`
      // Ajv leaves it out, and no document can have it.
      if (name === '__proto__') throw badSchema(at, 'not a name that a property can have')
      const schema = place(property, at, depth + 1)
      if ((property as JsonObject).optional !== true) required.push(name)
      return [name, schema] as const
    })
    return {
      type: 'object',
      properties: Object.fromEntries(described),
      required,
      additionalProperties: allowUnknown === true,
    }
  }

  return { schema: place(source, '', 1), refers, places }
}

function truth(value: Json | undefined, path: string): void {
  if (value !== undefined && typeof value !== 'boolean') throw badSchema(path, 'neither true nor false')
}

function bounds(
  { min, max }: JsonObject,
  path: string,
  [least, most]: readonly [string, string],
  counts: boolean,
): JsonObject {
  const bound = (value: Json | undefined, word: string) => {
    if (value === undefined) return
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw badSchema(`${path}/${word}`, 'not a number')
    if (counts && !(Number.isSafeInteger(value) && value >= 0))
      throw badSchema(`${path}/${word}`, 'not a whole number from 0 on')
  }
  bound(min, 'min')
  bound(max, 'max')
  if (typeof min === 'number' && typeof max === 'number' && min > max)
    throw badSchema(`${path}/min`, 'more than `max`')
  return { ...(min !== undefined && { [least]: min }), ...(max !== undefined && { [most]: max }) }
}

function values({ enum: list }: JsonObject, path: string, kind: 'string' | 'number' | 'integer'): JsonObject {
  if (list === undefined) return {}
  const at = `${path}/enum`
  if (!Array.isArray(list) || list.length === 0) throw badSchema(at, 'not a list of values')
  if (list.length > MOST_VALUES) throw badSchema(at, `more than ${MOST_VALUES} values`)
  const isOne = (value: Json) =>
    kind === 'string'
      ? typeof value === 'string'
      : typeof value === 'number' && (kind === 'integer' ? Number.isInteger(value) : Number.isFinite(value))
  if (!list.every(isOne)) throw badSchema(at, `a value that is no ${kind}`)
  return { enum: [...new Set(list as readonly Json[])] }
}

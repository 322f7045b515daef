import { Kv4Error, type Json, type JsonObject } from '../../core'

/** Reads known properties of a body. Each throws `bad_request` naming the property when its type is another. */

function wrong(property: string, reason: string): Kv4Error {
  return new Kv4Error('bad_request', { fields: { path: `body.v.${property}`, reason } })
}

/** `names` of the properties that are there, each a string or null. */
export function texts<Name extends string>(
  properties: JsonObject,
  names: readonly Name[],
): Partial<Record<Name, string | null>> {
  const found: Partial<Record<Name, string | null>> = {}
  for (const name of names) {
    const value: Json | undefined = properties[name]
    if (value === undefined) continue
    if (value !== null && typeof value !== 'string') throw wrong(name, 'not a string or null')
    found[name] = value
  }
  return found
}

/** A property that null stands in for when it is not meant, as clients with typed models send it. */
export function optionalText(properties: JsonObject, name: string): string | undefined {
  return texts(properties, [name])[name] ?? undefined
}

export function optionalFlag(properties: JsonObject, name: string): boolean | undefined {
  const value = properties[name]
  if (value === undefined || typeof value === 'boolean') return value
  throw wrong(name, 'not true or false')
}

/** A whole number from `least` to `most`. */
export function optionalInteger(
  properties: JsonObject,
  name: string,
  least: number,
  most: number,
): number | undefined {
  const value = properties[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw wrong(name, `not a whole number from ${least} to ${most}`)
}

/** What is left without the names. */
export function without(properties: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !names.includes(name)))
}

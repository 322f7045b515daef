import { Kv4Error } from '../../../core'

/** The types that are no references. */
export const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean'] as const
export type Type = (typeof TYPES)[number]

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(?:\.[A-Za-z0-9_-]{1,64}){0,7}$/

export function isType(text: string): text is Type {
  return TYPES.some((type) => type === text)
}

/** `team.feature.v1`, the name of the namespaces that it is for. Other namespaces can have no schema. */
export function isSchemaName(text: string): boolean {
  return NAME.test(text) && !isType(text)
}

/** @throws bad_schema */
export function schemaName(text: string): string {
  if (!isSchemaName(text))
    throw new Kv4Error('bad_schema', {
      fields: {
        path: 'name',
        reason: 'a name has 1 to 8 parts of letters, digits, `_`, `-`, joined by dots, and is no type',
      },
    })
  return text
}

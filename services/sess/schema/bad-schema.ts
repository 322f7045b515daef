import { Kv4Error, isKv4Error } from '../../../core'

/** @param path place in the schema, as a JSON pointer; empty: the whole */
export function badSchema(path: string, reason: string): Kv4Error {
  return new Kv4Error('bad_schema', { fields: { path, reason } })
}

/** What is wrong, in one line; undefined: it is another error. */
export function schemaProblem(error: unknown): string | undefined {
  if (!isKv4Error(error, 'bad_schema')) return undefined
  const { path, reason } = error.fields as { readonly path: string; readonly reason: string }
  return path === '' ? reason : `${path}: ${reason}`
}

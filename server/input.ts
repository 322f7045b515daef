import type { ZodType } from 'zod'
import { CATALOGUE, Kv4Error } from '../core'
import type { ErrorCode } from '../core'

function isCode(text: string): text is ErrorCode {
  return Object.hasOwn(CATALOGUE, text)
}

/**
 * What a schema makes of a query or a body. An issue whose message is a code of the catalogue is that error; every
 * other is `bad_request` with the place (`path`) and the schema's `reason`.
 * @throws Kv4Error
 */
export function parseInput(schema: ZodType | undefined, value: unknown, part: 'query' | 'body'): unknown {
  if (schema === undefined) return value
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues.find(({ message }) => isCode(message)) ?? parsed.error.issues[0]
  const path = [part, ...(issue?.path ?? []).map(String)].join('.')
  if (issue !== undefined && isCode(issue.message)) throw new Kv4Error(issue.message, { fields: { path } })
  throw new Kv4Error('bad_request', { fields: { path, reason: issue?.message ?? 'not understood' } })
}

import { z } from 'zod'
import { isJsonObject, type Json, type JsonObject } from '../../core'

/** `{"k", "v"}`; what is wrong with either has a code of its own, so the schema leaves it to the routes. */
export const LoginBody = z
  .object({
    k: z.unknown().describe('string: the name'),
    v: z.unknown().describe('object: the properties'),
  })
  .partial()
  .nullish()
export type LoginBody = z.output<typeof LoginBody>

/** The properties; undefined: `v` is no object. */
export function propertiesOf(body: LoginBody): JsonObject | undefined {
  const v = body?.v as Json | undefined
  return isJsonObject(v) ? v : undefined
}

import { z } from 'zod'
import { Key, Kv4Error, isJsonObject, type Json, type JsonObject } from '../../../core'
import { timeToLive } from '../../time-to-live'

// Shapes are checked below, where each has a code of its own.
export const DocumentBody = z
  .object({
    k: z.unknown().describe('string: the namespace'),
    v: z.unknown().describe('object: the document, or the patch; it may carry `_ver_`'),
    ttl: z.unknown().describe('number: seconds for which the session lives from now'),
  })
  .partial()
  .nullish()
export type DocumentBody = z.output<typeof DocumentBody>

export interface SentDocument {
  readonly key: Key
  readonly document: JsonObject
  /** Milliseconds. */
  readonly ttl?: number
}

/** @throws key_missing, bad_key, value_missing, root_must_be_object, bad_ttl */
export function sentDocument(body: DocumentBody): SentDocument {
  if (body?.k === undefined || body.k === null) throw new Kv4Error('key_missing')
  if (typeof body.k !== 'string') throw new Kv4Error('bad_key', { fields: { reason: 'not a string' } })
  const key = Key.parse(body.k)
  if (body.v === undefined) throw new Kv4Error('value_missing')
  if (!isJsonObject(body.v as Json)) throw new Kv4Error('root_must_be_object')
  const document = body.v as JsonObject
  const ttl = timeToLive(body.ttl)
  return { key, document, ...(ttl !== undefined && { ttl }) }
}

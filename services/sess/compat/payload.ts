import { parse as parseForm } from 'node:querystring'
import { isJsonObject, type Json, type JsonObject } from '../../../core'
import type { MountRequest } from '../../mount'
import { Refusal, hapi, own } from './refusal'

const MOST_FIELDS = 1_000

/**
 * The body as hapi 16 hands it on: JSON by default, a form as an object of strings, any text as a string; nothing at all
 * as null, whatever its type says.
 * @throws Refusal 415 or 400, bad_json, body_too_large
 */
export async function payloadOf(request: MountRequest): Promise<Json> {
  const type = contentType(request)
  const bytes = await request.body()
  if (bytes.length === 0) return null
  if (type === 'application/json' || /^application\/[^+]+\+json$/.test(type)) return request.json()
  if (type === 'application/x-www-form-urlencoded')
    return { ...parseForm(bytes.toString('utf8'), '&', '=', { maxKeys: MOST_FIELDS }) } as JsonObject
  if (type.startsWith('text/') || type === 'application/octet-stream') return bytes.toString('utf8')
  throw new Refusal(hapi(415))
}

/** @throws Refusal root_must_be_object */
export async function documentOf(request: MountRequest): Promise<JsonObject> {
  const payload = await payloadOf(request)
  if (!isJsonObject(payload)) throw new Refusal(own(400, 'root_must_be_object'))
  return payload
}

/** Lower case, without parameters. */
function contentType({ headers }: MountRequest): string {
  const header = headers['content-type']
  if (header === undefined || header === '') return 'application/json'
  const type = header.split(';', 1)[0]!.trim().toLowerCase()
  if (!/^[^/\s]+\/[^/\s]+$/.test(type)) throw new Refusal(hapi(400, 'Invalid content-type header'))
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') throw new Refusal(hapi(415))
  return type
}

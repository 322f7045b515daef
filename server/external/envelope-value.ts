import { CATALOGUE, Kv4Error, isJsonObject } from '../../core'
import type { ErrorCode, Json } from '../../core'
import { parseStrictJson } from '../strict-json'

/** Largest answer in bytes that is read here, rather than passed on. */
export const MAX_ANSWER = 1024 * 1024

/** Said of the platform's own call, these would be told to a caller who has done nothing wrong. */
const NOT_THE_CALLERS: ReadonlySet<string> = new Set<ErrorCode>(['unauthorized', 'internal'])

/** @throws service_failed beyond MAX_ANSWER; whatever the source breaks off with */
export async function collectAnswer(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > MAX_ANSWER) throw failed('its answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/**
 * `v` of `{"v": …, "s": "ok"}`.
 * @throws the error that the service names, where a caller may be told of it; service_failed for any other answer
 */
export function envelopeValue(status: number, bytes: Buffer): Json {
  let answer: Json
  try {
    answer = parseStrictJson(bytes)
  } catch (cause) {
    throw failed('its answer is not JSON', { detail: `status ${status}`, cause })
  }
  if (!isJsonObject(answer) || answer['v'] === undefined)
    throw failed('its answer is not in the envelope', { detail: `status ${status}` })
  const { v, s } = answer
  if (s === 'ok' && status >= 200 && status < 300) return v!
  if (s === 'error' && typeof v === 'string' && Object.hasOwn(CATALOGUE, v) && !NOT_THE_CALLERS.has(v))
    throw new Kv4Error(v as ErrorCode)
  throw failed('it refused the call', { detail: `status ${status}, ${JSON.stringify(v).slice(0, 200)}` })
}

function failed(reason: string, more: { readonly detail?: string; readonly cause?: unknown } = {}): Kv4Error {
  return new Kv4Error('service_failed', { fields: { reason }, ...more })
}

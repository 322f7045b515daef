import { Kv4Error } from '../../core'
import type { MountRequest } from '../mount'

/** What a call of V2 says, by name; every value is text, as one of the clients makes it anyway. */
export type Parameters = ReadonlyMap<string, string>

const MOST = 64

/**
 * Contract signal §7: in the query, in a form, in JSON; in the body of any method, GET too, whatever its type says (xsdk
 * sends forms as application/json). What is in the body wins.
 * @throws bad_request, body_too_large
 */
export async function parametersOf(request: MountRequest): Promise<Parameters> {
  const found = new Map<string, string>()
  const add = (name: string, value: string) => {
    found.set(name, value)
    if (found.size > MOST) throw refused(`more than ${MOST} parameters`)
  }
  for (const [name, value] of new URLSearchParams(request.rawQuery)) add(name, value)
  const text = textOf(await request.body()).trim()
  if (text === '') return found
  const json = parseJson(text)
  if (json === undefined) {
    for (const [name, value] of new URLSearchParams(text)) add(name, value)
    return found
  }
  if (typeof json !== 'object' || Array.isArray(json)) throw refused('JSON that is no object')
  for (const [name, value] of Object.entries(json ?? {}))
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      add(name, String(value))
  return found
}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new Kv4Error('bad_request', { fields: { reason: 'not UTF-8' }, cause })
  }
}

/** undefined: it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function refused(reason: string): Kv4Error {
  return new Kv4Error('bad_request', { fields: { reason } })
}

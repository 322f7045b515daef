import { Kv4Error } from '../../core'
import { MAX_WINDOW, RESOURCES } from './limits'
import type { LimitChanges } from './limits'
import type { NewService, ServiceChanges } from './services'
import type { NewSession } from './sessions'
import { TimeUuid } from './time-uuid'

/**
 * What may be in a service, a session, a value: contract §6, in its words (§5). Both doors ask here; a refusal is
 * `bad_request` with the `key` and the `reason`. Keys that nobody knows are dropped.
 */

type Sent = Readonly<Record<string, unknown>>

const SERVICE_ID = /^[a-z0-9_\-.]{3,65}$/i
const SESSION_ID = /^[\x21-\x7e]{1,255}$/
const CONFIGURATION_ID = /^(\/[a-z0-9_-]{3,50}\/?){0,10}([a-z0-9_\-.]{3,170})?$/i
const MARKER = /^[a-z0-9\-:_./]{0,255}$/i

export const TIMEOUT = { least: 3, most: 120 } as const

function invalid(key: string, reason: string): Kv4Error {
  return new Kv4Error('bad_request', { fields: { key, reason } })
}

/** A parameter of the URL that is not of its form. */
export function invalidParameter(parameter: string): Kv4Error {
  return new Kv4Error('bad_request', { fields: { parameter, reason: 'not of its form' } })
}

/** A JSON object; anything else has none of the keys. */
export function sentObject(body: unknown): Sent {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Sent) : {}
}

function own(sent: Sent, key: string): unknown {
  const value = Object.hasOwn(sent, key) ? sent[key] : undefined
  return value === null ? undefined : value
}

function required(sent: Sent, key: string): unknown {
  const value = own(sent, key)
  if (value === undefined) throw invalid(key, `Missing required key (${key})`)
  return value
}

function text(key: string, value: unknown, least: number, most: number): string {
  if (typeof value !== 'string' || !value.isWellFormed()) throw invalid(key, 'Not a string')
  if (value.length < least || value.length > most)
    throw invalid(key, `String is not in range (${least}..${most})`)
  return value
}

function whole(key: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw invalid(key, 'Not an integer')
  if (value < least || value > most) throw invalid(key, `Value out of range (${least}..${most})`)
  return value
}

function timeout(sent: Sent): number {
  const key = 'heartbeat_timeout'
  return whole(key, required(sent, key), TIMEOUT.least, TIMEOUT.most)
}

function tags(sent: Sent): readonly string[] | undefined {
  const value = own(sent, 'tags')
  if (value === undefined) return undefined
  if (!Array.isArray(value)) throw invalid('tags', 'Not an array')
  if (value.length > 10) throw invalid('tags', 'Object needs to have between 0 and 10 items')
  return value.map((tag) => text('tags', tag, 1, 55))
}

function metadata(sent: Sent): Readonly<Record<string, string>> | undefined {
  const value = own(sent, 'metadata')
  if (value === undefined) return undefined
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid('metadata', 'Not a hash')
  const pairs = Object.entries(value as object)
  if (pairs.length > 20) throw invalid('metadata', 'Object needs to have between 0 and 20 items')
  for (const [name, item] of pairs) {
    text('metadata', name, 1, 255)
    text('metadata', item, 1, 255)
    if (name === '__proto__') throw invalid('metadata', 'Invalid characters')
  }
  return Object.fromEntries(pairs)
}

export function isServiceId(id: string): boolean {
  return SERVICE_ID.test(id)
}

export function isSessionId(id: string): boolean {
  return SESSION_ID.test(id)
}

/** `/` alone is a namespace and no value; dots stand in the last part only. */
export function isConfigurationId(id: string): boolean {
  return id.length >= 3 && id.length <= 500 && CONFIGURATION_ID.test(id)
}

/** A namespace as it is looked for, without its last slash; empty: everything. */
export function isNamespace(prefix: string): boolean {
  return prefix.length <= 500 && CONFIGURATION_ID.test(prefix)
}

export function isMarker(marker: string): boolean {
  return MARKER.test(marker)
}

export function newService(body: unknown): NewService {
  const sent = sentObject(body)
  const id = text('id', required(sent, 'id'), 3, 65)
  if (!SERVICE_ID.test(id)) throw invalid('id', 'Invalid characters')
  const session = own(sent, 'session_id')
  const common = { id, tags: tags(sent), metadata: metadata(sent) }
  if (session === undefined) return { ...common, heartbeat_timeout: timeout(sent) }
  const session_id = text('session_id', session, 1, 255)
  if (!SESSION_ID.test(session_id)) throw invalid('session_id', 'Invalid characters')
  return { ...common, session_id }
}

export function serviceChanges(body: unknown): ServiceChanges {
  const sent = sentObject(body)
  return {
    tags: tags(sent),
    metadata: metadata(sent),
    ...(own(sent, 'heartbeat_timeout') !== undefined && { heartbeat_timeout: timeout(sent) }),
  }
}

export function newSession(body: unknown): NewSession {
  const sent = sentObject(body)
  return { heartbeat_timeout: timeout(sent), metadata: metadata(sent) }
}

export function sessionChanges(body: unknown): Partial<NewSession> {
  const sent = sentObject(body)
  return {
    metadata: metadata(sent),
    ...(own(sent, 'heartbeat_timeout') !== undefined && { heartbeat_timeout: timeout(sent) }),
  }
}

export function heartbeatToken(body: unknown): string {
  const token = required(sentObject(body), 'token')
  if (typeof token !== 'string') throw invalid('token', 'Not a string')
  if (!TimeUuid.is(token)) throw invalid('token', 'Invalid UUID')
  return token.toLowerCase()
}

export function configurationValue(body: unknown): string {
  return text('value', required(sentObject(body), 'value'), 1, 1024)
}

/** An object of no other names than these; absent: an empty one. */
function part(name: string, value: unknown, names: readonly string[]): Sent {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(name, 'Not a hash')
  const stray = Object.keys(value).find((key) => !names.includes(key))
  if (stray !== undefined) throw invalid(stray, `Not one of ${names.join(', ')}`)
  return value as Sent
}

/** What `$sys` sets: whole numbers, 0 for none; the window in seconds. */
export function limitChanges(body: unknown): LimitChanges {
  const most = 1_000_000_000
  const sent = part('v', body, ['resource', 'rate'])
  const resources = part('resource', sent.resource, RESOURCES)
  const rates = part('rate', sent.rate, ['limit', 'window'])
  return {
    resource: Object.fromEntries(
      RESOURCES.filter((name) => own(resources, name) !== undefined).map((name) => [
        name,
        whole(name, resources[name], 0, most),
      ]),
    ),
    rate: {
      ...(own(rates, 'limit') !== undefined && { limit: whole('limit', rates.limit, 1, most) }),
      ...(own(rates, 'window') !== undefined && { window: whole('window', rates.window, 1, MAX_WINDOW) }),
    },
  }
}

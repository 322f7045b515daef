import { Kv4Error, isJsonObject } from '../../core'
import type { Json, JsonObject, Version } from '../../core'
import { splitVer } from '../ver'

/** What there is to be described, and the member that a description has to have: contract, Routes. */
export const REQUIRED = { app: 'config', srv: 'endpoints' } as const
export type Kind = keyof typeof REQUIRED

/**
 * A description as it is stored and shown: what was sent, with
 *
 *   name           of the application or host, where it was not sent
 *   updated_at     unix seconds with thousandths; only grows per description
 *   lapses_after   of a host: seconds without an update after which it counts as dead; absent: never
 *   dead           true where that has happened; not there otherwise
 */
export interface Document extends JsonObject {
  readonly name: Json
  readonly updated_at: number
}

const MAX_LAPSE_S = 10 * 366 * 24 * 3600

/**
 * What a write asks to be stored, without `updated_at`. Members that are told, not asked for, are left out.
 * @throws bad_request, with `reason`
 */
export function asked(kind: Kind, name: string, sent: Json): JsonObject {
  if (!isJsonObject(sent)) throw refusal(`a ${kind === 'app' ? 'configuration' : 'host'} is a JSON object`)
  const member = REQUIRED[kind]
  if (!Object.hasOwn(sent, member)) throw refusal(`missing field "${member}" in config`)
  const { updated_at: _, ...rest } = splitVer(sent).value as JsonObject
  const named = Object.hasOwn(rest, 'name') ? rest : { name, ...rest }
  if (kind === 'app' || !Object.hasOwn(named, 'lapses_after')) return named
  const { lapses_after: seconds, dead: __, ...host } = named as JsonObject & { readonly lapses_after: Json }
  // As an undefined value does elsewhere, null says nothing.
  if (seconds === null) return host
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= MAX_LAPSE_S))
    throw refusal('"lapses_after" is a number of seconds, more than 0 and at most ten years')
  return { ...host, lapses_after: seconds }
}

export function documentOf(version: Pick<Version, 'v'>): Document {
  return version.v as Document
}

/** Unix ms. */
export function updatedAt(document: Document): number {
  return Math.round(document.updated_at * 1000)
}

/** Unix ms from which on it counts as dead; undefined: it does not lapse, or that has been noted. */
export function lapseOf(document: Document): number | undefined {
  const { lapses_after: seconds, dead } = document
  return typeof seconds === 'number' && dead !== true ? updatedAt(document) + seconds * 1000 : undefined
}

/** As it is to be seen at an instant (unix ms), to the millisecond, whether or not its lapse has been noted. */
export function seenAt(document: Document, now: number): Document {
  const end = lapseOf(document)
  return end !== undefined && now >= end ? { ...document, dead: true } : document
}

/** Whether a host lapsed; of others `dead` is a member like any. */
export function isDead(document: Document): boolean {
  return document.dead === true && typeof document.lapses_after === 'number'
}

function refusal(reason: string): Kv4Error {
  return new Kv4Error('bad_request', { fields: { reason } })
}

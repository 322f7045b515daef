import { z } from 'zod'
import { Key, Kv4Error, SLOTS, type Json, type SecondaryKeys } from '../../core'
import { timeToLive } from '../time-to-live'
import { secondaryKey } from './selector'

// Shapes are checked below, where each has a code of its own.
const Slot = z.unknown().describe('string or null')

export const EntryBody = z
  .object({
    k: z.unknown().describe('string: the key'),
    v: z.unknown().describe('any JSON; an object may carry `_ver_`'),
    k2: Slot,
    k3: Slot,
    k4: Slot,
    ttl: z.unknown().describe('number: seconds until the entry lapses'),
  })
  .partial()
  .nullish()
export type EntryBody = z.output<typeof EntryBody>

/** What a write asks to be stored. */
export interface NewEntry {
  readonly key: Key
  readonly value: Json
  readonly keys: SecondaryKeys | undefined
  /** Milliseconds. */
  readonly ttl: number | undefined
}

/**
 * Reads `{"k", "v", "k2"?, "k3"?, "k4"?, "ttl"?}`. Whoever names one of k2, k3, k4 replaces all three (null: none);
 * whoever names none leaves them as they are. `ttl` of the body counts before that of the query; without either the
 * entry stays for good, also if it was to lapse before.
 * @throws key_missing, bad_key, value_missing, bad_secondary_key, bad_ttl
 */
export function newEntry(body: EntryBody, query: { readonly ttl?: string | undefined }): NewEntry {
  if (body?.k === undefined || body.k === null) throw new Kv4Error('key_missing')
  if (typeof body.k !== 'string') throw new Kv4Error('bad_key', { fields: { reason: 'not a string' } })
  const key = Key.parse(body.k)
  if (body.v === undefined) throw new Kv4Error('value_missing')
  return {
    key,
    value: body.v as Json,
    keys: secondaryKeys(body),
    ttl: timeToLive(body.ttl, query.ttl),
  }
}

function secondaryKeys(body: NonNullable<EntryBody>): SecondaryKeys | undefined {
  if (body.k2 === undefined && body.k3 === undefined && body.k4 === undefined) return undefined
  const keys: { -readonly [slot in keyof SecondaryKeys]: SecondaryKeys[slot] } = {}
  for (const slot of SLOTS) {
    const text = body[slot]
    if (text === undefined || text === null) continue
    if (typeof text !== 'string') throw new Kv4Error('bad_secondary_key', { fields: { slot } })
    keys[slot] = secondaryKey(text)
  }
  return keys
}

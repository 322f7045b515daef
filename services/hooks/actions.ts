import { z } from 'zod'
import { Instant, Key, Kv4Error } from '../../core'
import type { Json, JsonObject } from '../../core'
import type { StoredHook } from '../hook'
import type { HookBook } from '../hook-book'
import type { ServiceRequest } from '../module'
import { addJob } from './jobs'
import { shownHook } from './shown-hook'

/** A switch that may be there without a value: `?replay`. */
const Switch = z.enum(['', '1', 'true', '0', 'false']).transform((word) => !['0', 'false'].includes(word))

export const DEAD = { dead: Switch.optional() }

export const ACTIONS = {
  replay: Switch.optional(),
  from: z.string().describe('of a replay: unix ms or ISO 8601').optional(),
  to: z.string().describe('of a replay; absent: now').optional(),
  resend: Switch.optional(),
  id: z.string().describe('of `resend`: the `webhook-id` of one dead letter').optional(),
  enable: Switch.optional(),
  disable: Switch.optional(),
  rotate: Switch.optional(),
}

const WORDS = ['replay', 'resend', 'enable', 'disable', 'rotate'] as const

export type ActionQuery = { readonly k?: string | undefined } & {
  readonly [Name in keyof typeof ACTIONS]?: z.output<(typeof ACTIONS)[Name]>
}

/**
 * What a query asks to be done with a hook; undefined: nothing.
 * @throws key_missing, not_found, bad_range, limit_reached; bad_request for two things at once
 */
export async function act(book: HookBook, request: ServiceRequest<ActionQuery>): Promise<Json | undefined> {
  const { query, bucket, path, principal } = request
  const words = WORDS.filter((word) => query[word] === true)
  const [word, ...others] = words
  if (word === undefined) return undefined
  if (others.length > 0)
    throw new Kv4Error('bad_request', { fields: { reason: `${words.join(' and ')} at once` } })
  if (query.k === undefined) throw new Kv4Error('key_missing')
  const address = { path, name: Key.parse(query.k) }
  const by = { by: principal.login }
  const stored = await book.get(bucket, address, { consistent: true })
  if (stored === undefined) throw new Kv4Error('not_found')
  const { id } = stored.hook
  switch (word) {
    case 'replay': {
      const job = { kind: 'replay', ...interval(query), asked: Date.now(), sent: 0 } as const
      await addJob(bucket, id, job, by)
      return { from: job.from, to: job.to }
    }
    case 'resend': {
      const ids = query.id === undefined ? {} : { ids: [query.id] }
      await addJob(bucket, id, { kind: 'resend', ...ids, asked: Date.now() }, by)
      return ids
    }
    case 'enable':
      return shownHook(await book.enable(bucket, address, by))
    case 'disable':
      await book.disable(bucket, stored, `by ${principal.login}`, by)
      return shown(await book.get(bucket, address, { consistent: true }))
    case 'rotate': {
      const rotated = await book.rotate(bucket, address, by)
      return { ...shownHook(rotated), secret: book.secrets(bucket.name, rotated.hook)[0]! }
    }
    default:
      return word satisfies never
  }
}

function shown(stored: StoredHook | undefined): JsonObject {
  if (stored === undefined) throw new Kv4Error('not_found')
  return shownHook(stored)
}

function interval({ from, to }: ActionQuery): { readonly from: number; readonly to: number } {
  if (from === undefined)
    throw new Kv4Error('bad_range', { fields: { parameter: 'from', reason: 'is missing' } })
  const now = Date.now()
  const range = { from: Instant.parse(from), to: to === undefined ? now : Math.min(Instant.parse(to), now) }
  if (range.from > range.to)
    throw new Kv4Error('bad_range', {
      fields: { parameter: 'from', reason: 'is later than `to`, or than now' },
    })
  return range
}

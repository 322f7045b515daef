import { z } from 'zod'
import type { Principal } from '../../auth/principal'
import { Key, Kv4Error, Path, isJsonObject, type Aggregate, type Json, type Layer } from '../../core'
import { Reply, route, type Route } from '../module'
import { tokenLayer } from '../token-layer'
import { Measurement } from './measurement'
import { instant } from './instant'

// Sums of many have to stay within what a double, and CouchDB's sums, hold.
const LARGEST = 1e15

// Shapes are checked below, where each has a code of its own.
const Body = z
  .object({
    k: z.unknown().describe('string: who accumulates it; absent: the login'),
    l: z.unknown().describe('string: the measurement'),
    v: z.unknown().describe('a number, or {sum, min, max, count}'),
    at: z.unknown().describe('unix ms or ISO 8601: when it was; absent: now'),
  })
  .partial()
  .nullish()

/**
 * PUT and POST: measurements of one's own, which the public documentation announced without a shape (contract §5). The
 * answer comes once the sample is durable.
 */
export function write(method: 'PUT' | 'POST'): Route {
  return route({
    method,
    access: 'account',
    tokens: ['service'],
    summary: 'Records a sample of a measurement `l` of your own, against the path, for `k`.',
    input: { query: z.object({ l: z.string().optional() }), body: Body },
    async run({ bucket, path, principal, query, body }) {
      const asked = text(body?.l, 'l') ?? query.l
      const layer =
        principal.token === undefined ? Measurement.own(asked) : serviceMeasurement(principal, asked)
      if (path === Path.root) throw new Kv4Error('bad_segment', { fields: { reason: 'what is measured?' } })
      const key = Key.parse(text(body?.k, 'k') ?? principal.login)
      const value = sampleValue(body?.v)
      const at = body?.at === undefined || body.at === null ? undefined : instant(body.at, 'at')
      const sample = await bucket.append({ layer, path, key }, value, {
        by: principal.login,
        ...(at !== undefined && { at }),
      })
      const answer = { k: key, l: Measurement.name(layer), v: value, at: sample.at }
      return new Reply(answer, { created: true })
    },
  })
}

/** What an external service measures of its callers: under the names that it registered. @throws forbidden */
function serviceMeasurement(principal: Principal, asked: string | undefined): Layer {
  const layer = Measurement.layer(asked)
  return tokenLayer(principal, layer) ?? layer
}

function text(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string')
    throw new Kv4Error('bad_request', { fields: { path: `body.${name}`, reason: 'not a string' } })
  return value
}

/** @throws value_missing, bad_sample */
function sampleValue(value: unknown): Json {
  if (value === undefined) throw new Kv4Error('value_missing')
  if (isAmount(value)) return value
  if (!isJsonObject(value as Json)) throw new Kv4Error('bad_sample')
  const { sum, min, max, count } = value as { readonly [name in keyof Aggregate]?: unknown }
  if (!isAmount(sum) || !isAmount(min) || !isAmount(max) || !isAmount(count)) throw new Kv4Error('bad_sample')
  if (min > max || !Number.isInteger(count) || count < 1) throw new Kv4Error('bad_sample')
  return { sum, min, max, count }
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= LARGEST
}

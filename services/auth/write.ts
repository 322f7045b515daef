import { z } from 'zod'
import type { Bans } from '../../auth'
import { Kv4Error, isJsonObject, type Json, type JsonObject } from '../../core'
import { writtenReply } from '../entry-reply'
import { route, type Route } from '../module'
import { timeToLive } from '../time-to-live'
import { splitVer } from '../ver'

// Shapes are checked below, where each has a code of its own.
const Body = z
  .object({
    k: z.unknown().describe('string: an address, or a range such as 192.0.2.0/24'),
    v: z.unknown().describe('a note of any form; may be absent'),
    ttl: z.unknown().describe('number: seconds until it is allowed again'),
  })
  .partial()
  .nullish()

/**
 * PUT and POST: contract §8. The value may be absent; whatever is not an object is kept as `{"value": …}`, as typed
 * clients send it themselves. Nobody bans the address that he is calling from: there would be no way back.
 */
export function write(method: 'PUT' | 'POST', bans: Bans): Route {
  return route({
    method,
    access: 'account',
    summary: 'Denies the address or range `k` the path and everything below it, to every service.',
    input: { query: z.object({ ttl: z.string().optional() }), body: Body },
    async run({ bucket, path, principal, query, body, remoteAddress }) {
      if (body?.k === undefined || body.k === null) throw new Kv4Error('key_missing')
      if (typeof body.k !== 'string') throw new Kv4Error('bad_address')
      const ban = bans.ban(path, body.k)
      if (ban.covers(path, remoteAddress))
        throw new Kv4Error('bad_address', {
          fields: { reason: 'this is the address that you are calling from' },
        })
      const address = { layer: bans.layer, path, key: ban.range }
      const ttl = timeToLive(body.ttl, query.ttl)
      if ((await bans.count(bucket.name)).full && (await bucket.get(address)) === undefined)
        throw new Kv4Error('limit_reached')
      const version = await bucket.put(address, note(body.v as Json | undefined), {
        by: principal.login,
        ...(ttl !== undefined && { ttl }),
      })
      return writtenReply(version)
    },
  })
}

function note(v: Json | undefined): JsonObject {
  if (v === undefined || v === null) return {}
  const { value } = splitVer(v)
  return isJsonObject(value) ? value : { value }
}

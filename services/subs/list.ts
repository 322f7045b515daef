import { z } from 'zod'
import { Key, Kv4Error, isJsonObject, type Address, type Json } from '../../core'
import { Reply, route, type Route } from '../module'
import { PAGING, VALUES_LIMIT, pageOptions } from '../paging'
import { PRESENCE } from './layer'
import type { SubscriptionReader } from './subscriptions'
import { withoutTopic } from './topic'

const Query = z.object({
  ...PAGING,
  k: z.string().describe('the user').optional(),
  as: z.enum(['values']).optional(),
})

/** A subscription as the listing shows it. */
function shownPresence({ layer, path, key }: Address, { v }: { readonly v: Json }): Json | undefined {
  if (!isJsonObject(v)) return undefined
  const { since: _since, epoch: _epoch, ...entry } = v
  return { ...entry, path, key, origin: PRESENCE.nodeOf(layer)! }
}

/** GET: contract rest §7. */
export function list(reader: SubscriptionReader): Route {
  return route({
    method: 'GET',
    access: 'account',
    summary:
      'Who is connected at the channel, on any node: the users; with `as=values`, or for one user `k`, their subscriptions. A last segment `topic` does not count.',
    input: { query: Query },
    watch: ({ path }) => ({
      path: withoutTopic(path),
      only: ({ layer }) => PRESENCE.nodeOf(layer) !== undefined,
      show: shownPresence,
    }),
    async run({ bucket, path, query }) {
      const channel = withoutTopic(path)
      if (query.k !== undefined) {
        const found = await reader.find(bucket, channel, Key.parse(query.k))
        if (found === undefined) throw new Kv4Error('not_found')
        return found.entry
      }
      const page = pageOptions(query, VALUES_LIMIT, (text) => Key.parse(text))
      const { items, next } = await reader.list(bucket, channel, page)
      const shown = items.map(({ user, entry }) => (query.as === 'values' ? entry : user))
      return next === undefined ? shown : new Reply(shown, { next })
    },
  })
}

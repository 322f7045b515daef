import { z } from 'zod'
import { Key, Kv4Error } from '../../core'
import { Reply, route, type Route } from '../module'
import { PAGING, VALUES_LIMIT, pageOptions } from '../paging'
import type { SubscriptionReader } from './subscriptions'
import { withoutTopic } from './topic'

const Query = z.object({
  ...PAGING,
  k: z.string().describe('the user').optional(),
  as: z.enum(['values']).optional(),
})

/** GET: contract rest §7. */
export function list(reader: SubscriptionReader): Route {
  return route({
    method: 'GET',
    access: 'account',
    summary:
      'Who is connected at the channel, on any node: the users; with `as=values`, or for one user `k`, their subscriptions. A last segment `topic` does not count.',
    input: { query: Query },
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

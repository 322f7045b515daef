import { z } from 'zod'
import { Key, Kv4Error, isJsonObject, type Address, type Bucket, type Json, type Path } from '../../core'
import { datum } from '../datum'
import { FORMS, type Form } from '../form'
import { Reply, route, type Route } from '../module'
import { PAGING, VALUES_LIMIT, pageOptions } from '../paging'
import { PRESENCE } from './layer'
import type { Subscription, SubscriptionReader } from './subscriptions'
import { withoutTopic } from './topic'

const Query = z.object({
  ...PAGING,
  k: z.string().describe('the user').optional(),
  as: z.enum(FORMS).optional(),
})

/** A subscription as the listing shows it. */
function shownPresence({ layer, path, key }: Address, { v }: { readonly v: Json }): Json | undefined {
  if (!isJsonObject(v)) return undefined
  const { since: _since, epoch: _epoch, ...entry } = v
  return { ...entry, path, key, origin: PRESENCE.nodeOf(layer)! }
}

/** As clients of each time read it: contract rest §7, §4.4. */
function shown(
  bucket: Bucket,
  path: Path,
  { user, entry, layer, version }: Subscription,
  form: Form = 'values',
): Json {
  return form === 'values' ? entry : datum(bucket.name, { layer, path }, { key: user, version }, entry)
}

/** GET: contract rest §7. */
export function list(reader: SubscriptionReader): Route {
  return route({
    method: 'GET',
    access: 'account',
    summary:
      'Who is connected at the channel, on any node: the users; with `as=values` or `as=datum`, or for one user `k`, their subscriptions. A last segment `topic` does not count.',
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
        return shown(bucket, channel, found, query.as)
      }
      const page = pageOptions(query, VALUES_LIMIT, (text) => Key.parse(text))
      const { items, next } = await reader.list(bucket, channel, page)
      const answer = items.map((each) =>
        query.as === undefined ? each.user : shown(bucket, channel, each, query.as),
      )
      return next === undefined ? answer : new Reply(answer, { next })
    },
  })
}

import { z } from 'zod'
import { Instant, Key, Kv4Error, valueSize, type Json } from '../../../core'
import { boundedListing } from '../../bounded-listing'
import { headerCondition, writeCondition } from '../../condition'
import { entryReply, writtenReply } from '../../entry-reply'
import { Reply, route, type Route } from '../../module'
import { NAMES_LIMIT, PAGING, VALUES_LIMIT, pageOptions } from '../../paging'
import { Flag } from '../../parameters'
import { keySeries } from '../../time-series'
import { splitVer, withVer } from '../../ver'
import { SCHEMAS_AT } from '../places'
import { SCHEMAS_PLACE, type Schemas } from '../schema/schemas'

const Query = z.object({
  ...PAGING,
  k: z.string().optional(),
  as: z.literal('values').optional(),
  at: z.string().optional(),
  time_series: Flag.optional(),
  gs: z.string().optional(),
  ge: z.string().optional(),
})

const Body = z
  .object({
    k: z.string('key_missing').describe('the name: that of its namespaces'),
    v: z.unknown().describe('the schema: YAML as a string, or an object'),
  })
  .partial()
  .nullish()

export function schemas(all: Schemas, requireVer: boolean): readonly Route[] {
  return [
    route({
      method: 'GET',
      at: SCHEMAS_AT,
      access: 'account',
      summary:
        'The schema `k`, as it was declared, `at` an instant too; the account’s own, or else that of the directory. Without `k` the names of the account’s, `as=values` them. `time_series=1`: the history of `k`.',
      input: { query: Query },
      watch: () => ({ ...SCHEMAS_PLACE, depth: 0 }),
      async run({ bucket, query }) {
        const { k, at } = query
        if (k === undefined) {
          const page = (limit: number) => pageOptions(query, limit, (text) => Key.parse(text))
          if (query.as === undefined) {
            const { items, next } = await bucket.keys(SCHEMAS_PLACE, page(NAMES_LIMIT))
            return next === undefined ? items : new Reply(items, { next })
          }
          const { items, next } = await boundedListing(
            (portion) => bucket.entries(SCHEMAS_PLACE, portion),
            page(VALUES_LIMIT),
            ({ version }) => valueSize(version.v),
          )
          const named = Object.fromEntries(items.map(({ key, version }) => [key, withVer(version)]))
          return next === undefined ? named : new Reply(named, { next })
        }
        const address = { ...SCHEMAS_PLACE, key: Key.parse(k) }
        if (query.time_series === true) return keySeries(bucket, address, query)
        if (at !== undefined) {
          const version = await bucket.get(address, { at: Instant.parse(at) })
          if (version === undefined) throw new Kv4Error('not_found')
          return entryReply(version)
        }
        const found = await all.get(bucket, address.key)
        if (found === undefined) throw new Kv4Error('not_found')
        return found.version === undefined ? found.source : entryReply(found.version)
      },
    }),
    route({
      method: 'PUT',
      at: SCHEMAS_AT,
      access: 'account',
      summary:
        'Declares the schema `k`: from then on what is written into namespaces of this name follows it.',
      input: { body: Body },
      async run(request) {
        const { bucket, principal, body } = request
        if (body?.k === undefined) throw new Kv4Error('key_missing')
        if (body.v === undefined) throw new Kv4Error('value_missing')
        const { value, ver } = splitVer(body.v as Json)
        const version = await all.put(bucket, body.k, value, {
          by: principal.login,
          condition: writeCondition(request, ver, requireVer),
        })
        return writtenReply(version)
      },
    }),
    route({
      method: 'DELETE',
      at: SCHEMAS_AT,
      access: 'account',
      summary: 'Removes the schema `k`: 1. Its namespaces take any object again.',
      input: { query: z.object({ k: z.string().optional() }) },
      async run(request) {
        const { bucket, principal, query } = request
        if (query.k === undefined) throw new Kv4Error('key_missing')
        const how = { by: principal.login, condition: headerCondition(request) }
        if (!(await all.remove(bucket, Key.parse(query.k), how))) throw new Kv4Error('not_found')
        return 1
      },
    }),
  ]
}

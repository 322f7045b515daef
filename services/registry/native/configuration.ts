import { z } from 'zod'
import { Instant, Key, Kv4Error, Path, PeriodRange, VersionTag } from '../../../core'
import type { Address, Json, JsonObject } from '../../../core'
import { headerCondition } from '../../condition'
import { Reply, route } from '../../module'
import type { Route } from '../../module'
import { PAGING, VALUES_LIMIT } from '../../paging'
import { Depth, Flag } from '../../parameters'
import { configurationText } from '../configuration'
import { configurationId, configurationName } from '../configuration-name'
import { PLACES } from '../places'
import type { Registry } from '../registry'
import { configurationValue, invalidParameter, isConfigurationId, isNamespace } from '../rules'
import { EntryBody, keyOf } from './entry'
import { pageOf, pageReply } from './page'

/** Parameters that ask for something of one value. */
const OF_ONE = ['at', 'time_series', 'gs', 'ge'] as const

function shownConfiguration(_address: Address, { v }: { readonly v: Json }): Json | undefined {
  return configurationText(v)
}

export function configuration({ configuration: all }: Registry): readonly Route[] {
  const write = (method: 'PUT' | 'POST'): Route =>
    route({
      method,
      access: 'account',
      summary: 'Sets the value `k` of the namespace (the path) to the text `v`, of 1 to 1,024 characters.',
      input: { body: EntryBody },
      async run(request) {
        const { bucket, path, principal, body } = request
        if (body.v === undefined) throw new Kv4Error('value_missing')
        const id = configurationId(path, keyOf(body))
        const value = configurationValue({ value: body.v })
        const expect = headerCondition(request)?.expect
        const { n, created } = await all.put(bucket, principal.login, id, value, expect)
        return new Reply({ id, value }, { tag: VersionTag.of({ n }), created })
      },
    })
  return [
    route({
      method: 'GET',
      access: 'account',
      summary:
        'The value `k` of the namespace (the path), `at` an instant too; `time_series=1`: its history, within `gs` and `ge`. Without `k` every value in the namespace, paged by `limit` and `after`.',
      input: {
        query: z.object({
          k: z.string().optional(),
          limit: PAGING.limit,
          after: z.string().optional(),
          at: z.string().optional(),
          time_series: Flag.optional(),
          gs: z.string().optional(),
          ge: z.string().optional(),
          depth: Depth.optional(),
        }),
      },
      watch({ path, query: { k, depth } }) {
        const prefix = path === Path.root ? '' : `${path}/`
        const within = (id: string) => Path.segments(Path.parse(id.slice(prefix.length))).length - 1
        return {
          ...PLACES.configuration,
          key: k === undefined ? null : Key.parse(configurationId(path, k)),
          depth: 0,
          only: ({ key }) => key.startsWith(prefix) && (depth === undefined || within(key) <= depth),
          named: ({ key }) => configurationName(key),
          show: shownConfiguration,
        }
      },
      async run({ bucket, path, query }) {
        const { k, after, limit = VALUES_LIMIT } = query
        if (k === undefined) {
          for (const parameter of OF_ONE)
            if (query[parameter] !== undefined)
              throw new Kv4Error('bad_request', { fields: { parameter, reason: 'needs k' } })
          const prefix = path === Path.root ? '' : `${path}/`
          if (!isNamespace(prefix)) throw invalidParameter('path')
          const page = await all.list(bucket, { prefix, ...pageOf(query, isConfigurationId) })
          return pageReply({ ...page, items: page.items.map((item): JsonObject => ({ ...item })) })
        }
        const id = configurationId(path, k)
        if (query.time_series === true) {
          const before = after === undefined ? undefined : VersionTag.parse(after)
          if (after !== undefined && before === undefined) throw new Kv4Error('bad_cursor')
          const range = PeriodRange.time(PeriodRange.parse(query.gs, query.ge))
          const { rows, next } = await all.history(bucket, id, range, {
            limit,
            ...(before !== undefined && { after: before }),
          })
          const shown = rows.map(({ at, by, value }) => [Math.floor(at / 1000), by, value])
          return next === undefined ? shown : new Reply(shown, { next: VersionTag.of({ n: next }) })
        }
        const { value, n } = await all.read(
          bucket,
          id,
          query.at === undefined ? {} : { at: Instant.parse(query.at) },
        )
        return new Reply(value, { tag: VersionTag.of({ n }) })
      },
    }),
    write('PUT'),
    write('POST'),
    route({
      method: 'DELETE',
      access: 'account',
      summary: 'Removes the value `k` of the namespace (the path); answers 1. Its history stays.',
      input: { query: z.object({ k: z.string().optional() }) },
      async run(request) {
        const { bucket, path, query, principal } = request
        const expect = headerCondition(request)?.expect
        await all.remove(bucket, principal.login, configurationId(path, keyOf(query)), expect)
        return 1
      },
    }),
  ]
}

import { z } from 'zod'
import type { Bans } from '../../auth'
import {
  Key,
  Kv4Error,
  VersionTag,
  valueSize,
  type Bucket,
  type Entry,
  type Json,
  type Place,
  addressIn,
} from '../../core'
import { boundedListing } from '../bounded-listing'
import { datum } from '../datum'
import { FORMS, type Form } from '../form'
import { Reply, route, type Route } from '../module'
import { NAMES_LIMIT, PAGING, VALUES_LIMIT, pageOptions } from '../paging'
import { Flag } from '../parameters'
import { keySeries, pathSeries } from '../time-series'
import { withVer } from '../ver'

const Query = z.object({
  ...PAGING,
  k: z.string().optional(),
  as: z.enum(FORMS).optional(),
  time_series: Flag.optional(),
  gs: z.string().optional(),
  ge: z.string().optional(),
})

/**
 * GET: contract §8, and what §1 says of all storage services. The bans of this very path; those of its ancestors hold here
 * too, but are listed there.
 */
export function read(bans: Bans): Route {
  return route({
    method: 'GET',
    access: 'account',
    summary:
      'The addresses and ranges that are denied the path and all below it, `as=values` or `as=datum`; with `k` the note of one. `time_series=1`: the history, within `gs` and `ge`.',
    input: { query: Query },
    watch: ({ query }) => ({
      layer: bans.layer,
      ...(query.k !== undefined && { key: bans.range(query.k) }),
    }),
    async run({ bucket, path, query }) {
      const place = { layer: bans.layer, path }
      const key = query.k === undefined ? undefined : bans.range(query.k)
      if (query.time_series === true)
        return key === undefined
          ? pathSeries(bucket, place, query)
          : keySeries(bucket, addressIn(place, key), query)
      if (key !== undefined) {
        const { consistent = false } = query
        const version = await bucket.get(addressIn(place, key), { consistent })
        if (version === undefined) throw new Kv4Error('not_found')
        return new Reply(shown(bucket, place, { key, version }, query.as), { tag: VersionTag.of(version) })
      }
      const parse = (text: string) => Key.parse(text)
      if (query.as === undefined) {
        const { items, next } = await bucket.keys(place, pageOptions(query, NAMES_LIMIT, parse))
        return next === undefined ? items : new Reply(items, { next })
      }
      const { items, next } = await boundedListing(
        (page) => bucket.entries(place, page),
        pageOptions(query, VALUES_LIMIT, parse),
        ({ version }) => valueSize(version.v),
      )
      const values = items.map((entry) => shown(bucket, place, entry, query.as))
      return next === undefined ? values : new Reply(values, { next })
    },
  })
}

function shown(bucket: Bucket, place: Place, entry: Entry, form: Form = 'values'): Json {
  return form === 'values' ? withVer(entry.version) : datum(bucket.name, place, entry)
}

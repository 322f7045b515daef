import { z } from 'zod'
import type { Bans } from '../../auth'
import { Key, Kv4Error, VersionTag, valueSize } from '../../core'
import { boundedListing } from '../bounded-listing'
import { Reply, route, type Route } from '../module'
import { NAMES_LIMIT, PAGING, VALUES_LIMIT, pageOptions } from '../paging'
import { withVer } from '../ver'

const Query = z.object({ ...PAGING, k: z.string().optional(), as: z.enum(['values']).optional() })

/** GET: contract §8. The bans of this very path; those of its ancestors hold here too, but are listed there. */
export function read(bans: Bans): Route {
  return route({
    method: 'GET',
    access: 'account',
    summary: 'The addresses and ranges that are denied the path and all below it; with `k` the note of one.',
    input: { query: Query },
    watch: ({ query }) => ({
      layer: bans.layer,
      ...(query.k !== undefined && { key: bans.range(query.k) }),
    }),
    async run({ bucket, path, query }) {
      const place = { layer: bans.layer, path }
      if (query.k !== undefined) {
        const { consistent = false } = query
        const version = await bucket.get({ ...place, key: bans.range(query.k) }, { consistent })
        if (version === undefined) throw new Kv4Error('not_found')
        return new Reply(withVer(version), { tag: VersionTag.of(version) })
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
      const values = items.map(({ version }) => withVer(version))
      return next === undefined ? values : new Reply(values, { next })
    },
  })
}

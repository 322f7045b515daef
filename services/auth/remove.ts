import { z } from 'zod'
import type { Bans } from '../../auth'
import { Kv4Error } from '../../core'
import { route, type Route } from '../module'

/** DELETE: contract §8. */
export function remove(bans: Bans): Route {
  return route({
    method: 'DELETE',
    access: 'account',
    summary: 'Allows the address or range `k` again: 1. Without `k` every one of the path itself: how many.',
    input: { query: z.object({ k: z.string().optional() }) },
    async run({ bucket, path, principal, query }) {
      const by = principal.login
      if (query.k === undefined) return bucket.removeUnder(bans.layer, path, { by, depth: 0 })
      const address = { layer: bans.layer, path, key: bans.range(query.k) }
      if ((await bucket.remove(address, { by })) === undefined) throw new Kv4Error('not_found')
      return 1
    },
  })
}

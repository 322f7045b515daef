import { z } from 'zod'
import type { TokenKeeper } from '../../auth'
import { Flag } from '../parameters'
import { Reply, route, type Route } from '../module'
import { shownKey } from './shown-key'

/** POST: ours. */
export function rotate(tokens: TokenKeeper): Route {
  return route({
    method: 'POST',
    access: 'system',
    summary:
      'Makes the key that signs from now on; tokens of the older ones stay good, unless `retire=1`: then all of them end, for every account.',
    input: { query: z.object({ retire: Flag.optional() }) },
    async run({ principal, query }) {
      const key = await tokens.rotate(principal.login, { retire: query.retire ?? false })
      return new Reply(shownKey(key), { created: true })
    },
  })
}

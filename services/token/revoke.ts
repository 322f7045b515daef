import { z } from 'zod'
import type { TokenKeeper } from '../../auth'
import { Path } from '../../core'
import { route, type Route } from '../module'

/** DELETE: ours. What is revoked cannot be counted, as tokens are not stored: it always answers 1. */
export function revoke(tokens: TokenKeeper): Route {
  return route({
    method: 'DELETE',
    access: 'account',
    summary:
      'Ends the tokens that were issued for the path (`k`: of that user), the root meaning universal ones; the root without `k`: every token of the account.',
    input: { query: z.object({ k: z.string().optional() }) },
    async run({ path, principal, query }) {
      const { bucket, login } = principal
      if (path === Path.root && query.k === undefined) await tokens.revokeAll(bucket, login)
      else await tokens.revoke(bucket, path === Path.root ? undefined : path, query.k, login)
      return 1
    },
  })
}

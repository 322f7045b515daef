import { z } from 'zod'
import type { TokenKeeper } from '../../auth'
import type { JsonObject } from '../../core'
import { Reply, route, type Route } from '../module'
import { whole } from '../parameters'
import { TYPE } from './hosts'

const AT = '/runtime/hosts/token'
const PREFIX = z.string().regex(/^_[a-z][a-z0-9_-]{0,62}$/)
const MAX_SECONDS = 10 * 366 * 24 * 3600

/** PUT and DELETE of host tokens: ours. What a host gets in place of the secret of `$sys`. */
export function hostTokens(tokens: TokenKeeper): readonly Route[] {
  return [issue(tokens), revoke(tokens)]
}

function issue(tokens: TokenKeeper): Route {
  return route({
    method: 'PUT',
    at: AT,
    access: 'system',
    summary:
      'A token with which hosts of the service with the `prefix` register, and which can do nothing else.',
    input: {
      query: z.object({
        prefix: PREFIX.describe('`_turn`'),
        type: z
          .string()
          .regex(TYPE, 'is not a lower case word')
          .describe('the type that they register; default: the prefix without `_`')
          .optional(),
        expire: whole(0, MAX_SECONDS)
          .default(0)
          .describe('seconds, at most ten years; 0 (default): for ever'),
      }),
    },
    async run({ principal, query: { prefix, type, expire } }) {
      const scope: JsonObject = { prefix, ...(type !== undefined && { type }) }
      return new Reply(await tokens.issue('host', { principal, user: userOf(prefix), scope }, expire), {
        created: true,
      })
    },
  })
}

function revoke(tokens: TokenKeeper): Route {
  return route({
    method: 'DELETE',
    at: AT,
    access: 'system',
    summary: 'Ends every token that was issued for the `prefix`; answers 1.',
    input: { query: z.object({ prefix: PREFIX }) },
    async run({ principal, query: { prefix } }) {
      await tokens.revoke(principal.bucket, undefined, userOf(prefix), principal.login)
      return 1
    },
  })
}

/** Tokens are revoked by their user. */
function userOf(prefix: string): string {
  return `host:${prefix}`
}

import { z } from 'zod'
import type { TokenKeeper } from '../../auth'
import { Kv4Error, Path } from '../../core'
import { route, type Route } from '../module'
import { isNamespace } from '../namespace'
import { whole } from '../parameters'

// As long as an entry may live.
const MAX_SECONDS = 10 * 366 * 24 * 3600
const DEFAULT_SECONDS = 60

const Query = z.object({
  k: z.string().describe('the user that it stands for; absent or empty: a random one').optional(),
  expire: whole(0, MAX_SECONDS)
    .default(DEFAULT_SECONDS)
    .describe('seconds in which a connection can be opened, at most ten years; 0: for ever'),
  watch: z
    .string()
    .regex(
      /^_[a-z][a-z0-9_-]{0,62}(,_[a-z][a-z0-9_-]{0,62}){0,15}$/,
      'is not a list of prefixes: _data,_subs',
    )
    .transform((text) => text.split(','))
    .describe('prefixes that its bearer may watch by the socket, at the path and below: `_data,_subs`')
    .optional(),
})

/** PUT: contract §10. A body of any form, or none, is accepted and ignored. */
export function create(tokens: TokenKeeper): Route {
  return route({
    method: 'PUT',
    access: 'account',
    summary:
      'A token to connect with, as the user `k`, to the path, which has to be a namespace; without a path to any.',
    input: { query: Query },
    async run({ bucket, path, principal, query }) {
      if (path !== Path.root && !(await isNamespace(bucket, path))) throw new Kv4Error('no_namespace')
      return tokens.issue(
        'signal',
        {
          principal,
          ...(path !== Path.root && { path }),
          // examples-v3 sends an empty one before its user has a name.
          ...(query.k !== undefined && query.k !== '' && { user: query.k }),
          ...(query.watch !== undefined && { scope: { watch: query.watch } }),
        },
        query.expire,
      )
    },
  })
}

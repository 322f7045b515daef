import { Kv4Error } from '../../../core'
import { route, type Route } from '../../module'
import { ReadQuery, readLogins, watchedLogins } from '../login-read'
import type { AccRoom } from '../room'
import { showAdmin } from './show'

/** GET /users/admins: contract §6.2. */
export function read({ places }: AccRoom): Route {
  return route({
    method: 'GET',
    at: '/users/admins',
    access: 'account',
    summary:
      'The administrator `k`. Without it their names, `as=values` or `as=datum`. `time_series=1`: the history of `k`, within `gs` and `ge`.',
    input: { query: ReadQuery },
    watch: watchedLogins(places.admins, showAdmin),
    async run({ bucket, query }) {
      if (query.k2 !== undefined) throw new Kv4Error('bad_request', { fields: { path: 'query.k2' } })
      return readLogins(bucket, places.admins, query, showAdmin)
    },
  })
}

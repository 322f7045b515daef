import { route, type Route } from '../../module'
import { emailKey } from '../email'
import { ReadQuery, readLogins, watchedLogins } from '../login-read'
import type { AccRoom } from '../room'
import { showAccount } from './show'

/** GET /accounts: contract §6.1. */
export function read({ places }: AccRoom): Route {
  return route({
    method: 'GET',
    at: '/accounts',
    access: 'holder',
    summary:
      'The account `k`, or the one with the e-mail address `k2`. Without either their names, `as=values` or `as=datum`. `time_series=1`: the history of `k`, within `gs` and `ge`.',
    input: { query: ReadQuery },
    watch: watchedLogins(places.accounts, showAccount),
    async run({ bucket, query }) {
      const asked = query.k2 === undefined ? query : { ...query, k2: emailKey(query.k2) }
      return readLogins(bucket, places.accounts, asked, showAccount)
    },
  })
}

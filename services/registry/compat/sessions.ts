import type { Registry } from '../registry'
import { isSessionId, newSession, sessionChanges } from '../rules'
import { listed, location } from './endpoint'
import type { Endpoint } from './endpoint'
import { leaseEndpoints } from './leases'

/** G1 only: contract §8. */
export function sessionRoutes({ sessions }: Registry): readonly Endpoint[] {
  return [
    {
      method: 'GET',
      path: '/sessions/?',
      at: '/sessions',
      summary: 'Sessions by id; paged by `limit` and `marker`.',
      async run(call, { bucket }) {
        return listed(call, (page) => sessions.list(bucket, page))
      },
    },
    {
      method: 'POST',
      path: '/sessions/?',
      at: '/sessions',
      summary: 'Opens a session.',
      async run(call, caller) {
        const { id, token } = await sessions.create(
          caller.bucket,
          caller.login,
          newSession(await call.body()),
        )
        return call.reply(201, { token }, [location(call, caller, 'sessions', id)])
      },
    },
    ...leaseEndpoints('session', sessions, isSessionId, sessionChanges),
    {
      method: 'GET',
      path: '/views/overview/?',
      at: '/overview',
      summary: 'Each session with its services; paged by `limit` and `marker`.',
      async run(call, { bucket }) {
        return listed(call, (page) => sessions.overview(bucket, page))
      },
    },
  ]
}

import { z } from 'zod'
import { Key, Kv4Error } from '../../../core'
import { headerCondition } from '../../condition'
import { route, type Route } from '../../module'
import { SESSIONS, sessionPath } from '../places'
import type { Sessions } from '../sessions'

export function remove(sessions: Sessions): Route {
  return route({
    method: 'DELETE',
    access: 'account',
    summary:
      'Removes the namespace `k` of the session: 1. Without it the session: how many namespaces it had.',
    input: { query: z.object({ k: z.string().optional() }) },
    async run(request) {
      const { bucket, path, principal, query } = request
      if (request.ifNoneMatch !== undefined)
        throw new Kv4Error('bad_request', { fields: { reason: 'If-None-Match does not go with DELETE' } })
      const by = principal.login
      const session = sessionPath(path)
      const condition = headerCondition(request)
      if (query.k === undefined) {
        if (condition !== undefined)
          throw new Kv4Error('bad_request', { fields: { reason: 'If-Match needs a key' } })
        return sessions.removeAll(bucket, session, by)
      }
      const at = { layer: SESSIONS, path: session, key: Key.parse(query.k) }
      if (!(await sessions.remove(bucket, at, { by, ...(condition !== undefined && { condition }) })))
        throw new Kv4Error('not_found')
      return 1
    },
  })
}

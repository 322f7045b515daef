import { Key, Kv4Error, isKv4Error, addressIn } from '../../../core'
import { route, type Route } from '../../module'
import { checkHeaders } from '../precondition'
import { RemoveQuery } from '../remove-query'
import type { AccRoom } from '../room'

/** DELETE /users/admins: contract §6.2. */
export function remove({ places }: AccRoom): Route {
  return route({
    method: 'DELETE',
    at: '/users/admins',
    access: 'account',
    summary: 'Removes the administrator `k`: 1. Without `k`, all of them: how many.',
    input: { query: RemoveQuery },
    async run(request) {
      const { bucket, principal, query } = request
      const by = principal.login
      if (query.k === undefined) {
        if (request.ifMatch !== undefined || request.ifNoneMatch !== undefined)
          throw new Kv4Error('bad_request', { fields: { reason: 'If-Match and If-None-Match need k' } })
        return bucket.removeUnder(places.admins.layer, places.admins.path, { by, depth: 0 })
      }
      const address = addressIn(places.admins, Key.parse(query.k))
      const version = await bucket.get(address, { consistent: true })
      checkHeaders(request, version)
      if (version === undefined) throw new Kv4Error('not_found')
      try {
        const expect = request.ifMatch === undefined ? {} : { expect: { n: version.n } }
        if (await bucket.remove(address, { by, ...expect })) return 1
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        throw new Kv4Error('precondition_failed', { cause: error })
      }
      throw new Kv4Error('not_found')
    },
  })
}

import { z } from 'zod'
import { Key, Kv4Error } from '../../../core'
import { route, type Route } from '../../module'
import { bucketOf } from '../bucket-of'
import { deleteAccount } from '../deletion'
import { checkHeaders } from '../precondition'
import type { AccRoom } from '../room'

const AT_ONCE = 500

/** DELETE /accounts: contract §6.1. */
export function remove(room: AccRoom): Route {
  return route({
    method: 'DELETE',
    at: '/accounts',
    access: 'holder',
    summary:
      'Deletes the account `k` with all its data, of a primary its sub-accounts too: 1. Without `k`, every account here: how many.',
    input: { query: z.object({ k: z.string().optional() }) },
    async run(request) {
      const { bucket: holder, principal, query } = request
      if (query.k !== undefined) {
        const key = Key.parse(query.k)
        if (!room.isUsername(key)) throw new Kv4Error('not_found')
        const there = await deleteAccount(room, bucketOf(principal, key), principal.login, (version) =>
          checkHeaders(request, version),
        )
        if (!there) throw new Kv4Error('not_found')
        return 1
      }
      if (request.ifMatch !== undefined || request.ifNoneMatch !== undefined)
        throw new Kv4Error('bad_request', { fields: { reason: 'If-Match and If-None-Match need k' } })
      let count = 0
      let after: Key | undefined
      do {
        const page = await holder.keys(room.places.accounts, {
          consistent: true,
          limit: AT_ONCE,
          ...(after !== undefined && { after }),
        })
        for (const key of page.items)
          if (await deleteAccount(room, bucketOf(principal, key), principal.login)) count++
        after = page.next
      } while (after !== undefined)
      return count
    },
  })
}

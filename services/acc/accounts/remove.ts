import { z } from 'zod'
import { Key, Kv4Error, type Version } from '../../../core'
import { route, type Route } from '../../module'
import { bucketOf } from '../bucket-of'
import { deleteAccount } from '../deletion'
import { emailKey } from '../email'
import { checkHeaders } from '../precondition'
import { RemoveQuery } from '../remove-query'
import type { AccRoom } from '../room'

const AT_ONCE = 500

/** DELETE /accounts: contract §6.1. */
export function remove(room: AccRoom): Route {
  return route({
    method: 'DELETE',
    at: '/accounts',
    access: 'holder',
    summary:
      'Deletes the account `k`, or the one with the e-mail address `k2`, with all its data, of a primary its sub-accounts too: 1. Without either, every account here: how many.',
    input: { query: RemoveQuery.extend({ k2: z.string().optional() }) },
    async run(request) {
      const { bucket: holder, principal, query } = request
      if (query.k !== undefined && query.k2 !== undefined)
        throw new Kv4Error('bad_request', { fields: { reason: 'both k and k2' } })
      if (query.k !== undefined || query.k2 !== undefined) {
        const email = query.k2 === undefined ? undefined : emailKey(query.k2)
        const key =
          email === undefined
            ? Key.parse(query.k!)
            : (await holder.find(room.places.accounts, 'k2', email, { consistent: true }))?.key
        if (key === undefined || !room.isUsername(key)) throw new Kv4Error('not_found')
        const check = (version: Version | undefined) => {
          // Meanwhile the address may have passed to another account.
          if (email !== undefined && version?.k2 !== email) throw new Kv4Error('not_found')
          checkHeaders(request, version)
        }
        if (!(await deleteAccount(room, bucketOf(principal, key), principal.login, check)))
          throw new Kv4Error('not_found')
        return 1
      }
      if (request.ifMatch !== undefined || request.ifNoneMatch !== undefined)
        throw new Kv4Error('bad_request', { fields: { reason: 'If-Match and If-None-Match need k or k2' } })
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

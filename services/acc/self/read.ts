import type { StoredLogin } from '../../../auth'
import { Kv4Error, VersionTag } from '../../../core'
import { Reply, route, type Route } from '../../module'
import { shownWithVer } from '../login-read'
import type { AccRoom } from '../room'
import { ownEntry } from './own-entry'

/** GET /self: ours, not of the contract. */
export function read(room: AccRoom): Route {
  return route({
    method: 'GET',
    at: '/self',
    access: 'account',
    summary: 'The account in whose bucket the caller acts, as its holder sees it.',
    watch({ principal }) {
      const { bucket, address, show } = ownEntry(room, principal)
      return {
        ...address,
        bucket: room.engine.bucket(bucket),
        depth: 0,
        show: ({ key }, { v }) => show(key, v as unknown as StoredLogin),
      }
    },
    async run({ principal }) {
      const { bucket, address, show } = ownEntry(room, principal)
      const version = await room.engine.bucket(bucket).get(address)
      if (version === undefined) throw new Kv4Error('not_found')
      return new Reply(shownWithVer(show, address.key, version), { tag: VersionTag.of(version) })
    },
  })
}

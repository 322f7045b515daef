import { listingStoreOver } from './express-store'
import type { ExpressSession, ExpressSessionModule, ListingExpressStore } from './express-store'
import { SessionRoom, type SessionRoomOptions } from './session-room'

export type { ExpressSession, ExpressSessionModule, ExpressStore, ListingExpressStore } from './express-store'
export type { SessionRoomOptions } from './session-room'

export interface ExpressSessionOptions extends SessionRoomOptions {
  /** Ms that a session lives whose cookie ends with the browser. Default: a day. */
  readonly ttl?: number
}

const DAY_MS = 24 * 3600_000

/**
 * A store of express-session in an account of KV4, `kv4/client/express-session`:
 *
 *     app.use(session({ secret, resave: false, saveUninitialized: false,
 *       store: expressSessionStore(session, { url, user, secret: accountSecret }) }))
 *
 * Each session is one of `_sess` below `prefix` (`express`), its data the namespace `namespace` (`express`). It lives as
 * long as its cookie; `touch` prolongs it without writing it.
 */
export function expressSessionStore<Store extends abstract new () => object>(
  session: ExpressSessionModule<Store>,
  { ttl = DAY_MS, ...options }: ExpressSessionOptions,
): InstanceType<Store> & ListingExpressStore {
  const room = new SessionRoom(options, 'express')
  return listingStoreOver(session, {
    get: (id) => room.get(id),
    set: (id, value, life) => room.set(id, value, life ?? ttl),
    touch: async (id, _value, life) => void (await room.touch(id, life ?? ttl)),
    destroy: async (id) => void (await room.delete(id)),
    clear: () => room.clear(),
    async *all() {
      for await (const [id, value] of room.entries()) yield { ...(value as ExpressSession), id }
    },
    async count() {
      let count = 0
      for await (const _ of room.keys()) count++
      return count
    },
  })
}

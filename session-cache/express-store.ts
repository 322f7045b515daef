import { storeOver } from '../client/stores/express-store'
import type { ExpressSession, ExpressSessionModule, ExpressStore } from '../client/stores/express-store'
import type { SessionCacheManager } from './session-cache-manager'

export type { ExpressSession, ExpressSessionModule, ExpressStore } from '../client/stores/express-store'

/**
 * A store of express-session over the tiers:
 *
 *   app.use(session({ secret, resave: false, saveUninitialized: false, store: expressStore(session, cache) }))
 *
 * A session lives as long as its cookie; without a `maxAge`, for `sessions_length`. `destroy` destroys in all tiers.
 */
export function expressStore<Store extends abstract new () => object>(
  session: ExpressSessionModule<Store>,
  cache: SessionCacheManager,
): InstanceType<Store> & ExpressStore {
  return storeOver(session, {
    get: (id) => kept(cache, id),
    set: async (id, value, life) => void (await cache.set(id, JSON.stringify(value), life)),
    async touch(id, { cookie }, life) {
      const value = await kept(cache, id)
      if (value !== undefined) await cache.set(id, JSON.stringify({ ...value, cookie }), life)
    },
    destroy: (id) => cache.destroy(id),
  })
}

async function kept(cache: SessionCacheManager, id: string): Promise<ExpressSession | undefined> {
  const text = await cache.get(id)
  return text === false ? undefined : (JSON.parse(text) as ExpressSession)
}

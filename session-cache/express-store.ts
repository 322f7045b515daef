import type { SessionCacheManager } from './session-cache-manager'

/** The parts of express-session's module that are used: its Store, which has the methods we do not write. */
export interface ExpressSessionModule<Store extends abstract new () => object> {
  readonly Store: Store
}

/** What express-session keeps; `cookie` says how long. */
export interface ExpressSession {
  readonly cookie?: {
    readonly originalMaxAge?: number | null
    readonly maxAge?: number | null
    readonly expires?: Date | string | null
  }
}

type Done<T = void> = (error?: unknown, result?: T) => void

export interface ExpressStore {
  get(id: string, done: Done<ExpressSession | null>): void
  set(id: string, session: ExpressSession, done?: Done): void
  touch(id: string, session: ExpressSession, done?: Done): void
  destroy(id: string, done?: Done): void
}

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
  const Base = session.Store as unknown as new () => object
  class SessionCacheStore extends Base implements ExpressStore {
    get(id: string, done: Done<ExpressSession | null>): void {
      settle(
        cache.get(id).then((text) => (text === false ? null : (JSON.parse(text) as ExpressSession))),
        done,
      )
    }

    set(id: string, value: ExpressSession, done?: Done): void {
      settle(
        cache.set(id, JSON.stringify(value), lifeOf(value)).then(() => undefined),
        done,
      )
    }

    touch(id: string, value: ExpressSession, done?: Done): void {
      settle(
        cache.get(id).then(async (text) => {
          if (text === false) return
          // Only the life is renewed: somebody else may have changed the rest meanwhile.
          const kept = JSON.parse(text) as ExpressSession
          await cache.set(id, JSON.stringify({ ...kept, cookie: value.cookie }), lifeOf(value))
        }),
        done,
      )
    }

    destroy(id: string, done?: Done): void {
      settle(cache.destroy(id), done)
    }
  }
  return new SessionCacheStore() as InstanceType<Store> & ExpressStore
}

function lifeOf({ cookie }: ExpressSession): number | undefined {
  const ends = cookie?.expires
  if (ends !== undefined && ends !== null) return Math.max(1, new Date(ends).getTime() - Date.now())
  const age = cookie?.maxAge ?? cookie?.originalMaxAge
  return typeof age === 'number' ? Math.max(1, age) : undefined
}

function settle<T>(work: Promise<T>, done: Done<T> | undefined): void {
  work.then(
    (result) => done?.(null, result),
    (error: unknown) => done?.(error),
  )
}

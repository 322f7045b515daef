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

/** A store that knows all that it has. */
export interface ListingExpressStore extends ExpressStore {
  all(done: Done<readonly ExpressSession[]>): void
  length(done: Done<number>): void
  clear(done?: Done): void
}

/** Where sessions are kept; lives are in ms, undefined where the cookie says nothing. */
export interface SessionKeeper {
  get(id: string): Promise<ExpressSession | undefined>
  set(id: string, session: ExpressSession, life: number | undefined): Promise<void>
  /** Renews the life alone: somebody else may have changed the rest meanwhile. */
  touch(id: string, session: ExpressSession, life: number | undefined): Promise<void>
  destroy(id: string): Promise<void>
}

export interface ListingSessionKeeper extends SessionKeeper {
  all(): AsyncIterable<ExpressSession & { readonly id: string }>
  count(): Promise<number>
  clear(): Promise<void>
}

/** A store of express-session over wherever sessions are kept. */
export function storeOver<Store extends abstract new () => object>(
  session: ExpressSessionModule<Store>,
  keeper: SessionKeeper,
): InstanceType<Store> & ExpressStore {
  const Base = session.Store as unknown as new () => object
  class KeptStore extends Base implements ExpressStore {
    get(id: string, done: Done<ExpressSession | null>): void {
      settle(
        keeper.get(id).then((kept) => kept ?? null),
        done,
      )
    }

    set(id: string, value: ExpressSession, done?: Done): void {
      settle(keeper.set(id, value, lifeOf(value)), done)
    }

    touch(id: string, value: ExpressSession, done?: Done): void {
      settle(keeper.touch(id, value, lifeOf(value)), done)
    }

    destroy(id: string, done?: Done): void {
      settle(keeper.destroy(id), done)
    }
  }
  return new KeptStore() as InstanceType<Store> & ExpressStore
}

/** The same, with the methods that ask for all. */
export function listingStoreOver<Store extends abstract new () => object>(
  session: ExpressSessionModule<Store>,
  keeper: ListingSessionKeeper,
): InstanceType<Store> & ListingExpressStore {
  const all = async () => {
    const found: ExpressSession[] = []
    for await (const kept of keeper.all()) found.push(kept)
    return found
  }
  return Object.assign(storeOver(session, keeper), {
    all: (done: Done<readonly ExpressSession[]>) => settle(all(), done),
    length: (done: Done<number>) => settle(keeper.count(), done),
    clear: (done?: Done) => settle(keeper.clear(), done),
  })
}

/** At least 1 ms: what lapses with the answer is still set. */
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

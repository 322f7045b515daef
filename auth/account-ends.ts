import { BucketName, isKv4Error } from '../core'
import type { Bucket, Cursor, Engine } from '../core'
import { mayLogIn } from './account'
import { accountLink, subLink } from './authenticator'
import { PLACES } from './places'
import { readGround } from './verify-cache'

const PAUSE_MS = 1_000

/**
 * Tells of accounts that end: deactivated, or deleted, itself or the primary above it. For what was opened while the
 * account was good and would go on by itself: sockets, streams.
 */
export interface AccountEnds {
  /**
   * @param ended called at most once, on this node at once, on others with the feed; also when the account has ended
   * already. The system's account never ends.
   */
  hold(bucket: BucketName, ended: () => void): AccountHold
}

export interface AccountHold {
  /** Resolves when no end is missed any more; one that came before has been told. Never rejects. */
  readonly ready: Promise<void>
  /** Once. */
  release(): void
}

export function createAccountEnds(
  engine: Engine,
  onBackgroundError: (error: unknown) => void = () => undefined,
): AccountEnds {
  return new EngineAccountEnds(engine, onBackgroundError)
}

/** Whoever has something open in one bucket. */
interface Held {
  readonly told: Set<() => void>
  /** The account was looked at once, past the caches, after its feed was followed. */
  readonly ready: Promise<void>
}

/** The accounts of one bucket: of `$sys` the primaries, of a primary its sub-accounts. */
interface Following {
  holders: number
  readonly end: AbortController
  readonly ready: Promise<void>
}

class EngineAccountEnds implements AccountEnds {
  readonly #held = new Map<BucketName, Held>()
  readonly #following = new Map<BucketName, Following>()

  constructor(
    private readonly engine: Engine,
    private readonly onBackgroundError: (error: unknown) => void,
  ) {}

  hold(bucket: BucketName, ended: () => void): AccountHold {
    const { account, sub } = BucketName.owner(bucket)
    if (bucket === BucketName.system) return { ready: Promise.resolve(), release: () => undefined }
    const places = [BucketName.system, ...(sub === undefined ? [] : [BucketName.of(account)])]
    const followed = Promise.all(places.map((place) => this.#follow(place)))
    let held = this.#held.get(bucket)
    if (held === undefined) {
      held = { told: new Set(), ready: followed.then(() => this.#look(bucket)) }
      this.#held.set(bucket, held)
    }
    // A function of its own, as one caller may hold twice with the same.
    const each = () => ended()
    held.told.add(each)
    const { told, ready } = held
    return {
      ready,
      release: () => {
        told.delete(each)
        if (told.size === 0 && this.#held.get(bucket)?.told === told) this.#held.delete(bucket)
        for (const place of places) this.#release(place)
      },
    }
  }

  /** Resolves once nothing is missed any more, or the store does not say. */
  #follow(place: BucketName): Promise<void> {
    let following = this.#following.get(place)
    if (following === undefined) {
      const end = new AbortController()
      const bucket = this.engine.bucket(place)
      const cursor = bucket.cursor()
      const ready = cursor.then(
        () => undefined,
        () => undefined,
      )
      following = { holders: 0, end, ready }
      this.#following.set(place, following)
      void this.#hear(bucket, cursor, end.signal)
    }
    following.holders++
    return following.ready
  }

  #release(place: BucketName): void {
    const following = this.#following.get(place)!
    if (--following.holders > 0) return
    this.#following.delete(place)
    following.end.abort()
  }

  async #hear(bucket: Bucket, first: Promise<Cursor>, signal: AbortSignal): Promise<void> {
    let start = first
    let since: Cursor | undefined
    while (!signal.aborted) {
      try {
        if (since === undefined) {
          since = await start
          // What happened before this cursor was in no feed.
          if (start !== first) for (const each of this.#below(bucket.name)) void this.#look(each)
        }
        for await (const event of bucket.watch({ ...PLACES.accounts, depth: 0 }, { since, signal })) {
          since = event.cursor
          if (event.kind !== 'series' && !mayLogIn(event.version)) this.#ended(bucket.name, event.address.key)
        }
      } catch (error) {
        if (signal.aborted) return
        if (isKv4Error(error, 'bucket_not_found')) {
          for (const each of this.#below(bucket.name)) this.#tell(each)
          return
        }
        this.onBackgroundError(error)
        await pause()
        if (since === undefined) (start = bucket.cursor()).catch(() => undefined)
      }
    }
  }

  /** An account whose entry lies in that bucket. */
  #ended(place: BucketName, name: string): void {
    for (const bucket of this.#below(place)) {
      const { account, sub } = BucketName.owner(bucket)
      if ((place === BucketName.system ? account : sub) === name) this.#tell(bucket)
    }
  }

  /** Buckets that are held and hang on accounts of that one. */
  #below(place: BucketName): readonly BucketName[] {
    const { account } = BucketName.owner(place)
    return [...this.#held.keys()].filter((bucket) => {
      const owner = BucketName.owner(bucket)
      return place === BucketName.system || (owner.account === account && owner.sub !== undefined)
    })
  }

  /** Resolves after the first try; goes on until the store says how it is. */
  async #look(bucket: BucketName): Promise<void> {
    try {
      if (!(await this.#isActive(bucket))) this.#tell(bucket)
    } catch (error) {
      this.onBackgroundError(error)
      void pause().then(() => (this.#held.has(bucket) ? this.#look(bucket) : undefined))
    }
  }

  async #isActive(bucket: BucketName): Promise<boolean> {
    const { account, sub } = BucketName.owner(bucket)
    const chain = [accountLink(account), ...(sub === undefined ? [] : [subLink(account, sub)])]
    for (const { bucket: place, address } of chain)
      if (!mayLogIn(await readGround(this.engine, place, address, { consistent: true }))) return false
    return true
  }

  #tell(bucket: BucketName): void {
    const held = this.#held.get(bucket)
    if (held === undefined) return
    this.#held.delete(bucket)
    for (const ended of held.told) ended()
  }
}

async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS).unref())
}

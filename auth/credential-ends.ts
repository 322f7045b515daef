import { BucketName, isKv4Error } from '../core'
import type { Engine, WatchEvent } from '../core'
import type { Authentication, CredentialHeaders } from './authentication'
import { FollowedBuckets } from './followed-buckets'
import { PLACES } from './places'
import type { Principal } from './principal'

/** Everybody who came in with one credential. */
interface Held {
  readonly headers: CredentialHeaders
  readonly address: string
  /** Whose entries it rests on, by key. */
  readonly names: ReadonlySet<string>
  readonly buckets: readonly BucketName[]
  readonly told: Set<() => void>
}

/** What no feed tells of is found by asking again: the end of a secret's overlap, a token's, the system's secret. */
const ASK_EVERY_MS = 5_000

/**
 * Tells of credentials that are good no longer: revoked, replaced, their login deactivated or deleted, the account too. For
 * what was opened while they were good and would go on by itself. Beside AccountEnds and BanEnds.
 */
export interface CredentialEnds {
  /**
   * @param ended called at most once: with the feed of the accounts, and within 5 s for what the feed does not tell
   */
  hold(
    principal: Principal,
    headers: CredentialHeaders,
    address: string,
    ended: () => void,
  ): { release(): void }
  stop(): void
}

export interface CredentialEndsOptions {
  readonly engine: Engine
  readonly authentication: Authentication
  readonly onBackgroundError?: (error: unknown) => void
}

export function createCredentialEnds(options: CredentialEndsOptions): CredentialEnds {
  return new FollowedCredentials(options)
}

class FollowedCredentials implements CredentialEnds {
  /** By the Authorization header. */
  readonly #held = new Map<string, Held>()
  readonly #followed: FollowedBuckets<WatchEvent>
  #timer: NodeJS.Timeout | undefined

  constructor(private readonly options: CredentialEndsOptions) {
    const { engine, onBackgroundError = () => undefined } = options
    this.#followed = new FollowedBuckets({
      watch: (bucket, signal) => engine.bucket(bucket).watch({ layer: PLACES.accounts.layer }, { signal }),
      heard: (bucket, { address }) => this.#ask(bucket, address.key),
      missed: (bucket) => this.#ask(bucket),
      onBackgroundError,
    })
  }

  hold(
    principal: Principal,
    headers: CredentialHeaders,
    address: string,
    ended: () => void,
  ): { release(): void } {
    const key = headers.authorization ?? ''
    let held = this.#held.get(key)
    if (held === undefined) {
      const { account, sub, login, bucket } = principal
      const primary = account === '$sys' ? BucketName.system : BucketName.of(account)
      held = {
        headers: { authorization: headers.authorization },
        address,
        names: new Set([account, ...(sub === undefined ? [] : [sub]), login]),
        buckets: [...new Set([BucketName.system, primary, bucket])],
        told: new Set(),
      }
      this.#held.set(key, held)
      for (const each of held.buckets) this.#followed.hold(each)
      this.#timer ??= setInterval(() => this.#askAll(), ASK_EVERY_MS).unref()
    }
    const { told } = held
    // A function of its own, as one caller may hold twice with the same.
    const each = () => ended()
    told.add(each)
    return {
      release: () => {
        if (told.delete(each) && told.size === 0) this.#forget(key, held)
      },
    }
  }

  stop(): void {
    clearInterval(this.#timer)
    for (const [key, held] of this.#held) this.#forget(key, held)
  }

  #forget(key: string, held: Held): void {
    if (this.#held.get(key) !== held) return
    this.#held.delete(key)
    for (const each of held.buckets) this.#followed.release(each)
    if (this.#held.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Something changed in a bucket of accounts: under a name, or it is not known what. */
  #ask(bucket: BucketName, name?: string): void {
    for (const [key, held] of this.#held)
      if (held.buckets.includes(bucket) && (name === undefined || held.names.has(name)))
        void this.#verify(key, held)
  }

  #askAll(): void {
    for (const [key, held] of this.#held) void this.#verify(key, held)
  }

  async #verify(key: string, held: Held): Promise<void> {
    try {
      await this.options.authentication.authenticate(held.headers, held.address)
    } catch (error) {
      // While the store does not answer nothing can be told to anybody, and soon it is asked again.
      if (!isKv4Error(error, 'unauthorized')) return
      const ends = [...held.told]
      held.told.clear()
      this.#forget(key, held)
      for (const ended of ends) ended()
    }
  }
}

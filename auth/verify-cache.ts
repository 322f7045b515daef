import { hash, randomBytes } from 'node:crypto'
import { isKv4Error } from '../core'
import type { Address, BucketName, Engine, Version } from '../core'
import { mayLogIn, storedLogin } from './account'
import type { Principal } from './principal'

/** One entry that a verification rests on, as it was read. */
export interface Ground {
  readonly bucket: BucketName
  readonly address: Address
  readonly version: Version
  /** The stored hash that the caller's proof matched; absent: the entry only had to be active. */
  readonly proof?: string
}

export interface Verified {
  readonly principal: Principal
  /** From the primary down to the login that proved itself. */
  readonly grounds: readonly Ground[]
  /** Unix ms from which on it no longer holds, whatever the store says: the end of a secret's overlap. */
  readonly until?: number
}

interface Cached {
  verified: Verified
  /** Unix ms of the last time that the store itself, not the engine's cache, bore it out. */
  confirmedAt: number
}

export interface VerifyCacheOptions {
  /** Credentials remembered, least recently used out first. Default 10,000. */
  readonly size?: number
  /** Ms after which the grounds are read past the engine's cache. Default 60,000. */
  readonly confirmEvery?: number
}

// When the store does not answer, the engine's cache alone decides until the next try.
const RETRY_CONFIRMATION = 5_000

/** The entry as it is now; undefined where it, or its bucket, is not there. */
export async function readGround(
  engine: Engine,
  bucket: BucketName,
  address: Address,
  options?: { readonly consistent: boolean },
): Promise<Version | undefined> {
  try {
    return await engine.bucket(bucket).get(address, options)
  } catch (error) {
    if (isKv4Error(error, 'bucket_not_found')) return undefined
    throw error
  }
}

/** `at` tells an entry from one of the same number in a bucket that was made anew. */
function isSame(present: Version | null | undefined, version: Version): boolean {
  return present === version || (present?.n === version.n && present.at === version.at)
}

/**
 * Remembers which Authorization headers were verified, so that a request costs one hash and one cached read per ground
 * instead of the verification. Only successes are kept, under a digest keyed with a number that dies with the process.
 *
 * What is remembered holds only as long as its grounds do: each use compares them with what the engine reads now. An
 * entry that changed is judged again: still active, and still storing the hash that was matched? So a changed company
 * name costs nothing, a rotated secret or a deactivation counts at once, wherever it was written: the engine's feed
 * brings it, and a silent feed makes the engine read the store. Every 60 s the grounds are read past the engine's cache.
 */
export class VerifyCache {
  readonly #engine: Engine
  readonly #size: number
  readonly #confirmEvery: number
  readonly #entries = new Map<string, Cached>()
  /** The last of `#entries`: who uses it again moves nothing. */
  #newest: string | undefined
  // As long as a block of SHA-256, so that the digest of key and header is a keyed one.
  readonly #key = randomBytes(32).toString('hex')

  constructor(engine: Engine, { size = 10_000, confirmEvery = 60_000 }: VerifyCacheOptions = {}) {
    this.#engine = engine
    this.#size = size
    this.#confirmEvery = confirmEvery
  }

  get size(): number {
    return this.#entries.size
  }

  digest(header: string): string {
    return hash('sha256', this.#key + header, 'base64')
  }

  /** What most requests get, without a wait; undefined: ask `get`. */
  peek(digest: string): Principal | undefined {
    const cached = this.#entries.get(digest)
    if (cached === undefined) return undefined
    const now = Date.now()
    const { until } = cached.verified
    if ((until !== undefined && until <= now) || now - cached.confirmedAt >= this.#confirmEvery)
      return undefined
    for (const { bucket, address, version } of cached.verified.grounds) {
      if (!isSame(this.#engine.bucket(bucket).peek(address), version)) return undefined
    }
    this.#use(digest, cached)
    return cached.verified.principal
  }

  /** undefined: not known, or no longer true. @throws store_unavailable */
  async get(digest: string): Promise<Principal | undefined> {
    const cached = this.#entries.get(digest)
    if (cached === undefined) return undefined
    const now = Date.now()
    const { until } = cached.verified
    const holds =
      (until === undefined || until > now) &&
      (now - cached.confirmedAt < this.#confirmEvery
        ? (await this.#isUnchanged(cached)) || (await this.#judge(cached, now, false))
        : await this.#confirm(cached, now))
    if (!holds) {
      // A newer verification may have come in while this one was being judged.
      if (this.#entries.get(digest) === cached) this.#entries.delete(digest)
      return undefined
    }
    this.#use(digest, cached)
    return cached.verified.principal
  }

  #use(digest: string, cached: Cached): void {
    if (digest !== this.#newest && this.#entries.delete(digest))
      this.#entries.set((this.#newest = digest), cached)
  }

  set(digest: string, verified: Verified): void {
    this.#entries.delete(digest)
    this.#entries.set((this.#newest = digest), { verified, confirmedAt: Date.now() })
    if (this.#entries.size > this.#size) this.#entries.delete(this.#entries.keys().next().value!)
  }

  async #isUnchanged({ verified }: Cached): Promise<boolean> {
    try {
      for (const { bucket, address, version } of verified.grounds) {
        if (!isSame(await this.#engine.bucket(bucket).get(address), version)) return false
      }
      return true
    } catch (error) {
      if (isKv4Error(error, 'bucket_not_found')) return false
      throw error
    }
  }

  async #confirm(cached: Cached, now: number): Promise<boolean> {
    // Set before the first wait: the requests beside this one go on with the engine's cache.
    cached.confirmedAt = now
    try {
      return await this.#judge(cached, now, true)
    } catch (error) {
      if (!isKv4Error(error, 'store_unavailable')) throw error
      cached.confirmedAt = now - this.#confirmEvery + RETRY_CONFIRMATION
      return (await this.#isUnchanged(cached)) || this.#judge(cached, now, false)
    }
  }

  /** Once one ground has changed every one is looked at again, not only those whose number moved. */
  async #judge(cached: Cached, now: number, consistent: boolean): Promise<boolean> {
    const grounds: Ground[] = []
    let until: number | undefined
    for (const ground of cached.verified.grounds) {
      const version = await readGround(this.#engine, ground.bucket, ground.address, { consistent })
      if (version === undefined || !mayLogIn(version)) return false
      if (ground.proof !== undefined) {
        const { secrets, password } = storedLogin(version.v)!.proof
        const secret = secrets?.find(({ hash }) => hash === ground.proof)
        if (secret === undefined && password !== ground.proof) return false
        if (secret?.until !== undefined) {
          if (secret.until <= now) return false
          until = secret.until
        }
      }
      grounds.push({ ...ground, version })
    }
    cached.verified = {
      principal: cached.verified.principal,
      grounds,
      ...(until === undefined ? {} : { until }),
    }
    return true
  }
}

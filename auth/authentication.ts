import { Kv4Error } from '../core'
import type { Engine } from '../core'
import { Authenticator } from './authenticator'
import type { Claim } from './authenticator'
import { parseBasicHeader } from './basic-header'
import { parseCredential } from './credential'
import type { Keepers } from './keepers'
import type { Principal } from './principal'
import { isGeneratedSecret } from './secrets'
import { Throttle } from './throttle'
import type { Attempt, ThrottleOptions } from './throttle'
import { VerifyCache } from './verify-cache'
import type { Verified, VerifyCacheOptions } from './verify-cache'

export interface AuthenticationOptions {
  readonly engine: Engine
  readonly keepers: Keepers
  readonly throttle?: ThrottleOptions
  readonly cache?: VerifyCacheOptions
  /** Told of failures that no caller waits for. */
  readonly onBackgroundError: (error: unknown) => void
}

/** The part of a request's headers that is read here. */
export interface CredentialHeaders {
  readonly authorization?: string | undefined
}

export interface Authentication {
  /**
   * Who is asking. Whatever is wrong with the credential, the answer is the same.
   *
   * @param address of the other side, for throttling; undefined where there is none
   * @throws unauthorized
   * @throws too_many_requests, overloaded: with the seconds to wait
   * @throws store_unavailable
   */
  authenticate(headers: CredentialHeaders, address: string | undefined): Promise<Principal>
}

export function createAuthentication(options: AuthenticationOptions): Authentication {
  return new BasicAuthentication(options)
}

class BasicAuthentication implements Authentication {
  readonly #authenticator: Authenticator
  readonly #throttle: Throttle
  readonly #cache: VerifyCache
  /** Verifications under way: requests that arrive together with one new credential have it verified once. */
  readonly #flights = new Map<string, Promise<Principal>>()

  constructor({ engine, keepers, throttle, cache, onBackgroundError }: AuthenticationOptions) {
    this.#authenticator = new Authenticator({ engine, keepers, onBackgroundError })
    this.#throttle = new Throttle(throttle)
    this.#cache = new VerifyCache(engine, cache)
  }

  authenticate({ authorization }: CredentialHeaders, address: string | undefined): Promise<Principal> {
    if (authorization === undefined) return Promise.reject(new Kv4Error('unauthorized'))
    const digest = this.#cache.digest(authorization)
    const known = this.#cache.peek(digest)
    return known === undefined ? this.#identify(digest, authorization, address) : Promise.resolve(known)
  }

  async #identify(digest: string, authorization: string, address: string | undefined): Promise<Principal> {
    return (await this.#cache.get(digest)) ?? this.#verifyOnce(digest, authorization, address)
  }

  #verifyOnce(digest: string, authorization: string, address: string | undefined): Promise<Principal> {
    const key = digest + (address ?? '')
    let flight = this.#flights.get(key)
    if (flight === undefined) {
      flight = this.#verify(digest, authorization, address).finally(() => this.#flights.delete(key))
      this.#flights.set(key, flight)
    }
    return flight
  }

  async #verify(digest: string, authorization: string, address: string | undefined): Promise<Principal> {
    const sent = parseBasicHeader(authorization)
    const credential = sent && parseCredential(sent)
    const claim = credential && this.#authenticator.claim(credential)
    if (claim === undefined) throw new Kv4Error('unauthorized')

    const attempt: Attempt = {
      owner: claim.owner,
      mode: claim.proof.kind,
      ...(claim.proof.kind === 'admin' && { admin: claim.principal.login }),
      address,
      guessable: claim.proof.kind === 'admin' || !isGeneratedSecret(claim.proof.text),
    }
    await this.#throttle.admit(attempt)
    const verified = await this.#judge(claim, attempt)
    if (verified === undefined) {
      await this.#throttle.failed(attempt)
      throw new Kv4Error('unauthorized')
    }
    await this.#throttle.succeeded(attempt)
    this.#cache.set(digest, verified)
    return verified.principal
  }

  async #judge(claim: Claim, attempt: Attempt): Promise<Verified | undefined> {
    try {
      return await this.#authenticator.verify(claim)
    } catch (error) {
      await this.#throttle.abandoned(attempt)
      throw error
    }
  }
}

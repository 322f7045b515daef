import { setTimeout as wait } from 'node:timers/promises'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { Kv4Error } from '../core'
import type { BucketName } from '../core'
import { addressGroup } from './address-group'

export interface ThrottleOptions {
  /** Failures of one address at one account, or at one administrator, before it has to wait. Default 10. */
  readonly perAccountAndAddress?: number
  /** Failures of one address at any accounts. Default 100. */
  readonly perAddress?: number
  /** Seconds in which failures add up, and for which an address is then refused. Default 900. */
  readonly window?: number
  /** Failures at one account, wherever from, before its guessable logins are slowed. Default 20. */
  readonly delayAfter?: number
  /** Milliseconds by which each further failure slows them. Default 100. */
  readonly delayStep?: number
  /** Most that a login is slowed, in milliseconds. Default 2,000. */
  readonly delayMost?: number
}

/** A try to log in, as far as throttling goes. */
export interface Attempt {
  /** Whose secret or administrators are being tried. */
  readonly owner: BucketName
  readonly mode: 'secret' | 'admin'
  /** Of mode `admin`: which administrator. Each counts by himself, so that none is refused for another's failures. */
  readonly admin?: string
  /** As the server knows it; undefined: it has none. */
  readonly address: string | undefined
  /** A text that somebody chose: worth guessing at, unlike a generated secret. */
  readonly guessable: boolean
}

const MAX_DELAYED = 256

function refusal(state: RateLimiterRes): Kv4Error {
  return new Kv4Error('too_many_requests', { retryAfter: Math.max(1, Math.ceil(state.msBeforeNext / 1000)) })
}

/**
 * Slows guessing without giving anybody the means to lock an owner out: an address that fails is refused by itself
 * (at that account, and after many failures anywhere), while failures at an account from everywhere only delay, at most
 * by `delayMost`, and never delay a generated secret. Counts are this node's own and die with it.
 */
export class Throttle {
  readonly #pair: RateLimiterMemory
  readonly #address: RateLimiterMemory
  readonly #account: RateLimiterMemory
  readonly #delay: { readonly after: number; readonly step: number; readonly most: number }
  #delayed = 0

  constructor({
    perAccountAndAddress = 10,
    perAddress = 100,
    window = 900,
    delayAfter = 20,
    delayStep = 100,
    delayMost = 2_000,
  }: ThrottleOptions = {}) {
    this.#pair = new RateLimiterMemory({ keyPrefix: 'pair', points: perAccountAndAddress, duration: window })
    this.#address = new RateLimiterMemory({ keyPrefix: 'address', points: perAddress, duration: window })
    this.#account = new RateLimiterMemory({
      keyPrefix: 'account',
      points: Number.MAX_SAFE_INTEGER,
      duration: window,
    })
    this.#delay = { after: delayAfter, step: delayStep, most: delayMost }
  }

  /**
   * To be called before anything is hashed; counts the attempt as a failure until `succeeded` is told otherwise, so
   * that attempts sent all at once are not all let through.
   * @throws too_many_requests with the seconds to wait, overloaded when too many wait already
   */
  async admit(attempt: Attempt): Promise<void> {
    const group = addressGroup(attempt.address)
    const address = await this.#address.get(group)
    if (address !== null && address.remainingPoints <= 0) throw refusal(address)
    try {
      await this.#pair.consume(pairKey(attempt))
    } catch (state) {
      if (state instanceof RateLimiterRes) throw refusal(state)
      throw state
    }
    if (attempt.guessable) await this.#slow(attempt)
  }

  async succeeded(attempt: Attempt): Promise<void> {
    await this.#pair.delete(pairKey(attempt))
  }

  async failed(attempt: Attempt): Promise<void> {
    await this.#address.penalty(addressGroup(attempt.address), 1)
    await this.#account.penalty(accountKey(attempt), 1)
  }

  /** The attempt came to no verdict: it is not held against anybody. */
  async abandoned(attempt: Attempt): Promise<void> {
    await this.#pair.reward(pairKey(attempt), 1)
  }

  async #slow(attempt: Attempt): Promise<void> {
    const failures = (await this.#account.get(accountKey(attempt)))?.consumedPoints ?? 0
    const ms = Math.min(this.#delay.most, (failures - this.#delay.after) * this.#delay.step)
    if (ms <= 0) return
    if (this.#delayed >= MAX_DELAYED)
      throw new Kv4Error('overloaded', { retryAfter: 1, detail: 'too many delayed logins' })
    this.#delayed++
    try {
      await wait(ms)
    } finally {
      this.#delayed--
    }
  }
}

// No name of any kind has a blank in it.
function accountKey({ owner, mode, admin = '' }: Attempt): string {
  return `${mode} ${owner} ${admin}`
}

function pairKey(attempt: Attempt): string {
  return accountKey(attempt) + ' ' + addressGroup(attempt.address)
}

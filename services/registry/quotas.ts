import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { BucketName, Key, Kv4Error, isJsonObject, addressIn } from '../../core'
import type { Address, Bucket, Engine, Path, Version } from '../../core'
import { DEFAULT_LIMITS } from './limits'
import type { LimitChanges, Limits, Rate, Resource } from './limits'
import { PLACES } from './places'

/** How much of the rate is used. */
export interface Usage extends Rate {
  readonly used: number
  /** Seconds until it is worth trying again; 0: now. */
  readonly replyAfter: number
}

/** How much of one resource an account has, as this node knows. */
interface Tally {
  /** What was there at the last count, and what this node has made and removed since. */
  n: number
  /** By the monotonic clock; `-Infinity`: never. */
  countedAt: number
  /** How many this node has made at all: two counts between which it grew have not seen the same. */
  made: number
  /** What is being made has its place already. */
  readonly making: Set<Promise<unknown>>
}

// A count is this node's own; what other nodes add or remove shows when it is made anew.
const RECOUNT_MS = 10_000
const AT_ONCE = 1_000
const MAX_TALLIES = 10_000

const PLACE_OF = {
  session: PLACES.sessions,
  service: PLACES.services,
  configuration_value: PLACES.configuration,
} as const satisfies Record<Resource, { layer: unknown; path: Path }>

/** Versions are immutable, and the cache hands out the same one until it is replaced. */
const knownLimits = new WeakMap<Version, Limits>()

function limitsOf(version: Version | null | undefined): Limits {
  if (!version) return DEFAULT_LIMITS
  let limits = knownLimits.get(version)
  if (limits === undefined) {
    const changes = (isJsonObject(version.v) ? version.v : {}) as LimitChanges
    limits = {
      resource: { ...DEFAULT_LIMITS.resource, ...changes.resource },
      rate: { ...DEFAULT_LIMITS.rate, ...changes.rate },
    }
    knownLimits.set(version, limits)
  }
  return limits
}

function addressOf(bucket: BucketName): Address {
  return addressIn(PLACES.limits, Key.parse(bucket))
}

/** What an account may have, and how often it may ask. Limits lie in `$sys`; rates are counted per node. */
export class Quotas {
  readonly #system: Bucket
  readonly #tallies = new Map<string, Tally>()
  readonly #limiters = new Map<string, RateLimiterMemory>()

  constructor(
    private readonly engine: Engine,
    /** Buries what has expired in a bucket, before anybody hears that it is full. */
    private readonly look: (bucket: Bucket) => Promise<void>,
  ) {
    this.#system = engine.bucket(BucketName.system)
  }

  /** The same name. @throws bucket_not_found: there is no such account */
  async account(bucket: BucketName): Promise<BucketName> {
    await this.engine.bucket(bucket).cursor()
    return bucket
  }

  async limits(bucket: BucketName): Promise<Limits> {
    return this.#peek(bucket) ?? limitsOf(await this.#system.get(addressOf(bucket)))
  }

  #peek(bucket: BucketName): Limits | undefined {
    const known = this.#system.peek(addressOf(bucket))
    return known === undefined ? undefined : limitsOf(known)
  }

  /** Adds to what was set before. */
  async set(bucket: BucketName, by: string, { resource, rate }: LimitChanges): Promise<Limits> {
    await this.#system.modify(
      addressOf(bucket),
      (current) => {
        const before = (isJsonObject(current?.v) ? current.v : {}) as LimitChanges
        return {
          resource: { ...before.resource, ...resource },
          rate: { ...before.rate, ...rate },
        }
      },
      { by },
    )
    return this.limits(bucket)
  }

  /** Makes one more. @throws limit_reached when there is no room for it beside what is being made at the same time */
  async make<Made>(bucket: Bucket, resource: Resource, work: () => Promise<Made>): Promise<Made> {
    const tally = this.#tally(bucket, resource)
    const limit = (await this.limits(bucket.name)).resource[resource]
    const full = () => tally.n + tally.making.size >= limit
    if (performance.now() - tally.countedAt >= RECOUNT_MS) await this.#count(bucket, resource, tally, false)
    while (full()) {
      // What is being made may come to nothing, or be counted twice.
      await Promise.allSettled(tally.making)
      await this.look(bucket)
      const { made } = tally
      await this.#count(bucket, resource, tally, true)
      if (full() && tally.making.size === 0 && tally.made === made)
        throw new Kv4Error('limit_reached', { fields: { resource, limit } })
    }
    // In the turn that found room: the next one to look finds it taken.
    const making = work()
    tally.making.add(making)
    try {
      const made = await making
      tally.n++
      tally.made++
      return made
    } finally {
      tally.making.delete(making)
    }
  }

  removed(bucket: Bucket, resource: Resource): void {
    this.#tally(bucket, resource).n--
  }

  /** Counts one request. @throws rate_limited with the seconds to wait; it carries the usage */
  async consume(bucket: BucketName): Promise<Usage> {
    const { rate } = this.#peek(bucket) ?? (await this.limits(bucket))
    try {
      return usage(rate, await this.#limiter(rate).consume(bucket))
    } catch (state) {
      if (state instanceof RateLimiterRes) throw new RateExceeded(usage(rate, state))
      throw state
    }
  }

  /** Without counting. */
  async used(bucket: BucketName): Promise<Usage> {
    const { rate } = await this.limits(bucket)
    const state = await this.#limiter(rate).get(bucket)
    return state === null ? { ...rate, used: 0, replyAfter: 0 } : usage(rate, state)
  }

  #limiter({ limit, window }: Rate): RateLimiterMemory {
    const name = `${limit} ${window}`
    let limiter = this.#limiters.get(name)
    if (limiter === undefined) {
      limiter = new RateLimiterMemory({ keyPrefix: 'registry', points: limit, duration: window })
      this.#limiters.set(name, limiter)
    }
    return limiter
  }

  #tally(bucket: Bucket, resource: Resource): Tally {
    const name = `${bucket.name} ${resource}`
    let tally = this.#tallies.get(name)
    if (tally === undefined) {
      if (this.#tallies.size >= MAX_TALLIES) this.#tallies.clear()
      this.#tallies.set(name, (tally = { n: 0, countedAt: -Infinity, made: 0, making: new Set() }))
    }
    return tally
  }

  async #count(bucket: Bucket, resource: Resource, tally: Tally, anew: boolean): Promise<void> {
    const { made } = tally
    let n = 0
    let after: Key | undefined
    do {
      const page = await bucket.keys(PLACE_OF[resource], {
        limit: AT_ONCE,
        consistent: anew,
        ...(after !== undefined && { after }),
      })
      n += page.items.length
      after = page.next
    } while (after !== undefined)
    // Whether it saw what was made meanwhile is not known.
    tally.n = n + tally.made - made
    tally.countedAt = performance.now()
  }
}

/** too_many_requests, with what the headers of the contract say. */
export class RateExceeded extends Kv4Error {
  constructor(readonly usage: Usage) {
    super('too_many_requests', { retryAfter: usage.replyAfter })
  }
}

function usage(rate: Rate, state: RateLimiterRes): Usage {
  const over = state.consumedPoints > rate.limit
  return {
    limit: rate.limit,
    window: rate.window,
    used: Math.min(state.consumedPoints, rate.limit),
    replyAfter: over ? Math.ceil(state.msBeforeNext / 1000) : 0,
  }
}

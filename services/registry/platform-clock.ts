import { extendedDeadline, withOutage } from './outages'
import type { Outage } from './outages'

/** A silence of the process, or a step of the machine's clock, beyond this is an outage. */
const PAUSE_MS = 1_000
const STEP_MS = 500

export interface TimeSources {
  /** Unix ms. Default Date.now. */
  readonly wall?: () => number
  /** Ms that only grow, and go on while the process is stopped. Default performance.now. */
  readonly monotonic?: () => number
}

/**
 * The time by which leases live. It follows the machine's clock forwards and never goes back: steps backwards are not
 * followed, steps forwards and pauses of the process are outages, which no lease has to answer for.
 */
export class PlatformClock {
  readonly #wall: () => number
  readonly #monotonic: () => number
  #at: number
  #mark: number
  #outages: readonly Outage[] = []

  constructor({ wall = Date.now, monotonic = () => performance.now() }: TimeSources = {}) {
    this.#wall = wall
    this.#monotonic = monotonic
    this.#at = wall()
    this.#mark = monotonic()
  }

  /** Unix ms. Has to be called several times a second, since it is its own silence that shows a pause. */
  now(): number {
    const mark = this.#monotonic()
    const elapsed = mark - this.#mark
    const steady = this.#at + elapsed
    const now = Math.max(steady, this.#wall())
    if (elapsed > PAUSE_MS) this.outage({ from: this.#at, to: now })
    else if (now - steady > STEP_MS) this.outage({ from: steady, to: now })
    this.#mark = mark
    return (this.#at = now)
  }

  /** `now()` as it was when it was last asked, a fraction of a second ago. */
  get latest(): number {
    return this.#at
  }

  /** Ms that only grow. */
  monotonic(): number {
    return this.#monotonic()
  }

  /** Goes on from a time that was published before, if that is ahead. */
  follow(published: number): void {
    if (published > this.now()) this.#at = published
  }

  get outages(): readonly Outage[] {
    return this.#outages
  }

  outage(outage: Outage): void {
    this.#outages = withOutage(this.#outages, outage)
  }

  /** The end of a lease that was granted or renewed at `granted` until `deadline`. */
  end(granted: number, deadline: number): number {
    return extendedDeadline(granted, deadline, this.#outages)
  }
}

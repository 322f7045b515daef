import { isKv4Error } from '../../core'
import type { Bucket, BucketName, Engine } from '../../core'
import { CHECK_AFTER_MS } from './configuration'
import type { Configuration } from './configuration'
import type { Leases } from './leases'
import type { PlatformClock } from './platform-clock'
import type { Pulse } from './pulse'
import type { Timer, Timers } from './timers'

const TICK_MS = 250
/** A heartbeat that is late by less than this is in time, if nobody has looked meanwhile: contract §7. */
export const GRACE_MS = 1_000
const AT_ONCE = 128
const ABSENT_MS = 60_000
const FIRST_ABSENT_MS = 1_000
const ABSENT_FACTOR = 4
// A debt is younger while its creator is still at it.
const DEBT_MS = 5_000

/**
 * Buries what nobody looks at: the leading node goes over the leases whose time has come, and over what a crash has
 * left undone.
 */
export class Sweeper {
  #timer: NodeJS.Timeout | undefined
  #sweeping: Promise<void> | undefined
  #stopped = false

  constructor(
    private readonly engine: Engine,
    private readonly clock: PlatformClock,
    private readonly pulse: Pulse,
    private readonly timers: Timers,
    private readonly leases: Leases,
    private readonly configuration: Configuration,
    private readonly onBackgroundError: (error: unknown) => void,
  ) {}

  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#sweeping
  }

  /** Buries what has expired in a bucket, to the millisecond: what is read next has no dead in it. */
  async look(bucket: Bucket): Promise<void> {
    await this.pulse.ready()
    await this.#goOver(bucket, this.timers.due(bucket.name, this.clock.now()), 0)
  }

  #tick(): void {
    this.clock.now()
    if (this.#sweeping !== undefined) return
    this.#sweeping = this.#sweep()
      .catch((error: unknown) => {
        // Nothing is decided while the store is away; the pulse sees to it that nobody answers for that.
        if (!isKv4Error(error, 'store_unavailable')) this.onBackgroundError(error)
      })
      .finally(() => (this.#sweeping = undefined))
  }

  async #sweep(): Promise<void> {
    await this.pulse.tick()
    const failures: unknown[] = []
    for (const name of this.timers.buckets()) {
      if (this.#stopped || !this.pulse.leads) break
      const due = this.timers.due(name, this.clock.now() - GRACE_MS)
      if (due.length === 0) continue
      try {
        await this.#goOver(this.engine.bucket(name), due, GRACE_MS)
      } catch (error) {
        // What is wrong with one account is no reason to keep the dead of others alive.
        if (isKv4Error(error, 'bucket_not_found')) await this.timers.dropped(name)
        else failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  async #goOver(bucket: Bucket, timers: readonly Timer[], grace: number): Promise<void> {
    for (let i = 0; i < timers.length && !this.#stopped; i += AT_ONCE) {
      const some = timers.slice(i, i + AT_ONCE)
      await Promise.all(some.map((timer) => this.#check(bucket, timer, grace)))
      // The pulse must not wait for a long list.
      if (grace > 0 && i + AT_ONCE < timers.length) await this.pulse.tick()
    }
  }

  /** One at a time for each, so that looks that overlap do the work once and all wait for its end. */
  async #check(bucket: Bucket, timer: Timer, grace: number): Promise<void> {
    while (timer.checking !== undefined) await timer.checking
    if (timer.due > this.clock.now() - grace) return
    timer.asked = Infinity
    timer.checking = this.#examine(bucket, timer, grace).then((due) => {
      timer.due = Math.min(due, timer.asked)
    })
    try {
      await timer.checking
    } finally {
      delete timer.checking
    }
  }

  /** Unix ms of the next look that is worth while. */
  async #examine(bucket: Bucket, timer: Timer, grace: number): Promise<number> {
    const { name } = bucket
    switch (timer.kind) {
      case 'configuration':
        return this.#checkConfiguration(bucket, timer)
      case 'service': {
        const held = await this.leases.service(bucket, timer.id, { grace })
        if (held === undefined) return this.#absent(name, timer)
        const { stored, version, due } = held
        timer.absences = 0
        if (stored.owes === undefined) return due
        if (grace === 0 || version.at >= Date.now() - DEBT_MS)
          return Math.min(due, this.clock.now() + DEBT_MS)
        await this.leases.announce(bucket, timer.id, stored)
        return due
      }
      case 'session': {
        const held = await this.leases.session(bucket, timer.id, { grace })
        if (held === undefined) return this.#absent(name, timer)
        timer.absences = 0
        return held.due
      }
      default:
        return timer.kind satisfies never
    }
  }

  async #checkConfiguration(bucket: Bucket, timer: Timer): Promise<number> {
    const start = Date.now()
    await this.configuration.settleAll(bucket)
    this.timers.settled(timer, start)
    await this.timers.remove(bucket.name, timer)
    return this.clock.now() + CHECK_AFTER_MS
  }

  /** Gone, or still on its way: whoever makes it writes the timer first, and another node hears of that at once. */
  async #absent(bucket: BucketName, timer: Timer): Promise<number> {
    await this.timers.remove(bucket, timer)
    return this.clock.now() + Math.min(ABSENT_MS, FIRST_ABSENT_MS * ABSENT_FACTOR ** timer.absences++)
  }
}

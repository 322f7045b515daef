import { randomUUID } from 'node:crypto'
import { BucketName, isJsonObject, isKv4Error } from '../../core'
import type { Bucket, Engine, Json, Version } from '../../core'
import type { Outage } from './outages'
import { PULSE } from './places'
import type { PlatformClock } from './platform-clock'

/** How often the leading node writes its pulse, and how long another one waits before it takes over. */
const BEAT_MS = 1_000
const TAKEOVER_MS = 5_000
/** Without a word from the store for so long, its silence counts as an outage. */
const SILENCE_MS = 3_000
/** A pulse that is further ahead of this machine's clock was written by a clock gone wrong. */
const MAX_AHEAD_MS = 3600_000
const BY = '$sys'

interface StoredPulse {
  readonly node: string
  /** Of the process; empty: nobody leads. */
  readonly holder: string
  /** Unix ms of the platform's clock. */
  readonly at: number
  readonly outages: readonly Outage[]
}

function storedPulse(version: Version | undefined): StoredPulse | undefined {
  return isJsonObject(version?.v) ? (version.v as unknown as StoredPulse) : undefined
}

/**
 * One entry in `$sys` that the leading node rewrites every second: it makes that node the one that sweeps, and it is
 * how the platform knows afterwards when it was out – the process stopped, the store away, every node down – so that no
 * lease has to answer for it. Whoever finds it still for five seconds takes over; a node that comes back under the same
 * name, or after an orderly end, at once.
 */
export class Pulse {
  readonly #bucket: Bucket
  readonly #holder = randomUUID()
  #version: Version | undefined
  #leads = false
  /** By the monotonic clock: the last time that the pulse was seen to change, and that the store answered. */
  #changedAt = 0
  #heardAt = 0
  /** By the platform's clock: the same answer of the store. */
  #heard = 0
  #startedAt = 0
  #beating: Promise<void> | undefined

  constructor(
    engine: Engine,
    private readonly node: string,
    private readonly clock: PlatformClock,
  ) {
    this.#bucket = engine.bucket(BucketName.system)
  }

  /** This node sweeps. */
  get leads(): boolean {
    return this.#leads && this.clock.monotonic() - this.#heardAt < SILENCE_MS
  }

  async start(): Promise<void> {
    const version = await this.#bucket.get(PULSE, { consistent: true })
    const pulse = storedPulse(version)
    if (pulse !== undefined) {
      this.#adopt(pulse)
      if (pulse.at < this.clock.now() + MAX_AHEAD_MS) this.clock.follow(pulse.at)
    }
    this.#version = version
    this.#startedAt = this.#heard = this.clock.now()
    this.#changedAt = this.#heardAt = this.clock.monotonic()
    if (pulse === undefined || pulse.holder === '' || pulse.node === this.node) await this.#takeOver()
  }

  /** To be called a few times a second; does at most one call of the store. @throws store_unavailable */
  async tick(): Promise<void> {
    this.clock.now()
    if (this.#leads && this.clock.monotonic() - this.#heardAt < BEAT_MS) return
    await this.#once()
  }

  /**
   * Resolves when every outage up to now is known: nobody may be declared dead before.
   * @throws store_unavailable
   */
  async ready(): Promise<void> {
    this.clock.now()
    if (this.clock.monotonic() - this.#heardAt >= SILENCE_MS) await this.#once()
  }

  /** Lets another node take over at once. */
  async stop(): Promise<void> {
    await this.#beating?.catch(() => undefined)
    if (!this.#leads) return
    this.#leads = false
    await this.#write('')
  }

  #once(): Promise<void> {
    return (this.#beating ??= (this.#leads ? this.#beat() : this.#observe()).finally(
      () => (this.#beating = undefined),
    ))
  }

  async #beat(): Promise<void> {
    this.#noteSilence()
    if (!(await this.#write(this.#holder))) {
      this.#leads = false
      await this.#observe()
    }
  }

  async #observe(): Promise<void> {
    const version = await this.#bucket.get(PULSE, { consistent: this.#stale })
    this.#noteSilence()
    const mark = this.clock.monotonic()
    const pulse = storedPulse(version)
    if (version?.n !== this.#version?.n) {
      this.#version = version
      this.#changedAt = mark
      if (pulse !== undefined) {
        this.#adopt(pulse)
        if (pulse.at < this.clock.now() + MAX_AHEAD_MS) this.clock.follow(pulse.at)
      }
    }
    this.#heardAt = mark
    this.#heard = this.clock.now()
    if (pulse === undefined || pulse.holder === '' || mark - this.#changedAt >= TAKEOVER_MS)
      await this.#takeOver()
  }

  get #stale(): boolean {
    return this.clock.monotonic() - this.#changedAt >= 2 * BEAT_MS
  }

  async #takeOver(): Promise<void> {
    const last = storedPulse(this.#version)
    // Nobody was here between the last beat and this node's start.
    if (last !== undefined && last.at < this.#startedAt && this.#startedAt - last.at > BEAT_MS)
      this.clock.outage({ from: last.at, to: this.clock.now() })
    this.#leads = await this.#write(this.#holder)
  }

  /** false: another node was faster. */
  async #write(holder: string): Promise<boolean> {
    const pulse: StoredPulse = {
      node: this.node,
      holder,
      at: this.clock.now(),
      outages: this.clock.outages,
    }
    try {
      this.#version = await this.#bucket.put(PULSE, pulse as unknown as Json, {
        by: BY,
        expect: this.#version === undefined ? 'absent' : { n: this.#version.n },
      })
    } catch (error) {
      if (!isKv4Error(error, 'version_conflict')) throw error
      return false
    }
    this.#noteSilence()
    this.#changedAt = this.#heardAt = this.clock.monotonic()
    this.#heard = pulse.at
    return true
  }

  #noteSilence(): void {
    const now = this.clock.now()
    if (now - this.#heard > SILENCE_MS) this.clock.outage({ from: this.#heard, to: now })
  }

  #adopt({ outages }: StoredPulse): void {
    for (const outage of outages) this.clock.outage(outage)
  }
}

import type { Downstream } from './downstream'
import type { LastTier } from './last-tier'
import type { Session } from './session'
import type { TierLog } from './tier-log'

const BACKLOG = 10_000
const PARALLEL = 16
const ATTEMPTS = 5
const FIRST_PAUSE_MS = 250

/** Hands what leaves the last cache to the last tier, in the background, with a bounded backlog. */
export class LastDownstream implements Downstream {
  readonly #waiting = new Map<string, Session>()
  readonly #failures = new WeakMap<Session, number>()
  #working: Promise<void> | undefined
  #closing = false

  constructor(
    private readonly tier: LastTier,
    private readonly log: TierLog,
  ) {}

  changed(session: Session): void {
    // Only what leaves the caches comes here; but what was destroyed must not be found here any more.
    if (session.value === null) this.out([session])
  }

  out(sessions: readonly Session[]): boolean {
    for (const session of sessions) {
      const known = this.#waiting.get(session.key)
      if (known !== undefined && known.at > session.at) continue
      this.#waiting.set(session.key, session)
    }
    let dropped = 0
    while (this.#waiting.size > BACKLOG) {
      this.#waiting.delete(this.#waiting.keys().next().value!)
      dropped++
    }
    if (dropped > 0) this.log('warn', 'KV4 takes sessions too slowly; the oldest were dropped', { dropped })
    if (this.#waiting.size > 0) this.#working ??= this.#work()
    return true
  }

  async find(key: string): Promise<Session | undefined> {
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) return waiting.value === null ? undefined : waiting
    try {
      return await this.tier.find(key)
    } catch (error) {
      this.log('warn', 'KV4 could not be asked', { error: String(error) })
      return undefined
    }
  }

  async close(): Promise<void> {
    this.#closing = true
    await this.#working
  }

  async #work(): Promise<void> {
    let pause = FIRST_PAUSE_MS
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting.values()].slice(0, PARALLEL)
      const results = await Promise.allSettled(batch.map((session) => this.tier.keep(session)))
      let error: unknown
      results.forEach((result, i) => {
        const session = batch[i]!
        const failures = (this.#failures.get(session) ?? 0) + (result.status === 'rejected' ? 1 : 0)
        this.#failures.set(session, failures)
        if (result.status === 'rejected') {
          error = result.reason
          if (failures < ATTEMPTS && !this.#closing) return
          this.log('warn', 'KV4 did not take a session', { error: String(result.reason) })
        }
        // Not taken away when a newer one has come meanwhile.
        if (this.#waiting.get(session.key) === session) this.#waiting.delete(session.key)
      })
      if (error === undefined) pause = FIRST_PAUSE_MS
      else if (!this.#closing) {
        await new Promise((resolve) => setTimeout(resolve, pause).unref())
        pause *= 2
      }
    }
    this.#working = undefined
  }
}

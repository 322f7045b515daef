import type { Engine } from '../../core'
import { activeHosts } from '../../services/active-hosts'
import type { ActiveHost } from '../../services/active-hosts'

/** A host that refused a connection is not asked for so long, twice as long each time that it refuses again. */
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 15_000

interface Known {
  /** Calls of this node that it has not answered yet. */
  inFlight: number
  /** Unix ms. */
  pausedUntil: number
  pauseMs: number
  /** Number of its entry when it refused: a host that has refreshed since is asked again. */
  refusedAt: number
}

/** Which host of a service gets the next call, as this node sees them. */
export class HostChoice {
  readonly #hosts = new Map<string, Known>()

  constructor(
    private readonly engine: Engine,
    private readonly clock: () => number = Date.now,
  ) {}

  /**
   * The least loaded one that lives, of equals the one with fewer calls under way.
   * @param tried keys of those that are out of the question
   */
  async next(prefix: string, tried: ReadonlySet<string>): Promise<ActiveHost | undefined> {
    const all = await activeHosts(this.engine)
    if (this.#hosts.size > 2 * all.length + 16) this.#forget(all)
    let best: ActiveHost | undefined
    let order: readonly number[] = []
    for (const host of all) {
      if (host.prefix !== prefix || tried.has(host.key) || this.#isPaused(host)) continue
      const mine = [host.load, this.#hosts.get(host.key)?.inFlight ?? 0, Math.random()]
      if (best === undefined || isLess(mine, order)) {
        best = host
        order = mine
      }
    }
    return best
  }

  began({ key }: ActiveHost): void {
    this.#of(key).inFlight++
  }

  ended({ key }: ActiveHost): void {
    this.#of(key).inFlight--
  }

  /** It took a connection. */
  answered({ key }: ActiveHost): void {
    const known = this.#of(key)
    known.pausedUntil = 0
    known.pauseMs = 0
  }

  /** It did not take a connection. */
  refused({ key, version }: ActiveHost): void {
    const known = this.#of(key)
    known.pauseMs = Math.min(LONGEST_PAUSE_MS, known.pauseMs === 0 ? FIRST_PAUSE_MS : 2 * known.pauseMs)
    known.pausedUntil = this.clock() + known.pauseMs
    known.refusedAt = version.n
  }

  #isPaused({ key, version }: ActiveHost): boolean {
    const known = this.#hosts.get(key)
    return known !== undefined && known.pausedUntil > this.clock() && known.refusedAt === version.n
  }

  #of(key: string): Known {
    let known = this.#hosts.get(key)
    if (known === undefined)
      this.#hosts.set(key, (known = { inFlight: 0, pausedUntil: 0, pauseMs: 0, refusedAt: 0 }))
    return known
  }

  #forget(all: readonly ActiveHost[]): void {
    const live = new Set<string>(all.map(({ key }) => key))
    for (const [key, { inFlight }] of this.#hosts)
      if (!live.has(key) && inFlight === 0) this.#hosts.delete(key)
  }
}

/** In the order of the first difference. */
function isLess(a: readonly number[], b: readonly number[]): boolean {
  const i = a.findIndex((value, i) => value !== b[i])
  return i >= 0 && a[i]! < b[i]!
}

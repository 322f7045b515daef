/** How many may be sent to at once, over all accounts and of one. */
export interface SlotLimits {
  readonly all: number
  readonly perAccount: number
  /** With those that are the only one of their hook, which may be beyond the others. Absent: without end. */
  readonly most?: number
}

interface Waiting {
  readonly account: string
  readonly hook: string
  readonly start: () => void
}

/**
 * Lets so many go on at once; of the others next is the one whose account has the fewest, first come first served. A hook of
 * which none goes on waits for no other: however many slow endpoints there are, each has a call under way.
 */
export class Slots {
  #taken = 0
  readonly #byAccount = new Map<string, number>()
  readonly #byHook = new Map<string, number>()
  readonly #waiting = new Set<Waiting>()

  constructor(private readonly limits: SlotLimits) {}

  /** Resolves with what gives the slot back; undefined: the signal fired before there was one. */
  async take(account: string, hook: string, signal: AbortSignal): Promise<(() => void) | undefined> {
    if (signal.aborted) return undefined
    if (!this.#isFree(account, hook)) {
      const started = await new Promise<boolean>((resolve) => {
        const waiting: Waiting = {
          account,
          hook,
          start: () => {
            signal.removeEventListener('abort', giveUp)
            resolve(true)
          },
        }
        const giveUp = () => {
          if (this.#waiting.delete(waiting)) resolve(false)
        }
        signal.addEventListener('abort', giveUp, { once: true })
        this.#waiting.add(waiting)
      })
      if (!started) return undefined
    } else this.#count(account, hook, 1)
    let isGiven = false
    return () => {
      if (isGiven) return
      isGiven = true
      this.#count(account, hook, -1)
      this.#next()
    }
  }

  #isFree(account: string, hook: string): boolean {
    const { all, perAccount, most = Infinity } = this.limits
    if (!this.#byHook.has(hook)) return this.#taken < most
    return this.#taken < all && this.#of(account) < perAccount
  }

  #count(account: string, hook: string, by: 1 | -1): void {
    this.#taken += by
    add(this.#byAccount, account, by)
    add(this.#byHook, hook, by)
  }

  #of(account: string): number {
    return this.#byAccount.get(account) ?? 0
  }

  #next(): void {
    for (;;) {
      let next: Waiting | undefined
      for (const waiting of this.#waiting)
        if (
          this.#isFree(waiting.account, waiting.hook) &&
          (next === undefined || this.#of(waiting.account) < this.#of(next.account))
        )
          next = waiting
      if (next === undefined) return
      this.#waiting.delete(next)
      this.#count(next.account, next.hook, 1)
      next.start()
    }
  }
}

function add(counts: Map<string, number>, name: string, by: 1 | -1): void {
  const count = (counts.get(name) ?? 0) + by
  if (count === 0) counts.delete(name)
  else counts.set(name, count)
}

/** How many may be sent to at once, over all accounts and of one. */
export interface SlotLimits {
  readonly all: number
  readonly perAccount: number
}

interface Waiting {
  readonly account: string
  readonly start: () => void
}

/** Lets so many go on at once; the others wait, first come first served but for those whose account is at its limit. */
export class Slots {
  #taken = 0
  readonly #byAccount = new Map<string, number>()
  readonly #waiting = new Set<Waiting>()

  constructor(private readonly limits: SlotLimits) {}

  /** Resolves with what gives the slot back; undefined: the signal fired before there was one. */
  async take(account: string, signal: AbortSignal): Promise<(() => void) | undefined> {
    if (signal.aborted) return undefined
    if (!this.#isFree(account)) {
      const started = await new Promise<boolean>((resolve) => {
        const waiting: Waiting = {
          account,
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
    } else this.#count(account, 1)
    let isGiven = false
    return () => {
      if (isGiven) return
      isGiven = true
      this.#count(account, -1)
      this.#next()
    }
  }

  #isFree(account: string): boolean {
    return this.#taken < this.limits.all && (this.#byAccount.get(account) ?? 0) < this.limits.perAccount
  }

  #count(account: string, by: 1 | -1): void {
    this.#taken += by
    const count = (this.#byAccount.get(account) ?? 0) + by
    if (count === 0) this.#byAccount.delete(account)
    else this.#byAccount.set(account, count)
  }

  #next(): void {
    for (const waiting of this.#waiting) {
      if (this.#taken >= this.limits.all) return
      if (!this.#isFree(waiting.account)) continue
      this.#waiting.delete(waiting)
      this.#count(waiting.account, 1)
      waiting.start()
    }
  }
}

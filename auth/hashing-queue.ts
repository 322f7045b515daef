import { Kv4Error } from '../core'

export interface HashingQueueOptions {
  /** Hashes under way at once. Default 2: the other threads of Node's pool stay free for the disk. */
  readonly concurrency?: number
  /** Callers that may wait for their turn. Default 64. */
  readonly waiting?: number
}

/** Lets few slow hashes run at a time and few callers wait, so that logging in cannot take all of the CPU. */
export class HashingQueue {
  readonly #concurrency: number
  readonly #maxWaiting: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor({ concurrency = 2, waiting = 64 }: HashingQueueOptions = {}) {
    this.#concurrency = concurrency
    this.#maxWaiting = waiting
  }

  /** @throws overloaded when too many wait already; whatever `work` throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#concurrency) this.#running++
    else {
      if (this.#waiting.length >= this.#maxWaiting)
        throw new Kv4Error('overloaded', { retryAfter: 1, detail: 'the hashing queue is full' })
      // The slot is handed over, so #running stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }
}

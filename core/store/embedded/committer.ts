import { Kv4Error, isKv4Error } from '../../errors'
import type { LoggedEnvironment } from './logged-environment'
import { Pending } from './pending'

interface Job {
  readonly weight: number
  plan(pending: Pending): void
  settle(): void
  fail(error: unknown): void
}

export interface CommitterOptions {
  /** Told once, with the system's error, when the disk failed or stalled. Nothing is acknowledged from then on. */
  readonly onFatal: (error: Error) => void
}

// Bounds on one batch, so that what waits behind it does not wait for long.
const MAX_WEIGHT = 1024 * 1024

/**
 * Group commit for the whole store: one batch is on its way to disk at a time, and what is submitted
 * meanwhile goes with the next one. Whatever was submitted in one turn of the event loop goes together.
 */
export class Committer {
  #queue: Job[] = []
  #running: Promise<void> | undefined
  #failure: Error | undefined
  #closed = false

  constructor(
    private readonly environment: LoggedEnvironment,
    private readonly options: CommitterOptions,
  ) {}

  /**
   * Calls `plan` when its turn comes, with all that was planned before it in view, and resolves with what it returned
   * once that is on disk. `plan` may refuse by throwing a Kv4Error before it has changed anything.
   * `weight`: about the bytes that it writes.
   * @throws store_unavailable when the disk failed: the writes may have happened or not
   */
  submit<T>(weight: number, plan: (pending: Pending) => T): Promise<T> {
    this.check()
    return new Promise<T>((resolve, reject) => {
      let result: T
      this.#queue.push({
        weight,
        plan: (pending) => (result = plan(pending)),
        settle: () => resolve(result),
        fail: reject,
      })
      this.#running ??= this.#run()
    })
  }

  /** @throws store_unavailable after a failure or `close` */
  check(): void {
    if (this.#failure !== undefined)
      throw new Kv4Error('store_unavailable', { detail: this.#failure.message, cause: this.#failure })
    if (this.#closed) throw new Kv4Error('store_unavailable', { detail: 'the store is closed' })
  }

  /** Waits for what was submitted; refuses what comes after. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      // Everybody who was woken by the last commit gets to submit before the next one starts.
      await new Promise((resolve) => setImmediate(resolve))
      const jobs = this.#take()
      try {
        await this.#commit(jobs)
      } catch (error) {
        this.fail(error as Error, jobs)
        break
      }
    }
    this.#running = undefined
  }

  #take(): Job[] {
    let weight = 0
    let count = 0
    while (count < this.#queue.length && weight < MAX_WEIGHT) weight += this.#queue[count++]!.weight
    return this.#queue.splice(0, count)
  }

  async #commit(jobs: readonly Job[]): Promise<void> {
    const pending = new Pending(this.environment)
    const planned: Job[] = []
    for (const job of jobs) {
      try {
        job.plan(pending)
        planned.push(job)
      } catch (error) {
        // Anything else may have planned a part of a write.
        if (!isKv4Error(error)) throw error
        job.fail(error)
      }
    }
    if (!pending.empty) await this.environment.write(pending.writes())
    for (const job of planned) job.settle()
  }

  /** Nothing is taken any more: the disk failed. */
  fail(error: Error, jobs: readonly Job[] = []): void {
    const first = this.#failure === undefined
    this.#failure ??= error
    try {
      // First of all: whoever ends the process here has acknowledged nothing.
      if (first) this.options.onFatal(error)
    } finally {
      const waiting = [...jobs, ...this.#queue]
      this.#queue = []
      const unavailable = new Kv4Error('store_unavailable', { detail: error.message, cause: error })
      for (const job of waiting) job.fail(unavailable)
    }
  }
}

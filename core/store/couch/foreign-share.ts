const WINDOW_MS = 10_000
/** Documents of others in a window, from which on it counts … */
const MANY = 1_000
/** … where they are this part of all: with fewer it costs less to ask for them. */
const PART = 1 / 4
/** More than one, so that catching up after an absence does not count. */
const WINDOWS = 2

/** Whether others write a large part of what a feed tells, for long enough. */
export class ForeignShare {
  #began: number
  #rows = 0
  #foreign = 0
  #windows = 0

  constructor(private readonly clock: () => number = () => performance.now()) {
    this.#began = clock()
  }

  saw(rows: number, foreign: number): void {
    this.#rows += rows
    this.#foreign += foreign
    const now = this.clock()
    if (now - this.#began < WINDOW_MS) return
    this.#windows = this.#foreign >= MANY && this.#foreign >= this.#rows * PART ? this.#windows + 1 : 0
    this.#began = now
    this.#rows = this.#foreign = 0
  }

  get large(): boolean {
    return this.#windows >= WINDOWS
  }
}

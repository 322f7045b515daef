/**
 * Work on one thing after the other, in this process: what would get into each other's way if it were done at once, as a
 * compare-and-set of hundreds that all saw the same version. Different things do not wait for each other.
 */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** @param thing its name */
  async take<Result>(thing: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(thing)
    const turn = before === undefined ? work() : before.then(work)
    // The next one waits for the end, however it came.
    const end = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(thing, end)
    try {
      return await turn
    } finally {
      if (this.#last.get(thing) === end) this.#last.delete(thing)
    }
  }
}

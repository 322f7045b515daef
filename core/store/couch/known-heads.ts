/** What this node last saw of an address. `n` only grows; `rev` is of a current entry. */
export interface KnownHead {
  readonly n: number
  readonly rev?: string
}

// Ids of 100 characters are the common case; a hostile one has 5,000.
const MOST_CHARACTERS = 128 * 1024

/**
 * The heads that were lately read or written, least recently used first out, so that a write needs no look before it.
 * Never trusted for more than a guess: CouchDB refuses what is built on an old one.
 */
export class KnownHeads {
  readonly #heads = new Map<string, KnownHead>()
  #characters = 0

  get(id: string): KnownHead | undefined {
    const head = this.#heads.get(id)
    if (head !== undefined) {
      this.#heads.delete(id)
      this.#heads.set(id, head)
    }
    return head
  }

  set(id: string, head: KnownHead): void {
    this.forget(id)
    this.#heads.set(id, head)
    this.#characters += id.length
    for (const oldest of this.#heads.keys()) {
      if (this.#characters <= MOST_CHARACTERS) break
      this.forget(oldest)
    }
  }

  forget(id: string): void {
    if (this.#heads.delete(id)) this.#characters -= id.length
  }

  clear(): void {
    this.#heads.clear()
    this.#characters = 0
  }
}

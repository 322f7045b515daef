/** What this node last saw of an address. `n` only grows; `rev` is of a current entry. */
export interface KnownHead {
  readonly n: number
  readonly rev?: string
}

/** Counts the characters of the ids that all buckets of a store remember. */
export interface HeadsBudget {
  characters: number
}

// An id of the common case has some 40 characters, and takes some 150 bytes with its head; a hostile one has 5,000.
const MOST_TOGETHER = 16 * 1024 * 1024
const MOST_OF_BUCKET = 8 * 1024 * 1024
/** What a bucket may have whatever the others have. */
const LEAST_OF_BUCKET = 128 * 1024

/**
 * The heads that were lately read or written, so that a write needs no look before it. Never trusted for more than a
 * guess: CouchDB refuses what is built on an old one. Two generations, as in the cache: what is used moves into the young
 * one, and when that is full the old one goes.
 */
export class KnownHeads {
  #young = new Map<string, KnownHead>()
  #old = new Map<string, KnownHead>()
  #youngCharacters = 0
  #oldCharacters = 0

  constructor(private readonly budget: HeadsBudget) {}

  get(id: string): KnownHead | undefined {
    const young = this.#young.get(id)
    if (young !== undefined) return young
    const old = this.#old.get(id)
    if (old !== undefined) this.set(id, old)
    return old
  }

  set(id: string, head: KnownHead): void {
    if (!this.#young.has(id)) {
      this.#youngCharacters += id.length
      this.budget.characters += id.length
    }
    this.#young.set(id, head)
    const most = this.budget.characters > MOST_TOGETHER ? LEAST_OF_BUCKET : MOST_OF_BUCKET
    if (this.#youngCharacters > most / 2) this.#age()
  }

  forget(id: string): void {
    if (this.#young.delete(id)) this.#count(-id.length, 0)
    if (this.#old.delete(id)) this.#count(0, -id.length)
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
    this.#count(-this.#youngCharacters, -this.#oldCharacters)
  }

  #age(): void {
    this.budget.characters -= this.#oldCharacters
    this.#old = this.#young
    this.#oldCharacters = this.#youngCharacters
    this.#young = new Map()
    this.#youngCharacters = 0
  }

  #count(young: number, old: number): void {
    this.#youngCharacters += young
    this.#oldCharacters += old
    this.budget.characters += young + old
  }
}

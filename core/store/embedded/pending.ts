import type { Reader, Writes } from './environment'

/**
 * What the next LMDB transaction will write, seen by the writes that are planned into it later: each sees those
 * before it, and a record that many of them change (a count, a rollup) is written once.
 */
export class Pending {
  readonly #changes = new Map<string, readonly [Buffer, Buffer | undefined]>()
  readonly #appended: (readonly [Buffer, Buffer])[] = []
  /** The version numbers that were given out, by address key: several commits of one address may go together. */
  readonly latest = new Map<string, number>()
  /** Buckets whose old tombstones were looked after. */
  readonly forgetting = new Set<number>()

  constructor(readonly reader: Reader) {}

  get(key: Buffer): Buffer | undefined {
    const change = this.#changes.get(key.toString('latin1'))
    return change === undefined ? this.reader.get(key) : change[1]
  }

  put(key: Buffer, value: Buffer): void {
    this.#changes.set(key.toString('latin1'), [key, value])
  }

  remove(key: Buffer): void {
    this.#changes.set(key.toString('latin1'), [key, undefined])
  }

  /** For a new record that nothing reads within this transaction. */
  append(key: Buffer, value: Buffer): void {
    this.#appended.push([key, value])
  }

  get empty(): boolean {
    return this.#changes.size === 0 && this.#appended.length === 0
  }

  *writes(): Writes {
    yield* this.#appended
    yield* this.#changes.values()
  }
}

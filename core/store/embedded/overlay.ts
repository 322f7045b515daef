import BTree from 'sorted-btree'
import type { Batch } from './log-file'

/** A record that is in the log and not yet in the environment; without a value it is removed. */
export interface Logged {
  readonly key: Buffer
  readonly value: Buffer | undefined
  readonly seq: number
}

/**
 * What is in the log and not yet in the environment. Found by key at once; in order only when somebody asks for it in
 * order, since who only writes never does.
 */
export class Overlay {
  readonly #records = new Map<string, Logged>()
  readonly #order = new BTree<string, true>(undefined, inBytes)
  /** Keys that are not in `#order` yet. Some may have left `#records` again. */
  #unordered: string[] = []

  get empty(): boolean {
    return this.#records.size === 0
  }

  get(key: Buffer): Logged | undefined {
    return this.#records.size === 0 ? undefined : this.#records.get(nameOf(key))
  }

  add({ seq, writes }: Batch): void {
    for (const [key, value] of writes) {
      const name = nameOf(key)
      if (!this.#records.has(name)) this.#unordered.push(name)
      this.#records.set(name, { key, value, seq })
    }
  }

  /** Takes out what of a batch no batch after `upTo` has written again. */
  remove({ writes }: Batch, upTo: number): void {
    for (const [key] of writes) {
      const name = nameOf(key)
      const record = this.#records.get(name)
      if (record === undefined || record.seq > upTo) continue
      this.#records.delete(name)
      if (this.#order.size > 0) this.#order.delete(name)
    }
    if (this.#records.size === 0) this.#unordered = []
    else if (this.#unordered.length > 2 * this.#records.size + 1000)
      this.#unordered = this.#unordered.filter((name) => this.#records.has(name))
  }

  /** The first record at this key or behind it. */
  from(key: Buffer): Logged | undefined {
    if (this.#records.size === 0) return undefined
    const name = nameOf(key)
    return this.#records.get(name) ?? this.#at(this.#ordered().nextHigherKey(name))
  }

  after(key: Buffer): Logged | undefined {
    return this.#at(this.#ordered().nextHigherKey(nameOf(key)))
  }

  /** The last record in front of this key. */
  before(key: Buffer): Logged | undefined {
    if (this.#records.size === 0) return undefined
    return this.#at(this.#ordered().nextLowerKey(nameOf(key)))
  }

  #at(name: string | undefined): Logged | undefined {
    return name === undefined ? undefined : this.#records.get(name)
  }

  #ordered(): BTree<string, true> {
    for (const name of this.#unordered) if (this.#records.has(name)) this.#order.set(name, true)
    this.#unordered = []
    return this.#order
  }
}

/** Character order of these texts is byte order of the keys. */
function nameOf(key: Buffer): string {
  return key.toString('latin1')
}

function inBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

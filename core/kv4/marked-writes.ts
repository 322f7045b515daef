import type { Address } from './address'
import { addressId } from './address'
import type { WriteMark } from './api'
import type { OpenBucket } from './open-bucket'
import type { Version } from './version'

const AT_ONCE = 200

/**
 * The writes of one attempt at a request that may be carried out more than once. Each version that it writes carries
 * the mark, in the same record, so whoever finds the version knows that the write has happened: there is no moment at
 * which one is stored and the other is not.
 *
 * Before a marked write the versions since the first attempt are looked through; one that carries the mark, and that
 * this attempt has neither written nor found before, is the write's result. Marked writes are conditional on the head
 * that was looked at, so an attempt that is slow and one that takes over from it cannot both write.
 */
export class MarkedWrites {
  readonly #known = new Map<string, Set<number>>()
  #samples = 0

  constructor(private readonly mark: WriteMark) {}

  get id(): string {
    return this.mark.id
  }

  /** Nothing can have been written under the mark yet, but by others once this attempt has begun. */
  get first(): boolean {
    return this.mark.first
  }

  /** The time and the id of the next sample: a sample that is there already is not counted again. */
  nextSample(): { readonly at: number; readonly id: string } {
    return { at: this.mark.startedAt, id: `${this.id}-${this.#samples++}` }
  }

  /** The version that an earlier attempt has written; of several the oldest. Behind a current entry's last there are none. */
  async find(
    bucket: OpenBucket,
    address: Address,
    kind: 'versioned' | 'current',
    head: Version | undefined,
  ): Promise<Version | undefined> {
    let found: Version | undefined
    let page = head === undefined ? [] : [head]
    for (;;) {
      for (const version of page) {
        if (version.at < this.mark.since) return this.#take(address, found)
        if (version.mark === this.id && !this.#isKnown(address, version.n)) found = version
      }
      if (kind === 'current' || page.length === 0) return this.#take(address, found)
      page = [
        ...(await bucket.store.versions(address, {
          below: page.at(-1)!.n,
          order: 'newest',
          limit: AT_ONCE,
        })),
      ]
    }
  }

  wrote(address: Address, { n }: Version): void {
    const id = addressId(address)
    const known = this.#known.get(id)
    if (known === undefined) this.#known.set(id, new Set([n]))
    else known.add(n)
  }

  #take(address: Address, found: Version | undefined): Version | undefined {
    if (found !== undefined) this.wrote(address, found)
    return found
  }

  #isKnown(address: Address, n: number): boolean {
    return this.#known.get(addressId(address))?.has(n) ?? false
  }
}

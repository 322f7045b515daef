import { createHash } from 'node:crypto'
import type { Address, Json } from '../../core'
import { addressId } from '../../core'
import type { Change } from '../../core/store/store'

export interface Counts {
  readonly versions: number
  readonly current: number
  readonly samples: number
}

const MODULUS = 1n << 256n

/**
 * What a bucket holds, as counts and one hash that does not depend on the order in which it is told: the sum of the
 * hashes of all versions, samples and present current entries. Equal digests of two buckets mean equal content.
 */
export class ContentDigest {
  #sum = 0n
  #versions = 0
  #samples = 0
  // A feed may tell several states of an entry; only the last is content. Presence and leases are few.
  readonly #current = new Map<string, bigint>()

  add(change: Change): void {
    switch (change.kind) {
      case 'versioned':
        this.#versions++
        this.#sum += hash('v', change.address, change.version)
        break
      case 'series':
        this.#samples++
        this.#sum += hash('s', change.address, change.sample)
        break
      case 'current':
        if (change.version.op === 'delete') this.#current.delete(addressId(change.address))
        else this.#current.set(addressId(change.address), hash('c', change.address, change.version))
        break
      default:
        change satisfies never
    }
  }

  get counts(): Counts {
    return { versions: this.#versions, current: this.#current.size, samples: this.#samples }
  }

  get hex(): string {
    let sum = this.#sum
    for (const entry of this.#current.values()) sum += entry
    return (sum % MODULUS).toString(16).padStart(64, '0')
  }
}

function hash(kind: string, { layer, path, key }: Address, content: object): bigint {
  const text = JSON.stringify([kind, layer, path, key, inOrder(content as Json)])
  return BigInt('0x' + createHash('sha256').update(text).digest('hex'))
}

/** With the members of every object in one order: a store need not keep it. */
function inOrder(value: Json): Json {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, inOrder(member)]),
  )
}

import { randomInt } from 'node:crypto'
import { BucketName, Key, isKv4Error, addressIn } from '../../core'
import type { Address, Bucket, Engine, Version } from '../../core'
import { PLACES } from './places'

/** An account as the registry's clients know it. */
export interface Tenant {
  /** Digits only: clients take it for an integer of 32 bits (contract §2). */
  readonly id: string
  /** Unix ms of its first use of the registry: no event is older. */
  readonly since: number
}

// So that nobody mistakes one for a count, and nobody can tell how many there are.
const LOWEST = 100_000
const HIGHEST = 2 ** 31 - 1
const BY = '$sys'

/** The numbers of accounts, given at first use and kept for good. */
export class Tenants {
  readonly #bucket: Bucket
  readonly #making = new Map<BucketName, Promise<Tenant>>()

  constructor(engine: Engine) {
    this.#bucket = engine.bucket(BucketName.system)
  }

  /** What most requests get, without a wait; undefined: ask `of`. */
  peek(bucket: BucketName): Tenant | undefined {
    const version = this.#bucket.peek(addressOf(bucket))
    return version ? tenant(version) : undefined
  }

  async of(bucket: BucketName): Promise<Tenant> {
    const version = await this.#bucket.get(addressOf(bucket))
    if (version !== undefined) return tenant(version)
    let making = this.#making.get(bucket)
    if (making === undefined) {
      making = this.#make(bucket).finally(() => this.#making.delete(bucket))
      this.#making.set(bucket, making)
    }
    return making
  }

  async #make(bucket: BucketName): Promise<Tenant> {
    const address = addressOf(bucket)
    for (;;) {
      const id = String(randomInt(LOWEST, HIGHEST))
      try {
        return tenant(await this.#bucket.put(address, id, { by: BY, expect: 'absent', keys: { k2: id } }))
      } catch (error) {
        if (isKv4Error(error, 'version_conflict')) {
          const version = await this.#bucket.get(address, { consistent: true })
          if (version !== undefined) return tenant(version)
        } else if (!isKv4Error(error, 'key_exists')) throw error
      }
    }
  }
}

function addressOf(bucket: BucketName): Address {
  return addressIn(PLACES.tenants, Key.parse(bucket))
}

function tenant({ v, at }: Version): Tenant {
  return { id: v as string, since: at }
}

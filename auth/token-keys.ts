import { createSecretKey, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { BucketName, Key, Layer, Path, isJsonObject, addressIn } from '../core'
import type { Bucket, Engine, Json } from '../core'
import type { Pepper } from './pepper'

/** A key that tokens are signed with. */
export interface TokenKey {
  /** In the head of every token that it signed. */
  readonly id: string
  /** Unix ms. */
  readonly created: number
  readonly secret: KeyObject
}

/** In `$sys`, out of every listing. */
const PLACE = { layer: Layer.internal('token-keys'), path: Path.root } as const
const BY = BucketName.owner(BucketName.system).account
const MAX_KEYS = 1_000

/** How long tokens are signed with one key before the next is made. */
const SIGNS_FOR_MS = 90 * 24 * 3600_000

/** `<base 36 digits><8 hex digits of a MAC under the pepper>`, so that a made-up id costs no look into the store. */
const ID = /^([0-9a-z]{12,20})-([0-9a-f]{8})$/

/**
 * The keys of tokens. What is stored is half of a key, the pepper is the other: who has stolen the database cannot sign.
 * The newest one signs; the others are kept, as there may be tokens that never expire, until an operator retires them.
 */
export class TokenKeys {
  readonly #bucket: Bucket
  readonly #pepper: Pepper
  readonly #clock: () => number
  readonly #made = new Map<string, TokenKey>()

  constructor(engine: Engine, pepper: Pepper, clock: () => number) {
    this.#bucket = engine.bucket(BucketName.system)
    this.#pepper = pepper
    this.#clock = clock
  }

  /** The key to sign with now; made where there is none, or the newest is 90 days old. */
  async current(): Promise<TokenKey> {
    const [newest] = await this.list()
    return newest !== undefined && newest.created > this.#clock() - SIGNS_FOR_MS ? newest : this.add()
  }

  /** undefined: there is no such key, or no longer. */
  async find(id: string): Promise<TokenKey | undefined> {
    const [, digits, mac] = ID.exec(id) ?? []
    if (digits === undefined || mac !== this.#mark(digits)) return undefined
    const address = addressIn(PLACE, Key.parse(id))
    // Another node may have made it a moment ago.
    const version =
      (await this.#bucket.get(address)) ?? (await this.#bucket.get(address, { consistent: true }))
    return version && this.#read(id, version.v)
  }

  /** Newest first. */
  async list(options: { readonly consistent?: boolean } = {}): Promise<readonly TokenKey[]> {
    const { items } = await this.#bucket.entries(PLACE, { limit: MAX_KEYS, ...options })
    return items
      .map(({ key, version }) => this.#read(key, version.v))
      .sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1))
  }

  /** Makes a key, which signs from now on. */
  async add(by = BY): Promise<TokenKey> {
    const created = this.#clock()
    const digits = created.toString(36).padStart(9, '0') + randomBytes(3).toString('hex')
    const id = `${digits}-${this.#mark(digits)}`
    const value = { created, seed: randomBytes(32).toString('base64url') }
    await this.#bucket.put(addressIn(PLACE, Key.parse(id)), value, { by, expect: 'absent' })
    return this.#read(id, value)
  }

  /** Every token that these keys signed stops being good. */
  async retire(keys: readonly Pick<TokenKey, 'id'>[], by: string): Promise<void> {
    for (const { id } of keys) await this.#bucket.remove(addressIn(PLACE, Key.parse(id)), { by })
  }

  #mark(digits: string): string {
    return this.#pepper.mac('token-key-id', digits).toString('hex').slice(0, 8)
  }

  #read(id: string, value: Json): TokenKey {
    if (!isJsonObject(value) || typeof value.seed !== 'string' || typeof value.created !== 'number')
      throw new Error(`the token key ${id} is not readable`)
    const made = this.#made.get(id + value.seed)
    if (made !== undefined) return made
    if (this.#made.size >= MAX_KEYS) this.#made.clear()
    const secret = createSecretKey(this.#pepper.mac('token-key', value.seed))
    const key: TokenKey = { id, created: value.created, secret }
    this.#made.set(id + value.seed, key)
    return key
  }
}

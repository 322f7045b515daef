import { createCipheriv, createDecipheriv, createHmac, hash, randomBytes } from 'node:crypto'
import { BucketName, Key, isJsonObject, addressIn } from '../../core'
import type { Address, Bucket, Engine } from '../../core'
import { PLACES } from './places'
import type { Tenant } from './tenants'

/** What a client of the identity endpoint proved itself with. */
export interface UserSecret {
  readonly user: string
  readonly secret: string
}

export interface AccessToken {
  readonly text: string
  /** Unix ms. */
  readonly expires: number
}

/** Who is asking, once that is known. */
export interface Caller {
  readonly bucket: Bucket
  /** Recorded with what he writes. */
  readonly login: string
  readonly tenant: Tenant
}

export interface OpenToken {
  /** To be verified with each request. */
  readonly credential: UserSecret
  /** Who was admitted with it, by the place that he asked for, as far as he was not refused there since. */
  readonly admitted: Map<string, Caller>
}

interface Opened {
  readonly address: Address
  /** Of the entry. */
  readonly n: number
  readonly token: OpenToken
}

const LIFE_MS = 24 * 3600_000
const MAX_REMEMBERED = 10_000
const BY = '$sys'
const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16
const FORM = /^[A-Za-z0-9_-]{43}$/

/**
 * Tokens of the identity endpoint (contract §2). What is stored is the credential, sealed under the token, at the
 * token's hash: the token alone opens it, and each request that shows it has the credential verified again – a
 * verification that the login cache remembers – so that it ends at once with the account, the secret or the address's
 * permission, and the database alone is worth nothing.
 */
export class AccessTokens {
  readonly #bucket: Bucket
  /** Given in this process, by a keyed digest of the credential: clients ask for one at each start. */
  readonly #given = new Map<string, AccessToken>()
  readonly #key = randomBytes(32)
  /** Opened lately, by the token; each holds only while its entry is the one that was opened. */
  readonly #opened = new Map<string, Opened>()

  constructor(engine: Engine) {
    this.#bucket = engine.bucket(BucketName.system)
  }

  /** A token for a credential that was verified just now. */
  async give(credential: UserSecret): Promise<AccessToken> {
    const digest = createHmac('sha256', this.#key).update(JSON.stringify(credential)).digest('base64')
    const given = this.#given.get(digest)
    if (
      given !== undefined &&
      given.expires - Date.now() > LIFE_MS / 2 &&
      (await this.#bucket.get(addressOf(given.text))) !== undefined
    )
      return given
    const text = randomBytes(32).toString('base64url')
    const token: AccessToken = { text, expires: Date.now() + LIFE_MS }
    const sealed = { sealed: seal(text, credential), expires: token.expires }
    await this.#bucket.put(addressOf(text), sealed, { by: BY, ttl: LIFE_MS })
    if (this.#given.size >= MAX_REMEMBERED) this.#given.clear()
    this.#given.set(digest, token)
    return token
  }

  /** What most requests get, without a wait; undefined: ask `open`. */
  peek(text: string): OpenToken | undefined {
    const opened = this.#opened.get(text)
    return opened !== undefined && this.#bucket.peek(opened.address)?.n === opened.n
      ? opened.token
      : undefined
  }

  /**
   * What it stands for is refused by now. From here on it is no token: whoever shows it again is no more than told so, and
   * does not count as somebody who guesses secrets.
   */
  async end(text: string): Promise<void> {
    this.#opened.delete(text)
    await this.#bucket.remove(addressOf(text), { by: BY })
  }

  /** undefined: no such token, or no longer. */
  async open(text: string): Promise<OpenToken | undefined> {
    if (!FORM.test(text)) return undefined
    const address = addressOf(text)
    // Clients use a token the moment they have it, perhaps at another node.
    const version =
      (await this.#bucket.get(address)) ?? (await this.#bucket.get(address, { consistent: true }))
    this.#opened.delete(text)
    if (!isJsonObject(version?.v) || typeof version.v.sealed !== 'string') return undefined
    const token: OpenToken = { credential: unseal(text, version.v.sealed), admitted: new Map() }
    if (this.#opened.size >= MAX_REMEMBERED) this.#opened.delete(this.#opened.keys().next().value!)
    this.#opened.set(text, { address, n: version.n, token })
    return token
  }
}

function addressOf(text: string): Address {
  return addressIn(PLACES.tokens, Key.parse(hash('sha256', text, 'hex')))
}

/** The token has 256 random bits, so one keyed hash makes a key of it; not the hash that it is stored at. */
function keyFor(text: string): Buffer {
  return createHmac('sha256', 'kv4 registry access token').update(text).digest()
}

function seal(text: string, credential: UserSecret): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(ALGORITHM, keyFor(text), nonce)
  const body = Buffer.concat([cipher.update(JSON.stringify(credential), 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
}

function unseal(text: string, sealed: string): UserSecret {
  const bytes = Buffer.from(sealed, 'base64')
  const decipher = createDecipheriv(ALGORITHM, keyFor(text), bytes.subarray(0, NONCE_BYTES))
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
  const body = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
  return JSON.parse(body.toString('utf8')) as UserSecret
}

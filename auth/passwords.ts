import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { Kv4Error } from '../core'
import { HashingQueue } from './hashing-queue'
import type { Pepper } from './pepper'

/** Cost of scrypt: N = 2^ln. */
export interface ScryptCost {
  readonly ln: number
  readonly r: number
  readonly p: number
}

/** About 0.24 s and 32 MiB (promises.md §4). */
export const SCRYPT_COST: ScryptCost = { ln: 15, r: 8, p: 3 }

const MIN_CHARACTERS = 4
const MAX_CHARACTERS = 256
const SALT_BYTES = 16
const HASH_BYTES = 32
// Node refuses N=2^15 with its default.
const MAX_MEMORY = 64 * 1024 * 1024

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

// $scrypt$ln=15,r=8,p=3,keyid=1a2b3c4d$<salt>$<hash>; salt and hash in base64 without padding (PHC string format)
const PHC =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2}),keyid=([0-9a-f]{8})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

interface Parsed {
  readonly cost: ScryptCost
  readonly pepper: string
  readonly salt: Buffer
  readonly hash: Buffer
}

function parse(phc: string): Parsed | undefined {
  const match = PHC.exec(phc)
  if (!match) return undefined
  const [, ln, r, p, pepper, salt, hash] = match as unknown as string[] & { length: 7 }
  return {
    cost: { ln: Number(ln), r: Number(r), p: Number(p) },
    pepper: pepper!,
    salt: Buffer.from(salt!, 'base64'),
    hash: Buffer.from(hash!, 'base64'),
  }
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

export interface PasswordCheck {
  readonly matches: boolean
  /** The hash was made at another cost than is used now: worth making anew while the password is at hand. */
  readonly outdated: boolean
}

/**
 * Chosen passwords and other texts of unknown strength: scrypt over the pepper's HMAC of the text. Checking takes the
 * same time whether or not there is a hash to check against.
 */
export class Passwords {
  readonly #pepper: Pepper
  readonly #cost: ScryptCost
  readonly #queue: HashingQueue

  constructor(pepper: Pepper, cost: ScryptCost = SCRYPT_COST, queue: HashingQueue = new HashingQueue()) {
    this.#pepper = pepper
    this.#cost = cost
    this.#queue = queue
  }

  /** 4 to 256 characters, not only blanks, no control characters (they cannot travel in HTTP Basic). */
  isAcceptable(password: string): boolean {
    return (
      password.length >= MIN_CHARACTERS &&
      password.length <= MAX_CHARACTERS &&
      password.trim() !== '' &&
      password.isWellFormed() &&
      !CONTROL.test(password)
    )
  }

  /** A PHC string to store. @throws bad_password_format, overloaded */
  async hash(password: string): Promise<string> {
    if (!this.isAcceptable(password)) throw new Kv4Error('bad_password_format')
    return this.hashAnything(password)
  }

  /** As `hash`, of a text whose format somebody else checked. @throws overloaded */
  async hashAnything(text: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES)
    const hash = await this.#derive(text, salt, this.#cost, HASH_BYTES)
    const { ln, r, p } = this.#cost
    return `$scrypt$ln=${ln},r=${r},p=${p},keyid=${this.#pepper.id}$${base64(salt)}$${base64(hash)}`
  }

  /** `phc` undefined: there is none; takes as long and does not match. @throws overloaded */
  async check(text: string, phc: string | undefined): Promise<PasswordCheck> {
    const stored = phc === undefined ? undefined : parse(phc)
    if (stored === undefined || stored.pepper !== this.#pepper.id) {
      await this.#derive(text, Buffer.alloc(SALT_BYTES), this.#cost, HASH_BYTES)
      return { matches: false, outdated: false }
    }
    const hash = await this.#derive(text, stored.salt, stored.cost, stored.hash.length)
    const { ln, r, p } = stored.cost
    return {
      matches: timingSafeEqual(hash, stored.hash),
      outdated: ln !== this.#cost.ln || r !== this.#cost.r || p !== this.#cost.p,
    }
  }

  #derive(text: string, salt: Buffer, { ln, r, p }: ScryptCost, length: number): Promise<Buffer> {
    // Two keyboards may spell one letter in two ways.
    const peppered = this.#pepper.mac('password', text.normalize('NFC'))
    return this.#queue.run(
      () =>
        new Promise((resolve, reject) => {
          scrypt(peppered, salt, length, { N: 2 ** ln, r, p, maxmem: MAX_MEMORY }, (error, key) =>
            error ? reject(error) : resolve(key),
          )
        }),
    )
  }
}

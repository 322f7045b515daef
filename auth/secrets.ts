import { randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Kv4Error } from '../core'
import type { BucketName } from '../core'
import type { StoredSecret } from './account'
import type { Passwords } from './passwords'
import type { Pepper } from './pepper'

/**
 * A generated secret: `kv4_`, 43 base62 digits (32 random bytes), 6 base62 digits (CRC-32 of all before), so that
 * secret scanners recognise one and a typing error is seen without a look at the store.
 */
const PREFIX = 'kv4_'
const RANDOM_BYTES = 32
const RANDOM_DIGITS = 43
const CHECKSUM_DIGITS = 6
const GENERATED = /^kv4_[0-9A-Za-z]{49}$/

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

function base62(number: bigint, width: number): string {
  let text = ''
  for (let rest = number; rest > 0n; rest /= 62n) text = DIGITS[Number(rest % 62n)]! + text
  return text.padStart(width, '0')
}

function checksum(text: string): string {
  return base62(BigInt(crc32(text)), CHECKSUM_DIGITS)
}

function generate(): string {
  const random = BigInt('0x' + randomBytes(RANDOM_BYTES).toString('hex'))
  const text = PREFIX + base62(random, RANDOM_DIGITS)
  return text + checksum(text)
}

/** Has the form of a secret that this platform made, checksum included. */
export function isGeneratedSecret(text: string): boolean {
  return GENERATED.test(text) && checksum(text.slice(0, -CHECKSUM_DIGITS)) === text.slice(-CHECKSUM_DIGITS)
}

const SUPPLIED = /^(?!!)[\x21-\x22\x24-\x7e]{8,256}$/
// An operator may choose a shorter one for $sys, as the walkthrough does.
const SUPPLIED_BY_OPERATOR = /^(?!!)[\x21-\x22\x24-\x7e]{1,256}$/

// $hmac-sha256$keyid=1a2b3c4d$<base64url>
const KEYED = /^\$hmac-sha256\$keyid=([0-9a-f]{8})\$([A-Za-z0-9_-]{43})$/

export interface NewSecret {
  /** To be shown once and forgotten. */
  readonly secret: string
  readonly stored: StoredSecret
}

/**
 * Secrets of accounts. A generated one has 256 bits, so a keyed hash under the pepper is enough and costs
 * microseconds; a supplied one may be a word, so it gets scrypt. Which of the two is checked follows from the presented
 * text alone, so the time it takes says nothing about the account.
 */
export class Secrets {
  constructor(
    readonly pepper: Pepper,
    private readonly passwords: Passwords,
  ) {}

  generate(owner: BucketName): NewSecret {
    const secret = generate()
    return { secret, stored: { hash: this.#keyed(owner, secret) } }
  }

  /**
   * A secret that the caller chose: 8 to 256 printable ASCII characters, no blank, no `#`, not beginning with `!`;
   * from the operator at least 1. @throws bad_secret_format, overloaded
   */
  async accept(owner: BucketName, secret: string, by: 'client' | 'operator' = 'client'): Promise<NewSecret> {
    if (!(by === 'operator' ? SUPPLIED_BY_OPERATOR : SUPPLIED).test(secret))
      throw new Kv4Error('bad_secret_format')
    const hash = isGeneratedSecret(secret)
      ? this.#keyed(owner, secret)
      : await this.passwords.hashAnything(secret)
    return { secret, stored: { hash } }
  }

  /** The one of `stored` that the presented text matches now (unix ms). @throws overloaded */
  async match(
    owner: BucketName,
    presented: string,
    stored: readonly StoredSecret[],
    now: number,
  ): Promise<StoredSecret | undefined> {
    const live = stored.filter(({ until }) => until === undefined || until > now)
    if (isGeneratedSecret(presented)) {
      const expected = Buffer.from(this.#keyed(owner, presented))
      return live.find(({ hash }) => {
        const actual = Buffer.from(hash)
        return actual.length === expected.length && timingSafeEqual(actual, expected)
      })
    }
    const slow = live.filter(({ hash }) => !KEYED.test(hash))
    if (slow.length === 0) await this.passwords.check(presented, undefined)
    for (const secret of slow) if ((await this.passwords.check(presented, secret.hash)).matches) return secret
    return undefined
  }

  /** Whether the hash was made under this pepper; under another one nothing can match it. */
  isOurs({ hash }: StoredSecret): boolean {
    return hash.includes(`keyid=${this.pepper.id}$`)
  }

  #keyed(owner: BucketName, secret: string): string {
    // Bound to its owner: a hash that is copied to another account is of no use there.
    const mac = this.pepper.mac('secret', owner + '\0' + secret)
    return `$hmac-sha256$keyid=${this.pepper.id}$${mac.toString('base64url')}`
  }
}

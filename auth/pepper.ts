import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'

const MIN_BYTES = 16

/**
 * A key that is kept outside the database, without which the hashes in it cannot even be guessed at. Every hash names
 * the pepper it was made with by `id`, so that a wrong one is noticed rather than looking like a wrong secret.
 */
export class Pepper {
  /** 8 hex digits; says nothing about the pepper itself. */
  readonly id: string
  readonly #key: KeyObject

  /** @throws Error when shorter than 16 bytes: an operator's mistake, not a caller's */
  constructor(pepper: string | Uint8Array) {
    const bytes = Buffer.from(pepper as Uint8Array)
    if (bytes.length < MIN_BYTES)
      throw new Error(`the pepper has ${bytes.length} bytes, at least ${MIN_BYTES} are needed`)
    this.#key = createSecretKey(bytes)
    this.id = this.mac('id', '').toString('hex').slice(0, 8)
  }

  /** HMAC-SHA256, 32 bytes. `purpose` keeps the uses apart; it must not contain a zero byte. */
  mac(purpose: string, text: string): Buffer {
    return createHmac('sha256', this.#key)
      .update(purpose + '\0' + text)
      .digest()
  }

  /**
   * The pepper in `file`; made (32 random bytes, readable by the owner alone) when there is no such file.
   * @throws the file system's errors
   */
  static fromFile(file: string): Pepper {
    try {
      writeFileSync(file, randomBytes(32).toString('base64url') + '\n', {
        mode: 0o600,
        flag: 'wx',
        flush: true,
      })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    return new Pepper(readFileSync(file, 'utf8').trim())
  }
}

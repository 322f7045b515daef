import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Pepper } from './pepper'

/** One node that speaks to another. */
export interface NodeClaim {
  readonly from: string
  /** The life of `from`. */
  readonly epoch: string
  readonly to: string
}

/** Clocks of nodes may differ by so much. */
const WINDOW_MS = 30_000
const MAX_LENGTH = 2_048
const SCHEME = 'KV4-Node '

/**
 * How nodes of one platform know each other: by a MAC under the pepper, which they share and nobody else has.
 *
 *     Authorization: KV4-Node base64url({from, epoch, to, at, nonce}).base64url(HMAC-SHA256)
 *
 * Good within 30 s of its time, at the node that it names, once.
 */
export class ClusterKey {
  /** Nonces seen, by the time at which they are too old anyway. */
  readonly #seen = new Map<string, number>()

  constructor(
    private readonly pepper: Pepper,
    private readonly clock: () => number = Date.now,
  ) {}

  /** The value of an Authorization header. */
  sign(claim: NodeClaim): string {
    const text = JSON.stringify({
      ...claim,
      at: this.clock(),
      nonce: randomBytes(12).toString('base64url'),
    })
    return SCHEME + Buffer.from(text).toString('base64url') + '.' + this.#mac(text).toString('base64url')
  }

  /** undefined: it is not of a node of this platform, not for this one, too old, or was used before. */
  verify(authorization: string | undefined, to: string): NodeClaim | undefined {
    if (authorization === undefined || authorization.length > MAX_LENGTH) return undefined
    if (!authorization.startsWith(SCHEME)) return undefined
    const [body = '', mac = '', ...rest] = authorization.slice(SCHEME.length).split('.')
    const text = Buffer.from(body, 'base64url').toString('utf8')
    const given = Buffer.from(mac, 'base64url')
    const wanted = this.#mac(text)
    if (rest.length > 0 || given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined
    // Whoever could sign it wrote what `sign` writes.
    const claim = JSON.parse(text) as NodeClaim & { readonly at: number; readonly nonce: string }
    const now = this.clock()
    if (claim.to !== to || Math.abs(now - claim.at) > WINDOW_MS || this.#seen.has(claim.nonce))
      return undefined
    for (const [nonce, until] of this.#seen)
      if (until < now) this.#seen.delete(nonce)
      else break
    this.#seen.set(claim.nonce, now + 2 * WINDOW_MS)
    return { from: claim.from, epoch: claim.epoch, to }
  }

  #mac(text: string): Buffer {
    return this.pepper.mac('cluster', text)
  }
}

import { createHash, createHmac } from 'node:crypto'

/** Who is calling, as the platform tells an external service. */
export interface Caller {
  /** `$sys` or the primary account's name. */
  readonly account: string
  /** Set when acting in a sub-account's bucket. */
  readonly sub?: string
  /** Whose data it is. */
  readonly bucket: string
  /** The account, the sub-account or the administrator who calls. */
  readonly login: string
  /** What stands behind the service's prefix, decoded: `/my/path`, or `/`. */
  readonly path: string
  /** The address that the call came from. */
  readonly address: string
  /** The platform's id of the request, as in its log and its answer (X-Request-Id). */
  readonly request: string
}

/** What is signed: the caller, and which call of his it is. */
export interface SignedCall extends Caller {
  /** Unix ms. */
  readonly at: number
  /** Occurs once. */
  readonly nonce: string
  readonly method: string
  /** Digest of the request target as it is sent to the service. */
  readonly target: string
}

/** The header that carries it: `v1.<JSON as base64url>.<HMAC-SHA256 of all before it as base64url>`. */
export const CALLER_HEADER = 'kv4-caller'

/** The header with the token by which the service may use the platform's API for this caller. */
export const TOKEN_HEADER = 'kv4-token'

export const FORMAT = 'v1'

/** @param key as it was given at registration */
export function signatureOf(text: string, key: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

export function targetDigest(target: string): string {
  return createHash('sha256').update(target).digest('base64url')
}

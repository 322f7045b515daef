import type { BucketName } from '../core'

/** Who is asking, once the credential has been verified. Immutable for the length of a request. */
export interface Principal {
  /** `$sys` or the primary account's name. */
  readonly account: string
  /** Set when acting in a sub-account's bucket. */
  readonly sub?: string
  /** Whose data it acts on. */
  readonly bucket: BucketName
  /** Recorded as `by` with every write: the account, the sub-account or the administrator. */
  readonly login: string
  /** How it proved itself. */
  readonly kind: 'account' | 'sub' | 'proxy' | 'admin' | 'token'
  /** Of kind `token`: what it may do; on routes that do not ask for such a token, nothing. */
  readonly token?: PrincipalToken
}

/** The bearer of a token, in the name of the account that it was issued for. */
export interface PrincipalToken {
  /** `service`: an external service for one of its callers. `host`: a host of one, to register itself. */
  readonly purpose: 'service' | 'host'
  /** Of the external service: `_turn`. */
  readonly prefix: string
  /** Of a host: what it may be asked for as by `_host?type=`. */
  readonly type?: string
  /** Which of the account's layers an external service may use. */
  readonly layers: readonly string[]
}

export function isSystem(principal: Principal): boolean {
  return principal.account === '$sys' && principal.sub === undefined
}

/** The system, a primary account or an administrator of one: those who may have sub-accounts. */
export function isHolder(principal: Principal): boolean {
  return principal.sub === undefined
}

import { isJsonObject } from '../core'
import type { Json, JsonObject, Version } from '../core'

/**
 * One of the live secrets of an account, as stored: never the secret itself.
 *
 * `hash` is `$hmac-sha256$keyid=<pepper>$<base64url>` for a generated secret and a scrypt PHC string for a supplied one.
 */
export interface StoredSecret {
  readonly hash: string
  /** Unix ms from which on it is no longer accepted; absent: until it is replaced. */
  readonly until?: number
}

/** What a login is verified against. Nothing of it is ever shown. */
export interface Proof {
  /** Of accounts and sub-accounts: the present one first, then the one it replaced. */
  readonly secrets?: readonly StoredSecret[]
  /** scrypt PHC string: of an administrator what it logs in with, of an account its chosen password. */
  readonly password?: string
}

/** What may be shown of a login, and what its holder added. */
export interface Profile extends JsonObject {
  /** Unix seconds. */
  readonly created: number
  /** false: it cannot log in, nor can what is below it. */
  readonly active: boolean
}

/** Of an account or sub-account (contract, xirsys-rest §6.1); `email` is its secondary key k2 in lower case. */
export interface AccountProfile extends Profile {
  readonly username: string
  readonly email: string
  readonly term: string
  readonly plan: string
  readonly first_name: string | null
  readonly last_name: string | null
  readonly customer_id: string | null
  readonly company: string | null
}

/** Of an administrator (contract, xirsys-rest §6.2). */
export interface AdminProfile extends Profile {
  readonly role: string
  readonly email: string | null
  readonly first_name: string | null
  readonly last_name: string | null
}

/**
 * The value of an entry in layer `*acc`: an account at `/accounts` or an administrator at `/users/admins`. What is shown
 * and what proves are two halves, so that no property a client invents can touch or reveal the second.
 */
export interface StoredLogin<P extends Profile = Profile> {
  readonly profile: P
  readonly proof: Proof
  /** Its deletion has begun: it cannot log in any more, and what remains is being removed. */
  readonly deleting?: true
}

export type StoredAccount = StoredLogin<AccountProfile>
export type StoredAdmin = StoredLogin<AdminProfile>

/** undefined: the value is not a login's. */
export function storedLogin(value: Json | undefined): StoredLogin | undefined {
  if (!isJsonObject(value) || !isJsonObject(value.profile) || !isJsonObject(value.proof)) return undefined
  return value as unknown as StoredLogin
}

export function mayLogIn(version: Version | undefined): boolean {
  const login = storedLogin(version?.v)
  return login !== undefined && login.profile.active === true && login.deleting !== true
}

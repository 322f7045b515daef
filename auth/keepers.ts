import { Passwords, SCRYPT_COST } from './passwords'
import type { ScryptCost } from './passwords'
import { HashingQueue } from './hashing-queue'
import type { HashingQueueOptions } from './hashing-queue'
import { Pepper } from './pepper'
import { PLACES } from './places'
import type { LoginPlaces } from './places'
import { Secrets } from './secrets'
import { isAdminName, isUsername } from './username'

/**
 * What a service may know about logins: the rules of names, and hashing without a way back. Handed in by the
 * composition root, as a service imports only auth's types.
 */
export interface LoginKeepers {
  readonly places: LoginPlaces
  readonly isUsername: (name: string) => boolean
  readonly isAdminName: (name: string) => boolean
  readonly secrets: Pick<Secrets, 'generate' | 'accept'>
  readonly passwords: Pick<Passwords, 'hash'>
}

/** All of it: auth's own. */
export interface Keepers extends LoginKeepers {
  readonly secrets: Secrets
  readonly passwords: Passwords
}

export interface KeepersOptions {
  /** Kept outside the database, at least 16 bytes. */
  readonly pepper: Pepper | string | Uint8Array
  /** Default: promises.md §4. Tests make it cheap. */
  readonly scrypt?: ScryptCost
  readonly hashing?: HashingQueueOptions
}

export function createKeepers({ pepper, scrypt = SCRYPT_COST, hashing }: KeepersOptions): Keepers {
  const key = pepper instanceof Pepper ? pepper : new Pepper(pepper)
  const passwords = new Passwords(key, scrypt, new HashingQueue(hashing))
  return { places: PLACES, isUsername, isAdminName, secrets: new Secrets(key, passwords), passwords }
}

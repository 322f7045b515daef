import { Passwords, SCRYPT_COST } from './passwords'
import type { ScryptCost } from './passwords'
import { HashingQueue } from './hashing-queue'
import type { HashingQueueOptions } from './hashing-queue'
import { Pepper } from './pepper'
import { PLACES } from './places'
import type { LoginPlaces } from './places'
import { Secrets } from './secrets'
import { isAdminName, isUsername } from './username'

/** The rules about logins that auth and the accounts service share; handed to the service, which may not import them. */
export interface Keepers {
  readonly places: LoginPlaces
  readonly isUsername: (name: string) => boolean
  readonly isAdminName: (name: string) => boolean
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

import type { Keepers } from '../../auth'
import type { Engine } from '../../core'
import type { Turns } from './turns'

/**
 * What the accounts service needs of auth: the rules of names, and hashing without a way back. Handed in by the
 * composition root, as a service imports only auth's types.
 */
export interface AccKeepers {
  readonly places: Keepers['places']
  readonly isUsername: Keepers['isUsername']
  readonly isAdminName: Keepers['isAdminName']
  readonly secrets: Pick<Keepers['secrets'], 'generate' | 'accept'>
  readonly passwords: Pick<Keepers['passwords'], 'hash'>
}

/** What the routes of this service share. */
export interface AccRoom extends AccKeepers {
  readonly engine: Engine
  /** One creation or deletion of an account at a time. */
  readonly turns: Turns
}

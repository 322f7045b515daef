import { Layer, Path } from '../core'
import type { Place } from '../core'

/** Where logins are kept. */
export const PLACES = {
  /** In `$sys` the primary accounts, in a primary's bucket its sub-accounts. */
  accounts: { layer: Layer.parse('*acc'), path: Path.parse('/accounts') },
  /** In each bucket its administrators. */
  admins: { layer: Layer.parse('*acc'), path: Path.parse('/users/admins') },
  /** In `$sys`, out of every listing: the system's own account, key `$sys`. */
  system: { layer: Layer.internal('acc'), path: Path.parse('/system') },
  /** In `$sys`, out of every listing: deletions that have begun, by bucket name. */
  deletions: { layer: Layer.internal('acc'), path: Path.parse('/deletions') },
} as const satisfies Record<string, Place>

export type LoginPlaces = typeof PLACES

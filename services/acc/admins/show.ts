import type { AdminProfile, StoredAdmin, StoredLogin } from '../../../auth'
import type { JsonObject, Key } from '../../../core'
import { without } from '../property'

const KNOWN = [
  'email',
  'first_name',
  'last_name',
  'role',
  'created',
  'active',
] as const satisfies readonly (keyof AdminProfile)[]

/** What every answer shows: contract §6.2. The password never, not even at creation, as whoever sent it knows it. */
export function showAdmin(_key: Key, login: StoredLogin): JsonObject {
  const { profile } = login as StoredAdmin
  const { email, first_name, last_name, role, created, active } = profile
  return { email, first_name, last_name, role, created, active, ...without(profile, KNOWN) }
}

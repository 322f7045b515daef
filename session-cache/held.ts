import { tokenOf } from './hash'
import type { Session } from './session'
import type { SharedTable } from './shared-table'
import type { TokenShape } from './wire'

/**
 * The session of a key as a table holds it: under the key, or, where it came without the key (the original's
 * session_backup), under its token; `hash`: the token as whoever asks for it has it.
 */
export function heldSession(
  table: SharedTable,
  key: string,
  hash: string | undefined,
  { slots, seed }: TokenShape,
  counts: 'as a use' | 'as no use',
): Session | undefined {
  const session =
    table.session(key, counts) ??
    (hash === undefined ? undefined : table.session(hash, counts)) ??
    table.session(tokenOf(key, slots, seed), counts)
  return session === undefined || session.key === key ? session : { ...session, key }
}

import type { TokenKeyInfo } from '../../auth'
import type { JsonObject } from '../../core'

/** `created` in unix seconds, as everywhere on the wire. */
export function shownKey({ id, created }: TokenKeyInfo): JsonObject {
  return { id, created: Math.floor(created / 1000) }
}

import { Instant, Kv4Error } from '../../core'

// Beyond it, years have five digits, and a wrong clock would fill periods that nobody looks at.
const AHEAD_MS = 366 * 24 * 3600_000

/** Unix ms as a number or its digits, or ISO 8601; from 1970 until a year from now. @throws bad_range */
export function instant(value: unknown, name: string): number {
  if (typeof value === 'number' || typeof value === 'string') {
    const at = Instant.parse(String(value))
    if (at >= 0 && at <= Date.now() + AHEAD_MS) return at
  }
  throw new Kv4Error('bad_range', { fields: { parameter: name, reason: 'unix ms or ISO 8601, from 1970' } })
}

import { Kv4Error } from '../core'

/**
 * Seconds to milliseconds; undefined: there is none. That of the body counts before that of the query. Its bounds are
 * the engine's.
 * @throws bad_ttl
 */
export function timeToLive(inBody: unknown, inQuery?: string): number | undefined {
  const seconds =
    inBody ?? (inQuery !== undefined && /^\d+(\.\d+)?$/.test(inQuery) ? Number(inQuery) : inQuery)
  if (seconds === undefined) return undefined
  if (typeof seconds !== 'number') throw new Kv4Error('bad_ttl')
  return Math.ceil(seconds * 1000)
}

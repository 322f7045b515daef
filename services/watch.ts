import { z } from 'zod'
import type { Address, Bucket, Json, Key, Layer, Path, Sample, Version } from '../core'
import { Depth, Flag, whole } from './parameters'

/**
 * What a GET route lets be watched, `watch` of a Route: which changes belong to it, and how much of a value is shown. The
 * rest is the same for all and the business of watching.ts: `?watch=1` streams, `wait=` polls, `since=` resumes.
 *
 *     watch: ({ query, principal }) => ({ layer: dataLayer(query.l, principal) })
 *     watch: () => ({ ...places.accounts, depth: 0, show: ({ key }, { v }) => showAccount(key, v) })
 */
export interface Watched {
  /** Absent: that of the principal. */
  readonly bucket?: Bucket
  /** Absent: every layer but the engine's own; `only` has to keep to those that may be shown. */
  readonly layer?: Layer
  /** Absent: the path of the request. */
  readonly path?: Path
  /** Absent: `k` of the query; null: `k` does not name a key. */
  readonly key?: Key | null
  /** How many segments below the path. Absent: `depth` of the query, or 0 with a key, or all below. */
  readonly depth?: number
  /** Whether a change belongs to it, beside what the above says. Absent: each one. */
  readonly only?: (address: Address) => boolean
  /** Path and key as clients know them. Absent: as they are stored. */
  readonly named?: (address: Address) => { readonly path: string; readonly k: string }
  /**
   * What of a value its GET would show; undefined: the change is passed over. Not asked for a delete. `null`: no value is
   * ever shown. Absent: the value as it was written. One function for all requests makes a change that a thousand watch
   * be shown once.
   */
  readonly show?: ((address: Address, written: Version | Sample) => Json | undefined) | null
}

/** Seconds that a long poll may wait. */
export const MOST_WAIT = 60

/** What every watchable route takes beside its own parameters. */
export const WatchQuery = z.object({
  watch: Flag.optional(),
  /** A cursor that a watch gave; `0`: all history that is kept. Absent: from now. */
  since: z.string().optional(),
  wait: whole(0, MOST_WAIT).optional(),
  k: z.string().optional(),
  depth: Depth.optional(),
  prev: Flag.optional(),
  limit: whole(1, 10_000).optional(),
})
export type WatchQuery = z.output<typeof WatchQuery>

/** Whether a GET is asked to tell of changes: `watch=1`, or, of a route that can be watched, `wait`. */
export function asksToWatch({ watch, wait }: Readonly<Record<string, string>>, watchable: boolean): boolean {
  return (watch !== undefined && watch !== '0' && watch !== 'false') || (watchable && wait !== undefined)
}

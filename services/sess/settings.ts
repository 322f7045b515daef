import { z } from 'zod'
import type { Bucket, JsonObject } from '../../core'
import { SETTINGS_ADDRESS } from './places'

/** What prolongs the life of a session; reads do so beside writes. */
export const EXTENDED_BY = ['nothing', 'writes', 'reads'] as const
export type ExtendedBy = (typeof EXTENDED_BY)[number]

const DAY_S = 24 * 3600
const YEARS_S = 9 * 365 * DAY_S

const seconds = z.number().positive().max(YEARS_S)

/** What an account may set for its sessions; what it does not name is the default. */
export const SettingsBody = z.strictObject({
  /** Seconds that a session gets whose first write names none. Absent: it stays. */
  ttl: seconds.nullish(),
  extended_by: z.enum(EXTENDED_BY).optional(),
  /** The part of the ttl that has to have gone by before use prolongs it: 0 to 0.9. */
  share: z.number().min(0).max(0.9).optional(),
  /** Seconds after which a session ends however much it is used. Absent: 30 days, or twelve times its ttl if that is more. */
  longest: seconds.nullish(),
})
export type SettingsBody = z.output<typeof SettingsBody>

/** In force, in ms. */
export interface Settings {
  readonly ttl?: number
  readonly extendedBy: ExtendedBy
  readonly share: number
  readonly longest?: number
}

const DEFAULTS: Settings = Object.freeze({ extendedBy: 'writes', share: 0.1 })

export async function settingsOf(bucket: Bucket): Promise<Settings> {
  const version = await bucket.get(SETTINGS_ADDRESS)
  return version === undefined ? DEFAULTS : inForce(version.v as SettingsBody)
}

function inForce({ ttl, extended_by, share, longest }: SettingsBody): Settings {
  return {
    extendedBy: extended_by ?? DEFAULTS.extendedBy,
    share: share ?? DEFAULTS.share,
    ...(typeof ttl === 'number' && { ttl: ttl * 1000 }),
    ...(typeof longest === 'number' && { longest: longest * 1000 }),
  }
}

/** As the account sees them, seconds. */
export function shown({ ttl, extendedBy, share, longest }: Settings): JsonObject {
  return {
    ttl: ttl === undefined ? null : ttl / 1000,
    extended_by: extendedBy,
    share,
    longest: longest === undefined ? null : longest / 1000,
  }
}

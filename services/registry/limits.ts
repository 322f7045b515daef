export const RESOURCES = ['session', 'service', 'configuration_value'] as const
export type Resource = (typeof RESOURCES)[number]

export interface Rate {
  /** Requests within the window. */
  readonly limit: number
  /** Seconds, at most MAX_WINDOW. */
  readonly window: number
}

/** Seconds: 24 days. The limiter forgets by a timer, and none of Node's waits for 25. */
export const MAX_WINDOW = 24 * 24 * 3600

export interface Limits {
  readonly resource: Readonly<Record<Resource, number>>
  readonly rate: Rate
}

/** What an account may have unless `$sys` says otherwise: contract §8, §11. */
export const DEFAULT_LIMITS: Limits = {
  resource: { session: 100, service: 200, configuration_value: 1_000 },
  rate: { limit: 500_000, window: 24 * 3600 },
}

/** Part of the limits, as `$sys` sets them. */
export interface LimitChanges {
  readonly resource?: Partial<Record<Resource, number>> | undefined
  readonly rate?: Partial<Rate> | undefined
}

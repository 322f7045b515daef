import { Key, Layer, Path } from '../../core'
import type { Address, LayerDeclaration, Place } from '../../core'

/** Days that an event stays in the feed: contract §10. */
export const EVENT_DAYS = 30

const LEASES = Layer.parse('*reg')
const EVENTS = Layer.parse('*reg:events')
const CONFIGURATION = Layer.parse('*conf')
const TIMERS = Layer.parse('*reg:timers')
const TENANTS = Layer.parse('*reg:tenants')
const TOKENS = Layer.parse('*reg:tokens')
const LIMITS = Layer.parse('*reg:limits')

/**
 * Where the registry keeps what. In each account's bucket its leases, events and configuration; in `$sys` what goes
 * across accounts.
 */
export const PLACES = {
  services: { layer: LEASES, path: Path.parse('/services') },
  sessions: { layer: LEASES, path: Path.parse('/sessions') },
  /** Key: the entry's number, so that byte order is the feed's order. */
  events: { layer: EVENTS, path: Path.root },
  /** Key `head`: an entry's number from which the end of the feed is near. */
  feed: { layer: LEASES, path: Path.parse('/feed') },
  /** Key: the whole id, so that the order is the contract's (§9). */
  configuration: { layer: CONFIGURATION, path: Path.root },
  /** Key: the bucket. */
  tenants: { layer: TENANTS, path: Path.root },
  /** Key: the hash of the token. */
  tokens: { layer: TOKENS, path: Path.root },
  /** Key: the bucket. */
  limits: { layer: LIMITS, path: Path.root },
} as const satisfies Record<string, Place>

/** One path per bucket that has leases, one key per lease: what the sweeper has an eye on. */
export const TIMER_LAYER = TIMERS

export const PULSE: Address = { layer: LEASES, path: Path.parse('/platform'), key: Key.parse('pulse') }

export const LEASE_LAYERS: readonly LayerDeclaration[] = [
  { name: LEASES, kind: 'current' },
  { name: EVENTS, kind: 'current' },
  { name: TIMERS, kind: 'current' },
  { name: TOKENS, kind: 'current' },
  { name: TENANTS, kind: 'versioned' },
  { name: LIMITS, kind: 'versioned' },
]

export const CONFIGURATION_LAYERS: readonly LayerDeclaration[] = [
  { name: CONFIGURATION, kind: 'versioned', watchable: true },
]

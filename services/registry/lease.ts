import { isJsonObject } from '../../core'
import type { Json, JsonObject, Version } from '../../core'

/** What an entry owes to the feed: an event that says the same may stand there already, behind `since`. */
export interface Debt {
  /** Unique: tells the event from every other, so that it is published once. */
  readonly cause: string
  /** Number of the feed's last entry before anybody could publish it. */
  readonly since: number
}

/** The part of a service or a session that heartbeats renew. */
export interface Lease {
  /** Seconds. */
  readonly heartbeat_timeout: number
  /** What the next heartbeat has to show. */
  readonly token: string
  /** Unix ms of the platform's clock. */
  readonly granted: number
  readonly deadline: number
  /** Unix ms of the last heartbeat. */
  readonly last_seen: number | null
}

export const DEATHS = ['service.timeout', 'service.remove', 'services.timeout'] as const
export type Death = (typeof DEATHS)[number]

/** What is due when an end is decided: the event of this type. */
type Dying = Debt & { readonly type: Death }

interface Mortal {
  /** Its end is decided: it is read as absent. */
  readonly dying?: Dying
}

/** A service as stored: by itself (with a lease) or in a session. A heartbeat writes it anew from what it lists. */
export interface StoredService extends Mortal {
  readonly tags: readonly string[]
  readonly metadata: Readonly<Record<string, string>>
  readonly session_id?: string
  readonly lease?: Lease
  /** Its `service.join`, as long as it is not certain that it was published. */
  readonly owes?: Debt
}

/** A heartbeat writes it anew from what it lists. */
export interface StoredSession extends Mortal {
  readonly metadata: Readonly<Record<string, string>>
  readonly lease: Lease
  /** `services`: the ids of those that it takes along, once they are known. */
  readonly dying?: Dying & { readonly services?: readonly string[] }
}

export function storedService(version: Version | undefined): StoredService | undefined {
  return stored(version?.v) as StoredService | undefined
}

export function storedSession(version: Version | undefined): StoredSession | undefined {
  return stored(version?.v) as StoredSession | undefined
}

function stored(value: Json | undefined): unknown {
  return isJsonObject(value) ? value : undefined
}

/** As clients see it, and as events tell of it: contract §7, §8. */
export function serviceView(id: string, service: StoredService): JsonObject {
  const { tags, metadata, session_id, lease } = service
  return session_id === undefined
    ? { id, heartbeat_timeout: lease!.heartbeat_timeout, tags, metadata, last_seen: lease!.last_seen }
    : { id, session_id, tags, metadata }
}

/** The payload of an event about it. */
export function servicePayload(id: string, service: StoredService): JsonObject {
  const { last_seen: _, ...payload } = serviceView(id, service)
  return payload
}

export function sessionView(id: string, { metadata, lease }: StoredSession): JsonObject {
  return { id, heartbeat_timeout: lease.heartbeat_timeout, metadata, last_seen: lease.last_seen }
}

import { randomUUID } from 'node:crypto'
import { Key, isKv4Error, addressIn } from '../../core'
import type { Address, Bucket, Json, JsonObject, Version } from '../../core'
import type { EventLog } from './event-log'
import { servicePayload, storedService, storedSession } from './lease'
import type { Death, Debt, Lease, StoredService, StoredSession } from './lease'
import { PLACES } from './places'
import type { PlatformClock } from './platform-clock'
import { TimeUuid } from './time-uuid'

/** A service or session as stored, and the version to write over. */
interface Written<Stored> {
  readonly stored: Stored
  readonly version: Version
}

/** A service of a session that ends. */
interface Child extends Written<StoredService> {
  readonly id: string
}

/** A live one. */
export interface Held<Stored> extends Written<Stored> {
  /** Unix ms from which on another look is worth while: when its time is over, unless it is renewed first. */
  readonly due: number
}

export const BY = '$sys'
const AT_ONCE = 500
/** A session that dies takes its services along; only one that it missed is left to be looked at then. */
const AFTER_SESSION_MS = 5_000
/** How long a heartbeat waits for others, so that one commit takes them all. */
const TOGETHER_MS = 100
/** A lease with less time left than this is renewed at once. */
const SOON_MS = 1_000
const RESOLVED = Promise.resolve()

export function serviceAddress(id: string): Address {
  return addressIn(PLACES.services, Key.parse(id))
}

export function sessionAddress(id: string): Address {
  return addressIn(PLACES.sessions, Key.parse(id))
}

/**
 * How leases end. Three steps, each a write that only one of many can make, so that any node may go on where another
 * one stopped:
 *
 *     alive ──mark, if it is still that version──▶ dying ──publish the event, once──▶ told ──remove──▶ gone
 *
 * From the mark on it is read as absent and no heartbeat reaches it. The mark names the cause under which the event is
 * published, so the event appears once whoever publishes it. A session is marked once more, with the services that it
 * takes along.
 */
export class Leases {
  constructor(
    readonly log: EventLog,
    readonly clock: PlatformClock,
    /** Resolves when every outage is known. */
    private readonly ready: () => Promise<void>,
  ) {}

  #together: Promise<void> | undefined
  /** Burials of sessions under way: a session that many look at has many services, and is buried once. */
  readonly #burials = new Map<string, Promise<void>>()

  /**
   * Resolves together with all others that wait: nobody minds when within a moment a heartbeat is stored. At once for
   * one that is about to end, or is not known: a reader would bury what only waits to be renewed.
   */
  together(lease: Lease | undefined): Promise<void> {
    if (lease === undefined || lease.deadline - this.clock.latest < SOON_MS) return RESOLVED
    return (this.#together ??= new Promise((resolve) =>
      setTimeout(() => {
        this.#together = undefined
        resolve()
      }, TOGETHER_MS),
    ))
  }

  /** A lease from now on. */
  grant(timeout: number, lastSeen: number | null): Lease {
    const granted = this.clock.now()
    const deadline = granted + timeout * 1000
    return {
      heartbeat_timeout: timeout,
      token: TimeUuid.random(deadline),
      granted,
      deadline,
      last_seen: lastSeen === null ? null : Math.floor(granted),
    }
  }

  /** Unix ms at which it ends, unless there is an outage first. */
  end({ granted, deadline }: Lease): number {
    return this.clock.end(granted, deadline)
  }

  async debt(bucket: Bucket): Promise<Debt> {
    return { cause: randomUUID(), since: await this.log.head(bucket) }
  }

  /** The service, if it lives; one whose time has come is buried first. */
  async service(
    bucket: Bucket,
    id: string,
    options: { readonly consistent?: boolean; readonly grace?: number } = {},
  ): Promise<Held<StoredService> | undefined> {
    const { consistent = false, grace = 0 } = options
    for (;;) {
      const version = await bucket.get(serviceAddress(id), { consistent })
      const stored = storedService(version)
      if (stored === undefined) return undefined
      if (stored.dying !== undefined) {
        await this.buryService(bucket, id, stored)
        return undefined
      }
      if (stored.session_id !== undefined) {
        const session = await this.session(bucket, stored.session_id, options)
        if (session !== undefined) return { stored, version: version!, due: session.due + AFTER_SESSION_MS }
        // A session takes its services along, but for one that was joining as it died.
        await this.#remove(bucket, serviceAddress(id), version!)
        return undefined
      }
      if (!(await this.#isOver(stored.lease!, grace)))
        return { stored, version: version!, due: this.end(stored.lease!) }
      if (await this.killService(bucket, id, { stored, version: version! }, 'service.timeout'))
        return undefined
    }
  }

  /** The session, if it lives; one whose time has come is buried first, with its services. */
  async session(
    bucket: Bucket,
    id: string,
    { consistent = false, grace = 0 }: { readonly consistent?: boolean; readonly grace?: number } = {},
  ): Promise<Held<StoredSession> | undefined> {
    for (;;) {
      const version = await bucket.get(sessionAddress(id), { consistent })
      const stored = storedSession(version)
      if (stored === undefined) return undefined
      if (stored.dying !== undefined) {
        await this.#burySession(bucket, id, stored)
        return undefined
      }
      if (!(await this.#isOver(stored.lease, grace)))
        return { stored, version: version!, due: this.end(stored.lease) }
      const dying: StoredSession = {
        ...stored,
        dying: { ...(await this.debt(bucket)), type: 'services.timeout' },
      }
      if (await this.rewrite(bucket, sessionAddress(id), dying, version!)) {
        await this.#burySession(bucket, id, dying)
        return undefined
      }
    }
  }

  /** false: it has changed, look again. */
  async killService(
    bucket: Bucket,
    id: string,
    { stored, version }: Written<StoredService>,
    type: Death,
  ): Promise<boolean> {
    const dying: StoredService = { ...stored, dying: { ...(await this.debt(bucket)), type } }
    if (!(await this.rewrite(bucket, serviceAddress(id), dying, version))) return false
    await this.buryService(bucket, id, dying)
    return true
  }

  /** Publishes that a service joined, unless that was done. */
  async announce(bucket: Bucket, id: string, stored: StoredService): Promise<void> {
    if (stored.owes === undefined) return
    await this.log.publish(bucket, {
      ...stored.owes,
      type: 'service.join',
      payload: servicePayload(id, stored),
    })
  }

  /** Whether it stands in the feed that a service joined. */
  async isAnnounced(bucket: Bucket, { owes }: StoredService): Promise<boolean> {
    return owes === undefined || (await this.log.has(bucket, owes))
  }

  async buryService(bucket: Bucket, id: string, stored: StoredService): Promise<void> {
    const { dying, lease } = stored
    if (await this.#isTaken(bucket, id, stored)) return
    await this.announce(bucket, id, stored)
    await this.log.publish(bucket, {
      cause: dying!.cause,
      since: dying!.since,
      type: dying!.type,
      payload: servicePayload(id, stored),
      ...(dying!.type === 'service.timeout' && { at: this.end(lease!) }),
    })
    await this.#clear(bucket, serviceAddress(id), dying!.cause)
  }

  /** Writes over that version. false: it has changed. */
  async rewrite(
    bucket: Bucket,
    address: Address,
    value: StoredService | StoredSession,
    over: Version,
    by = BY,
  ): Promise<boolean> {
    try {
      await bucket.put(address, value as unknown as Json, { by, expect: { n: over.n } })
      return true
    } catch (error) {
      if (isKv4Error(error, 'version_conflict')) return false
      throw error
    }
  }

  /** All services, dying ones too, in portions. */
  async *services(
    bucket: Bucket,
    consistent: boolean,
  ): AsyncGenerator<readonly [id: string, stored: StoredService, version: Version], void, undefined> {
    let after: Key | undefined
    do {
      const page = await bucket.entries(PLACES.services, {
        consistent,
        limit: AT_ONCE,
        ...(after !== undefined && { after }),
      })
      for (const { key, version } of page.items) yield [key, storedService(version)!, version]
      after = page.next
    } while (after !== undefined)
  }

  async #isOver(lease: Lease, grace: number): Promise<boolean> {
    if (this.clock.now() < this.end(lease) + grace) return false
    await this.ready()
    return this.clock.now() >= this.end(lease) + grace
  }

  #burySession(bucket: Bucket, id: string, stored: StoredSession): Promise<void> {
    const name = `${bucket.name} ${id} ${stored.dying!.cause}`
    let burial = this.#burials.get(name)
    if (burial === undefined) {
      burial = this.#bury(bucket, id, stored).finally(() => this.#burials.delete(name))
      this.#burials.set(name, burial)
    }
    return burial
  }

  async #bury(bucket: Bucket, id: string, stored: StoredSession): Promise<void> {
    const dying = stored.dying!
    const found = await this.#takenAlong(bucket, id, dying.cause)
    // Another node has gone through with it.
    if (found === undefined) return
    const { taken, children } = found
    const told = children.filter(({ id: child }) => taken.has(child))
    // Once it is told, an entry under an id of those is not the one that was taken along.
    if (!(await this.log.has(bucket, dying))) {
      for (const child of told) await this.announce(bucket, child.id, child.stored)
      const { cause, since, type } = dying
      await this.log.publish(bucket, {
        cause,
        since,
        type,
        payload: told.map((child): JsonObject => servicePayload(child.id, child.stored)),
        at: this.end(stored.lease),
      })
    }
    for (let i = 0; i < children.length; i += AT_ONCE)
      await Promise.all(
        children.slice(i, i + AT_ONCE).map(async (child) => {
          const isTaken = taken.has(child.id)
          if (!isTaken && child.stored.dying !== undefined) return
          const isRemoved = await this.#remove(bucket, serviceAddress(child.id), child.version)
          if (isTaken && !isRemoved) await this.#removeTaken(bucket, child.id, id)
        }),
      )
    await this.#clear(bucket, sessionAddress(id), dying.cause)
  }

  /**
   * The ids of those whom a session takes along, the same for every node that buries it, and the entries of its services
   * as they were then or later. Who is found later came too late to join, and nothing is told of it. undefined: it is
   * buried already.
   */
  async #takenAlong(
    bucket: Bucket,
    id: string,
    cause: string,
  ): Promise<{ readonly taken: ReadonlySet<string>; readonly children: readonly Child[] } | undefined> {
    for (;;) {
      const version = await bucket.get(sessionAddress(id), { consistent: true })
      const stored = storedSession(version)
      if (stored?.dying?.cause !== cause) return undefined
      const children = await this.#children(bucket, id)
      if (stored.dying.services !== undefined) return { taken: new Set(stored.dying.services), children }
      const services = children.filter((child) => child.stored.dying === undefined).map((child) => child.id)
      const decided: StoredSession = { ...stored, dying: { ...stored.dying, services } }
      if (await this.rewrite(bucket, sessionAddress(id), decided, version!))
        return { taken: new Set(services), children }
    }
  }

  async #children(bucket: Bucket, session: string): Promise<readonly Child[]> {
    const children: Child[] = []
    for await (const [id, stored, version] of this.services(bucket, true))
      if (stored.session_id === session) children.push({ id, stored, version })
    return children
  }

  /** Whatever has become of it meanwhile: that is told with its session. */
  async #removeTaken(bucket: Bucket, id: string, session: string): Promise<void> {
    for (;;) {
      const version = await bucket.get(serviceAddress(id), { consistent: true })
      if (storedService(version)?.session_id !== session) return
      if (await this.#remove(bucket, serviceAddress(id), version!)) return
    }
  }

  /**
   * Whether its session took a service along whose removal was marked: then it is told with that. Resolves once the
   * session is buried.
   */
  async #isTaken(bucket: Bucket, id: string, { session_id, dying }: StoredService): Promise<boolean> {
    if (session_id === undefined) return false
    const session = storedSession(await bucket.get(sessionAddress(session_id), { consistent: true }))
    // Whoever buries it from now on finds the mark.
    if (session !== undefined && session.dying === undefined) return false
    if (session !== undefined) await this.#burySession(bucket, session_id, session)
    const left = storedService(await bucket.get(serviceAddress(id), { consistent: true }))
    return left?.dying?.cause !== dying!.cause
  }

  /** Removes what was buried under that cause, and nothing that came after it. */
  async #clear(bucket: Bucket, address: Address, cause: string): Promise<void> {
    const version = await bucket.get(address, { consistent: true })
    const stored = storedService(version) ?? storedSession(version)
    if (stored?.dying?.cause === cause) await this.#remove(bucket, address, version!)
  }

  /** That version. false: it has changed, another node is at it. */
  async #remove(bucket: Bucket, address: Address, { n }: Version): Promise<boolean> {
    try {
      await bucket.remove(address, { by: BY, expect: { n } })
      return true
    } catch (error) {
      if (!isKv4Error(error, 'version_conflict')) throw error
      return false
    }
  }
}

import { Key, Kv4Error, isKv4Error } from '../../core'
import type { Bucket, Json, JsonObject } from '../../core'
import { serviceView, storedService } from './lease'
import type { StoredService, StoredSession } from './lease'
import type { Held, Leases } from './leases'
import { serviceAddress } from './leases'
import type { Quotas } from './quotas'
import { PLACES } from './places'
import type { Timers } from './timers'

/** What a service is made from: with a session or with a timeout of its own. */
export interface NewService {
  readonly id: string
  readonly tags?: readonly string[] | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly session_id?: string | undefined
  readonly heartbeat_timeout?: number | undefined
}

export interface ServiceChanges {
  readonly tags?: readonly string[] | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly heartbeat_timeout?: number | undefined
}

export interface Page<Item> {
  readonly items: readonly Item[]
  /** Id of the first item of the next page. */
  readonly next?: string
}

const AT_ONCE = 200

/** Services of an account: contract §7 and §8, by whichever door. */
export class Services {
  constructor(
    private readonly leases: Leases,
    private readonly timers: Timers,
    private readonly quotas: Quotas,
  ) {}

  /**
   * The token of its first heartbeat; undefined for one that lives by its session.
   * @throws service_exists, limit_reached, not_found for a session that is not there
   */
  async create(bucket: Bucket, by: string, service: NewService): Promise<string | undefined> {
    const { id, session_id } = service
    if ((await this.leases.service(bucket, id)) !== undefined) throw exists(id)
    const session = session_id === undefined ? undefined : await this.#requireSession(bucket, session_id)
    return this.quotas.make(bucket, 'service', () => this.#make(bucket, by, service, session))
  }

  async #make(
    bucket: Bucket,
    by: string,
    { id, tags = [], metadata = {}, session_id, heartbeat_timeout }: NewService,
    session: Held<StoredSession> | undefined,
  ): Promise<string | undefined> {
    const lease = session_id === undefined ? this.leases.grant(heartbeat_timeout!, null) : undefined
    await this.timers.add(bucket.name, 'service', id, session?.due ?? lease!.deadline)
    const stored: StoredService = {
      tags,
      metadata,
      ...(lease === undefined ? { session_id: session_id! } : { lease }),
      owes: await this.leases.debt(bucket),
    }
    for (;;)
      try {
        const version = await bucket.put(serviceAddress(id), stored as unknown as Json, {
          by,
          expect: 'absent',
        })
        // Its session may have died meanwhile, with it or without.
        if (
          session_id !== undefined &&
          (await this.leases.service(bucket, id, { consistent: true })) === undefined &&
          !(await this.leases.isAnnounced(bucket, stored))
        )
          throw noSession(session_id)
        await this.leases.announce(bucket, id, stored)
        const { owes: _, ...settled } = stored
        // Nobody may be told twice, so an entry that no heartbeat rewrites is settled here.
        if (session_id !== undefined) await this.leases.rewrite(bucket, serviceAddress(id), settled, version)
        return lease?.token
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        if ((await this.leases.service(bucket, id, { consistent: true })) !== undefined) throw exists(id)
      }
  }

  /** Until a heartbeat of it is best looked at, `Leases.together`. */
  together(bucket: Bucket, id: string): Promise<void> {
    return this.leases.together(storedService(bucket.peek(serviceAddress(id)) ?? undefined)?.lease)
  }

  /** The next token. @throws not_found, bad_token */
  async heartbeat(bucket: Bucket, by: string, id: string, token: string): Promise<string> {
    const address = serviceAddress(id)
    let consistent = false
    for (;;) {
      const known = consistent ? undefined : bucket.peek(address)
      const version = known === undefined ? await bucket.get(address, { consistent }) : known
      const stored = version?.v as unknown as StoredService | undefined
      const given = stored?.dying === undefined && stored?.lease?.token === token
      if (!given) {
        // What this node remembers may be behind another one's heartbeat.
        if (!consistent) {
          consistent = true
          continue
        }
        if (stored === undefined || stored.dying !== undefined) throw absent(id)
        throw new Kv4Error('bad_token', { fields: { k: id } })
      }
      const lease = this.leases.grant(stored.lease.heartbeat_timeout, 0)
      // Whoever has a token has heard that the service joined, so its event is there.
      const alive: StoredService = { tags: stored.tags, metadata: stored.metadata, lease }
      if (await this.leases.rewrite(bucket, address, alive, version!, by)) {
        if (lease.deadline < stored.lease.deadline)
          this.timers.sooner(bucket.name, 'service', id, lease.deadline)
        return lease.token
      }
      consistent = true
    }
  }

  /** @throws not_found */
  async get(bucket: Bucket, id: string): Promise<JsonObject> {
    const held = await this.leases.service(bucket, id)
    if (held === undefined) throw absent(id)
    return serviceView(id, held.stored)
  }

  /** Only the keys that are given change; a new timeout counts from the next heartbeat on. @throws not_found */
  async update(bucket: Bucket, by: string, id: string, changes: ServiceChanges): Promise<void> {
    for (let consistent = false; ; consistent = true) {
      const held = await this.leases.service(bucket, id, { consistent })
      if (held === undefined) throw absent(id)
      const { stored, version } = held
      const { tags, metadata, heartbeat_timeout } = changes
      const changed: StoredService = {
        ...stored,
        ...(tags !== undefined && { tags }),
        ...(metadata !== undefined && { metadata }),
        ...(heartbeat_timeout !== undefined &&
          stored.lease !== undefined && { lease: { ...stored.lease, heartbeat_timeout } }),
      }
      if (await this.leases.rewrite(bucket, serviceAddress(id), changed, version, by)) return
    }
  }

  /** @throws not_found */
  async remove(bucket: Bucket, id: string): Promise<void> {
    for (let consistent = false; ; consistent = true) {
      const held = await this.leases.service(bucket, id, { consistent })
      if (held === undefined) throw absent(id)
      if (await this.leases.killService(bucket, id, held, 'service.remove')) break
    }
    this.quotas.removed(bucket, 'service')
  }

  /**
   * In byte order of the ids, from `from` (inclusive) on, those with the tag if one is given. An expired service is
   * buried rather than listed.
   */
  async list(
    bucket: Bucket,
    { from, limit, tag }: { readonly from?: string; readonly limit: number; readonly tag?: string },
  ): Promise<Page<JsonObject>> {
    const items: JsonObject[] = []
    const ids: string[] = []
    if (from !== undefined) ids.push(from)
    let after = from === undefined ? undefined : Key.parse(from)
    for (;;) {
      const page = await bucket.keys(PLACES.services, {
        limit: AT_ONCE,
        ...(after !== undefined && { after }),
      })
      ids.push(...page.items)
      for (const id of ids.splice(0)) {
        const held = await this.leases.service(bucket, id)
        if (held === undefined || (tag !== undefined && !held.stored.tags.includes(tag))) continue
        if (items.length === limit) return { items, next: id }
        items.push(serviceView(id, held.stored))
      }
      if (page.next === undefined) return { items }
      after = page.next
    }
  }

  async #requireSession(bucket: Bucket, id: string): Promise<Held<StoredSession>> {
    const found =
      (await this.leases.session(bucket, id)) ?? (await this.leases.session(bucket, id, { consistent: true }))
    if (found === undefined) throw noSession(id)
    return found
  }
}

function absent(id: string): Kv4Error {
  return new Kv4Error('not_found', { fields: { what: 'Service', k: id } })
}

function noSession(id: string): Kv4Error {
  return new Kv4Error('not_found', { fields: { what: 'Session', k: id } })
}

function exists(id: string): Kv4Error {
  return new Kv4Error('service_exists', { fields: { k: id } })
}

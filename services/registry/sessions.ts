import { randomInt } from 'node:crypto'
import { Key, Kv4Error } from '../../core'
import type { Bucket, Json, JsonObject } from '../../core'
import { servicePayload, sessionView, storedSession } from './lease'
import type { StoredSession } from './lease'
import type { Leases } from './leases'
import { sessionAddress } from './leases'
import { PLACES } from './places'
import type { Quotas } from './quotas'
import type { Page } from './services'
import type { Timers } from './timers'

export interface NewSession {
  readonly heartbeat_timeout: number
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const ID_LETTERS = 8
const AT_ONCE = 200

/** `se` and eight letters or digits: contract §8. */
function newId(): string {
  return 'se' + Array.from({ length: ID_LETTERS }, () => LETTERS[randomInt(LETTERS.length)]).join('')
}

/** Sessions of an account: contract §8. There is no end to a session but its silence. */
export class Sessions {
  constructor(
    private readonly leases: Leases,
    private readonly timers: Timers,
    private readonly quotas: Quotas,
  ) {}

  /** @throws limit_reached */
  create(
    bucket: Bucket,
    by: string,
    { heartbeat_timeout, metadata = {} }: NewSession,
  ): Promise<{ readonly id: string; readonly token: string }> {
    return this.quotas.make(bucket, 'session', async () => {
      const id = newId()
      const lease = this.leases.grant(heartbeat_timeout, null)
      await this.timers.add(bucket.name, 'session', id, lease.deadline)
      const stored: StoredSession = { metadata, lease }
      await bucket.put(sessionAddress(id), stored as unknown as Json, { by, expect: 'absent' })
      return { id, token: lease.token }
    })
  }

  /** Until a heartbeat of it is best looked at, `Leases.together`. */
  together(bucket: Bucket, id: string): Promise<void> {
    return this.leases.together(storedSession(bucket.peek(sessionAddress(id)) ?? undefined)?.lease)
  }

  /** The next token. @throws not_found, bad_token */
  async heartbeat(bucket: Bucket, by: string, id: string, token: string): Promise<string> {
    const address = sessionAddress(id)
    for (let consistent = false; ; consistent = true) {
      const known = consistent ? undefined : bucket.peek(address)
      const version = known === undefined ? await bucket.get(address, { consistent }) : known
      const stored = version?.v as unknown as StoredSession | undefined
      if (stored?.dying === undefined && stored?.lease.token === token) {
        const lease = this.leases.grant(stored.lease.heartbeat_timeout, 0)
        const alive: StoredSession = { metadata: stored.metadata, lease }
        if (await this.leases.rewrite(bucket, address, alive, version!, by)) {
          if (lease.deadline < stored.lease.deadline)
            this.timers.sooner(bucket.name, 'session', id, lease.deadline)
          return lease.token
        }
      } else if (consistent) {
        if (stored === undefined || stored.dying !== undefined) throw absent(id)
        throw new Kv4Error('bad_token', { fields: { k: id } })
      }
    }
  }

  /** @throws not_found */
  async get(bucket: Bucket, id: string): Promise<JsonObject> {
    const held = await this.leases.session(bucket, id)
    if (held === undefined) throw absent(id)
    return sessionView(id, held.stored)
  }

  /** Only the keys that are given change; a new timeout counts from the next heartbeat on. @throws not_found */
  async update(bucket: Bucket, by: string, id: string, changes: Partial<NewSession>): Promise<void> {
    for (let consistent = false; ; consistent = true) {
      const held = await this.leases.session(bucket, id, { consistent })
      if (held === undefined) throw absent(id)
      const { stored, version } = held
      const { metadata, heartbeat_timeout } = changes
      const changed: StoredSession = {
        ...stored,
        ...(metadata !== undefined && { metadata }),
        ...(heartbeat_timeout !== undefined && { lease: { ...stored.lease, heartbeat_timeout } }),
      }
      if (await this.leases.rewrite(bucket, sessionAddress(id), changed, version, by)) return
    }
  }

  /** In byte order of the ids, from `from` (inclusive) on. */
  async list(
    bucket: Bucket,
    { from, limit }: { readonly from?: string; readonly limit: number },
  ): Promise<Page<JsonObject>> {
    const items: JsonObject[] = []
    const ids: string[] = from === undefined ? [] : [from]
    let after = from === undefined ? undefined : Key.parse(from)
    for (;;) {
      const page = await bucket.keys(PLACES.sessions, {
        limit: AT_ONCE,
        ...(after !== undefined && { after }),
      })
      ids.push(...page.items)
      for (const id of ids.splice(0)) {
        const held = await this.leases.session(bucket, id)
        if (held === undefined) continue
        if (items.length === limit) return { items, next: id }
        items.push(sessionView(id, held.stored))
      }
      if (page.next === undefined) return { items }
      after = page.next
    }
  }

  /** Each session of a page with its services. */
  async overview(
    bucket: Bucket,
    page: { readonly from?: string; readonly limit: number },
  ): Promise<Page<JsonObject>> {
    const { items, next } = await this.list(bucket, page)
    const bySession = new Map<string, JsonObject[]>(items.map(({ id }) => [id as string, []]))
    for await (const [id, service] of this.leases.services(bucket, false))
      if (service.session_id !== undefined && service.dying === undefined)
        bySession.get(service.session_id)?.push(servicePayload(id, service))
    const views = items.map((session): JsonObject => ({
      session,
      services: bySession.get(session.id as string)!,
    }))
    return next === undefined ? { items: views } : { items: views, next }
  }
}

function absent(id: string): Kv4Error {
  return new Kv4Error('not_found', { fields: { what: 'Session', k: id } })
}

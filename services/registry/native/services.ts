import { z } from 'zod'
import type { Address, Json } from '../../../core'
import { Reply, route } from '../../module'
import type { Route } from '../../module'
import { PAGING } from '../../paging'
import { serviceView } from '../lease'
import type { StoredService } from '../lease'
import { PLACES } from '../places'
import type { Registry } from '../registry'
import { heartbeatToken, invalidParameter, isServiceId, newService, serviceChanges } from '../rules'
import { EntryBody, described, keyOf } from './entry'
import { pageOf, pageReply } from './page'

function serviceId(id: string): string {
  if (!isServiceId(id)) throw invalidParameter('k')
  return id
}

/** Without the token that renews it; of one whose end is decided nothing more is told but the end. */
function shownService({ key }: Address, { v }: { readonly v: Json }): Json | undefined {
  const service = v as unknown as StoredService
  return service.dying === undefined ? serviceView(key, service) : undefined
}

export function services({ services: all }: Registry): readonly Route[] {
  const at = '/services'
  return [
    route({
      method: 'GET',
      at,
      access: 'account',
      summary: 'The service `k`, or all of them (with the `tag`), by id; paged by `limit` and `after`.',
      input: {
        query: z.object({
          limit: PAGING.limit,
          after: z.string().optional(),
          k: z.string().optional(),
          tag: z.string().optional(),
        }),
      },
      watch: () => ({ ...PLACES.services, depth: 0, show: shownService }),
      async run({ bucket, query }) {
        const { k, tag } = query
        if (k !== undefined) return all.get(bucket, serviceId(k))
        const page = pageOf(query, isServiceId)
        return pageReply(await all.list(bucket, { ...page, ...(tag !== undefined && { tag }) }))
      },
    }),
    route({
      method: 'PUT',
      at,
      access: 'account',
      summary:
        'Registers the service `k`: `v` has a heartbeat_timeout (3 to 120 s) or a session_id, tags, metadata. Answers the token of the first heartbeat.',
      input: { body: EntryBody },
      async run({ bucket, body, principal }) {
        keyOf(body)
        const token = await all.create(bucket, principal.login, newService(described(body)))
        return new Reply({ token: token ?? null }, { created: true })
      },
    }),
    route({
      method: 'POST',
      at,
      access: 'account',
      summary: 'Changes tags, metadata or heartbeat_timeout of the service `k`; what is not named stays.',
      input: { body: EntryBody },
      async run({ bucket, body, principal }) {
        const id = serviceId(keyOf(body))
        await all.update(bucket, principal.login, id, serviceChanges(described(body)))
        return all.get(bucket, id)
      },
    }),
    route({
      method: 'DELETE',
      at,
      access: 'account',
      summary: 'Ends the service `k`; answers 1.',
      input: { query: z.object({ k: z.string().optional() }) },
      async run({ bucket, query }) {
        await all.remove(bucket, serviceId(keyOf(query)))
        return 1
      },
    }),
    route({
      method: 'POST',
      at: '/services/heartbeat',
      access: 'account',
      summary: 'The service `k` lives: takes the `token` of the last answer, gives the next.',
      input: { body: EntryBody },
      async run({ bucket, body, principal }) {
        const id = serviceId(keyOf(body))
        const sent = heartbeatToken(described(body))
        await all.together(bucket, id)
        return { token: await all.heartbeat(bucket, principal.login, id, sent) }
      },
    }),
  ]
}

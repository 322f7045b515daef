import { z } from 'zod'
import type { Address, Json } from '../../../core'
import { Reply, route } from '../../module'
import type { Route } from '../../module'
import { PAGING } from '../../paging'
import { sessionView } from '../lease'
import type { StoredSession } from '../lease'
import { PLACES } from '../places'
import type { Registry } from '../registry'
import { heartbeatToken, invalidParameter, isSessionId, newSession, sessionChanges } from '../rules'
import { EntryBody, described, keyOf } from './entry'
import { pageOf, pageReply } from './page'

const PAGE = { limit: PAGING.limit, after: z.string().optional() }

function sessionId(id: string): string {
  if (!isSessionId(id)) throw invalidParameter('k')
  return id
}

/** Without the token that renews it; of one whose end is decided nothing more is told but the end. */
function shownSession({ key }: Address, { v }: { readonly v: Json }): Json | undefined {
  const session = v as unknown as StoredSession
  return session.dying === undefined ? sessionView(key, session) : undefined
}

export function sessions({ sessions: all }: Registry): readonly Route[] {
  const at = '/sessions'
  return [
    route({
      method: 'GET',
      at,
      access: 'account',
      summary: 'The session `k`, or all of them, by id; paged by `limit` and `after`.',
      input: { query: z.object({ ...PAGE, k: z.string().optional() }) },
      watch: () => ({ ...PLACES.sessions, depth: 0, show: shownSession }),
      async run({ bucket, query }) {
        if (query.k !== undefined) return all.get(bucket, sessionId(query.k))
        return pageReply(await all.list(bucket, pageOf(query, isSessionId)))
      },
    }),
    route({
      method: 'PUT',
      at,
      access: 'account',
      summary:
        'Opens a session: `v` has a heartbeat_timeout (3 to 120 s) and metadata. Answers its id and the token of the first heartbeat.',
      input: { body: EntryBody },
      async run({ bucket, body, principal }) {
        const { id, token } = await all.create(bucket, principal.login, newSession(described(body)))
        return new Reply({ id, token }, { created: true })
      },
    }),
    route({
      method: 'POST',
      at,
      access: 'account',
      summary: 'Changes metadata or heartbeat_timeout of the session `k`; what is not named stays.',
      input: { body: EntryBody },
      async run({ bucket, body, principal }) {
        const id = sessionId(keyOf(body))
        await all.update(bucket, principal.login, id, sessionChanges(described(body)))
        return all.get(bucket, id)
      },
    }),
    route({
      method: 'POST',
      at: '/sessions/heartbeat',
      access: 'account',
      summary: 'The session `k` lives: takes the `token` of the last answer, gives the next.',
      input: { body: EntryBody },
      async run({ bucket, body, principal }) {
        const id = sessionId(keyOf(body))
        const sent = heartbeatToken(described(body))
        await all.together(bucket, id)
        return { token: await all.heartbeat(bucket, principal.login, id, sent) }
      },
    }),
    route({
      method: 'GET',
      at: '/overview',
      access: 'account',
      summary: 'Each session with its services; paged by `limit` and `after`.',
      input: { query: z.object(PAGE) },
      async run({ bucket, query }) {
        return pageReply(await all.overview(bucket, pageOf(query, isSessionId)))
      },
    }),
  ]
}

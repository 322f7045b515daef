import type { Registry } from '../registry'
import { heartbeatToken, isSessionId, newSession, sessionChanges } from '../rules'
import { idIn } from './call'
import { markerOf } from './endpoint'
import type { Endpoint } from './endpoint'
import { heartbeat, location } from './services'

const ONE = '/sessions/([^/]+)'

function sessionId(text: string | undefined): string {
  return idIn(text!, 'sessionId', isSessionId)
}

/** G1 only: contract §8. */
export function sessionRoutes({ sessions }: Registry): readonly Endpoint[] {
  return [
    {
      method: 'GET',
      path: '/sessions/?',
      summary: 'Sessions by id; paged by `limit` and `marker`.',
      async run(call, { bucket }) {
        const limit = call.limit()
        const marker = markerOf(call)
        const { items, next } = await sessions.list(bucket, {
          limit,
          ...(marker !== null && { from: marker }),
        })
        return call.list(items, limit, marker, next)
      },
    },
    {
      method: 'POST',
      path: '/sessions/?',
      summary: 'Opens a session.',
      async run(call, caller) {
        const { id, token } = await sessions.create(
          caller.bucket,
          caller.login,
          newSession(await call.body()),
        )
        return call.reply(201, { token }, [location(call, caller, 'sessions', id)])
      },
    },
    {
      method: 'GET',
      path: ONE,
      summary: 'One session.',
      async run(call, { bucket }, [id]) {
        return call.reply(200, await sessions.get(bucket, sessionId(id)))
      },
    },
    {
      method: 'PUT',
      path: ONE,
      summary: 'Changes the keys that are given.',
      async run(call, caller, [text]) {
        const id = sessionId(text)
        await sessions.update(caller.bucket, caller.login, id, sessionChanges(await call.body()))
        return call.reply(204, undefined, [location(call, caller, 'sessions', id)])
      },
    },
    {
      method: 'POST',
      path: `${ONE}/heartbeat`,
      summary: 'The session lives: the token of the last answer for the next.',
      async run(call, { bucket, login }, [text]) {
        const id = sessionId(text)
        const sent = heartbeatToken(await call.body())
        const token = await heartbeat(sent, () => sessions.heartbeat(bucket, login, id, sent))
        return call.reply(200, { token }, [['Connection', 'keep-alive']])
      },
    },
    {
      method: 'GET',
      path: '/views/overview/?',
      summary: 'Each session with its services; paged by `limit` and `marker`.',
      async run(call, { bucket }) {
        const limit = call.limit()
        const marker = markerOf(call)
        const { items, next } = await sessions.overview(bucket, {
          limit,
          ...(marker !== null && { from: marker }),
        })
        return call.list(items, limit, marker, next)
      },
    },
  ]
}

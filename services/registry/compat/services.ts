import { isKv4Error } from '../../../core'
import type { Registry } from '../registry'
import { heartbeatToken, isServiceId, newService, serviceChanges } from '../rules'
import { Refusal, missing } from './fault'
import { idIn } from './call'
import type { Call, Caller } from './call'
import { markerOf, tagOf } from './endpoint'
import type { Endpoint } from './endpoint'

const ONE = '/services/([^/]+)'

function serviceId(text: string | undefined): string {
  return idIn(text!, 'serviceId', isServiceId)
}

/** Where a thing is, without regard to how the URL of the request was spelled; clients take the last segment. */
export function location(
  { request }: Call,
  { tenant }: Caller,
  kind: string,
  id: string,
): readonly [string, string] {
  return ['Location', `${request.origin}/v1.0/${tenant.id}/${kind}/${id}`]
}

/** A token that is not the one that was given last is a marker that does not exist: contract §7. */
export async function heartbeat(token: string, beat: () => Promise<string>): Promise<string> {
  try {
    return await beat()
  } catch (error) {
    throw isKv4Error(error, 'bad_token') ? new Refusal(missing('HeartbeatMarker', token)) : error
  }
}

export function serviceRoutes({ services }: Registry): readonly Endpoint[] {
  return [
    {
      method: 'GET',
      path: '/services/?',
      summary: 'Services by id, those with the `tag`; paged by `limit` and `marker`.',
      async run(call, { bucket }) {
        const limit = call.limit()
        const marker = markerOf(call)
        const tag = tagOf(call)
        const { items, next } = await services.list(bucket, {
          limit,
          ...(marker !== null && { from: marker }),
          ...(tag !== null && { tag }),
        })
        return call.list(items, limit, marker, next)
      },
    },
    {
      method: 'POST',
      path: '/services/?',
      summary:
        'Registers a service: with a heartbeat_timeout it gets a token, with a session_id it joins that.',
      async run(call, caller) {
        const service = newService(await call.body())
        const token = await services.create(caller.bucket, caller.login, service)
        // G1 answers without a body, but python looks at Content-Length: `{}` is both.
        return call.reply(201, token === undefined ? {} : { token }, [
          location(call, caller, 'services', service.id),
        ])
      },
    },
    {
      method: 'GET',
      path: ONE,
      summary: 'One service.',
      async run(call, { bucket }, [id]) {
        return call.reply(200, await services.get(bucket, serviceId(id)))
      },
    },
    {
      method: 'PUT',
      path: ONE,
      summary: 'Changes the keys that are given.',
      async run(call, caller, [text]) {
        const id = serviceId(text)
        await services.update(caller.bucket, caller.login, id, serviceChanges(await call.body()))
        return call.reply(204, undefined, [location(call, caller, 'services', id)])
      },
    },
    {
      method: 'DELETE',
      path: ONE,
      summary: 'Ends a service.',
      async run(call, { bucket }, [id]) {
        await services.remove(bucket, serviceId(id))
        return call.reply(204)
      },
    },
    {
      method: 'POST',
      path: `${ONE}/heartbeat`,
      summary: 'The service lives: the token of the last answer for the next.',
      async run(call, { bucket, login }, [text]) {
        const id = serviceId(text)
        const sent = heartbeatToken(await call.body())
        const token = await heartbeat(sent, () => services.heartbeat(bucket, login, id, sent))
        return call.reply(200, { token }, [['Connection', 'keep-alive']])
      },
    },
  ]
}

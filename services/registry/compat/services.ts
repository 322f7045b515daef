import type { Registry } from '../registry'
import { isServiceId, newService, serviceChanges } from '../rules'
import { idIn } from './call'
import { listed, location, tagOf } from './endpoint'
import type { Endpoint } from './endpoint'
import { leaseEndpoints } from './leases'

export function serviceRoutes({ services }: Registry): readonly Endpoint[] {
  return [
    {
      method: 'GET',
      path: '/services/?',
      at: '/services',
      summary: 'Services by id, those with the `tag`; paged by `limit` and `marker`.',
      async run(call, { bucket }) {
        return listed(call, (page) => {
          const tag = tagOf(call)
          return services.list(bucket, { ...page, ...(tag !== null && { tag }) })
        })
      },
    },
    {
      method: 'POST',
      path: '/services/?',
      at: '/services',
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
    ...leaseEndpoints('service', services, isServiceId, serviceChanges),
    {
      method: 'DELETE',
      path: '/services/([^/]+)',
      at: '/services',
      summary: 'Ends a service.',
      async run(call, { bucket }, [id]) {
        await services.remove(bucket, idIn(id!, 'serviceId', isServiceId))
        return call.reply(204)
      },
    },
  ]
}

import type { JsonObject } from '../../../core'
import { route } from '../../module'
import type { Route } from '../../module'
import { namedBucket } from '../../named-bucket'
import type { Registry } from '../registry'
import { limitChanges } from '../rules'
import { EntryBody, described, keyOf } from './entry'

export function limits({ quotas }: Registry): readonly Route[] {
  return [
    route({
      method: 'GET',
      at: '/limits',
      access: 'account',
      summary: 'What the account may have of each resource, and how often it may ask by the compatible API.',
      async run({ bucket }) {
        const { used } = await quotas.used(bucket.name)
        const { resource, rate } = await quotas.limits(bucket.name)
        return { resource, rate: { ...rate, used } }
      },
    }),
    route({
      method: 'PUT',
      at: '/limits',
      access: 'system',
      summary:
        'Sets limits of the account `k` (`name` or `name#sub`): `v` is {resource: {session, service, configuration_value}, rate: {limit, window}}, any part of it; the window in seconds, to 24 days.',
      input: { body: EntryBody },
      async run({ body, principal }) {
        const bucket = namedBucket(keyOf(body))
        return (await quotas.set(
          bucket,
          principal.login,
          limitChanges(described(body)),
        )) as unknown as JsonObject
      },
    }),
  ]
}

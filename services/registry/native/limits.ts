import { BucketName } from '../../../core'
import type { JsonObject } from '../../../core'
import { route } from '../../module'
import type { Route } from '../../module'
import type { Registry } from '../registry'
import { limitChanges } from '../rules'
import { EntryBody, described, keyOf } from './entry'

/** `elena` or `elena#lily`. @throws bad_bucket_name */
function bucketOf(account: string): BucketName {
  if (account === '$sys') return BucketName.system
  const hash = account.indexOf('#')
  return hash < 0 ? BucketName.of(account) : BucketName.of(account.slice(0, hash), account.slice(hash + 1))
}

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
        'Sets limits of the account `k` (`name` or `name#sub`): `v` is {resource: {session, service, configuration_value}, rate: {limit, window}}, any part of it.',
      input: { body: EntryBody },
      async run({ body, principal }) {
        const bucket = bucketOf(keyOf(body))
        return (await quotas.set(
          bucket,
          principal.login,
          limitChanges(described(body)),
        )) as unknown as JsonObject
      },
    }),
  ]
}

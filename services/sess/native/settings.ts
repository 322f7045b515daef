import { z } from 'zod'
import { BucketName, Kv4Error, type Bucket, type Engine, type Json } from '../../../core'
import { route, type Route, type ServiceRequest } from '../../module'
import { namedBucket } from '../../named-bucket'
import { SETTINGS_ADDRESS, SETTINGS_AT } from '../places'
import { SettingsBody, settingsOf, shown } from '../settings'

const Account = z.string().describe('an account, of which the system asks: `elena`, `elena#lily`')
const Query = z.object({ account: Account.optional() })

export function settings(engine: Engine): readonly Route[] {
  /** @throws forbidden for another account's, unless the system asks; bad_bucket_name */
  function bucketOf({ bucket }: Pick<ServiceRequest, 'bucket'>, account: string | undefined): Bucket {
    if (account === undefined) return bucket
    if (bucket.name !== BucketName.system) throw new Kv4Error('forbidden')
    return engine.bucket(namedBucket(account))
  }

  return [
    route({
      method: 'GET',
      at: SETTINGS_AT,
      access: 'account',
      summary: 'What holds for the sessions of the account; `$sys` may ask for that of another `account`.',
      input: { query: Query },
      run: async (request) => shown(await settingsOf(bucketOf(request, request.query.account))),
    }),
    route({
      method: 'PUT',
      at: SETTINGS_AT,
      access: 'account',
      summary:
        'Sets it: `v` is {ttl, extended_by: nothing | writes | reads, share, longest}; what is not named is the default. `$sys` may set it for another `account`.',
      input: { body: z.object({ account: Account.optional(), v: SettingsBody }) },
      async run(request) {
        const { body, principal } = request
        const bucket = bucketOf(request, body.account)
        await bucket.put(SETTINGS_ADDRESS, body.v as Json, { by: principal.login })
        return shown(await settingsOf(bucket))
      },
    }),
    route({
      method: 'DELETE',
      at: SETTINGS_AT,
      access: 'account',
      summary: 'Back to the defaults: 1, or 0 where nothing was set.',
      input: { query: Query },
      async run(request) {
        const bucket = bucketOf(request, request.query.account)
        return (await bucket.remove(SETTINGS_ADDRESS, { by: request.principal.login })) === undefined ? 0 : 1
      },
    }),
  ]
}

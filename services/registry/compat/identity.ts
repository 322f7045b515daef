import { Kv4Error, isKv4Error } from '../../../core'
import type { MountRoute } from '../../mount'
import type { Registry } from '../registry'
import { sentObject } from '../rules'
import { Call } from './call'

/**
 * Hours west of Greenwich in `expires`: the Java client cannot read a `Z` (contract §2). Python takes the hours that it
 * reads for those of its own zone, and once it believes a token dead, shows it to its end: so they are as late as this
 * form, the original's, lets them be.
 */
const OFFSET_HOURS = 1

/**
 * Of the whole second: the Java client takes milliseconds for seconds, and would show a token for up to 16 minutes after its
 * end. It does not read answers of 401, and waits forever for a connection after the second.
 */
function localTime(ms: number): string {
  const shifted = new Date(ms - OFFSET_HOURS * 3600_000).toISOString()
  return shifted.replace(/\.\d{3}Z$/, `.000-0${OFFSET_HOURS}:00`)
}

function credential(body: unknown): { readonly user: string; readonly secret: string } | undefined {
  const auth = sentObject(sentObject(body).auth)
  const byKey = sentObject(auth['RAX-KSKEY:apiKeyCredentials'])
  const byPassword = sentObject(auth.passwordCredentials)
  const [user, secret] =
    byKey.username === undefined ? [byPassword.username, byPassword.password] : [byKey.username, byKey.apiKey]
  return typeof user === 'string' && typeof secret === 'string' && user !== '' && secret !== ''
    ? { user, secret }
    : undefined
}

/** What the clients' identity service answers for an account and its secret. */
export function identity(registry: Registry): readonly MountRoute[] {
  return [
    {
      methods: ['POST'],
      pattern: /^\/v2\.0\/tokens\/?$/,
      access: 'public',
      summary:
        'A token for 24 hours: username is `account` or `account#sub`, apiKey its secret; with the catalogue that names the tenant.',
      async run(request) {
        const call = Call.of(request)
        const sent = credential(await call.body())
        try {
          if (sent === undefined) throw new Kv4Error('unauthorized')
          const principal = await request.authenticate(sent.user, sent.secret)
          const token = await registry.tokens.give(sent)
          const { id } = await registry.tenants.of(principal.bucket)
          const endpoints = [{ tenantId: id, publicURL: `${request.origin}/v1.0/${id}` }]
          return call.reply(200, {
            access: {
              token: { id: token.text, expires: localTime(token.expires), tenant: { id, name: id } },
              serviceCatalog: [
                { name: 'cloudServers', type: 'compute', endpoints },
                { name: 'cloudMonitoring', type: 'rax:monitor', endpoints },
              ],
              user: { id, name: sent.user, roles: [] },
            },
          })
        } catch (error) {
          if (!isKv4Error(error, 'unauthorized')) throw error
          const message = 'Username or api key is invalid.'
          return call.reply(401, { unauthorized: { code: 401, message } })
        }
      },
    },
  ]
}

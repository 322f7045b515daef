import { Kv4Error, Path, isKv4Error } from '../../../core'
import type { Json, JsonObject } from '../../../core'
import type { ServiceContext } from '../../module'
import type { Mount, MountReply, MountRequest, MountRoute } from '../../mount'
import { EVENT_TYPES } from '../event-log'
import { Registry } from '../registry'
import { Call, hours } from './call'
import { configurationRoutes } from './configuration'
import { markerOf } from './endpoint'
import type { Endpoint } from './endpoint'
import { FAULT_STATUS, badRequest, faultOf } from './fault'
import { identity } from './identity'
import { serviceRoutes } from './services'
import { sessionRoutes } from './sessions'

/** A body of this many bytes is too many: contract §3. */
const TOO_LARGE = 5000

function platformRoutes({ quotas, events }: Registry): readonly Endpoint[] {
  return [
    {
      method: 'GET',
      path: '/limits/?',
      at: '/limits',
      summary: 'What the account may have and how often it may ask.',
      async run(call, { bucket }) {
        const { resource } = await quotas.limits(bucket.name)
        const { limit, used, window } = await quotas.used(bucket.name)
        return call.reply(200, { resource, rate: { '/.*': { limit, used, window: hours(window) } } })
      },
    },
    {
      method: 'GET',
      path: '/events/?',
      at: '/events',
      summary: 'The feed: from the `marker` on (inclusive), or of the last hour; `type` filters each page.',
      async run(call, { bucket, tenant }) {
        const limit = call.limit()
        const marker = markerOf(call)
        const type = call.parameters.get('type')
        // In G2's words, which do not name the type that only G1 has.
        const valid = EVENT_TYPES.filter((name) => name !== 'services.timeout').join(',')
        if (type !== null && !EVENT_TYPES.some((name) => name === type))
          throw badRequest(`Invalid type: ${type}. Valid types are: ${valid}`)
        const start = marker === null ? {} : { marker, notBefore: tenant.since }
        const page = await events.page(bucket, start, limit)
        const shown = page.events.filter((event) => type === null || event.type === type)
        return call.list(shown as unknown as readonly Json[], limit, null, page.nextMarker)
      },
    },
  ]
}

/**
 * The wire of the Cloud Service Registry, both generations side by side (contract, service-registry.md), and the
 * identity endpoint that its clients ask for a token.
 */
export function registryMount(context: ServiceContext): Mount {
  const registry = Registry.of(context)
  const endpoints = [
    ...sessionRoutes(registry),
    ...serviceRoutes(registry),
    ...configurationRoutes(registry),
    ...platformRoutes(registry),
  ]
  const routes = endpoints.map(({ method, path, at, summary, together, run }): MountRoute => {
    const placeOf = placed(at)
    return {
      methods: [method],
      pattern: new RegExp(`^/v1\\.0(?:/(\\d+))?${path}$`),
      access: 'public',
      summary,
      async run(request, [, tenant, ...match]) {
        const call = Call.of(request)
        const before = together && call.admittedBefore(registry, tenant, path)
        if (before !== undefined) {
          // What has arrived counts, though its sender hangs up meanwhile. An error comes again when it is read.
          await request.body().catch(() => undefined)
          await together!(before.bucket, match)
        }
        const at = () => placeOf(match)
        const caller = await call.caller(registry, tenant, { at, place: together && path })
        if (before === undefined) await together?.(caller.bucket, match)
        // Of those that do not read it as well: contract §3.
        if (Number(request.headers['content-length'] ?? 0) >= TOO_LARGE)
          throw new Kv4Error('body_too_large', { fields: { limit: TOO_LARGE - 1 } })
        // To hand on the promise itself takes V8 three turns of its queue more.
        return await run(call, caller, match)
      },
    }
  })
  return {
    name: 'service-registry',
    segments: ['v1.0', 'v2.0'],
    maxBody: TOO_LARGE - 1,
    routes: [
      ...identity(registry),
      ...routes,
      {
        methods: ['*'],
        pattern: /^\/v1\.0(?:\/(\d+))?(?:\/.*)?$/,
        access: 'public',
        summary: 'Everything else is not found, once it is known who asks.',
        async run(request, [, tenant]) {
          await Call.of(request).caller(registry, tenant)
          throw new Kv4Error('not_found')
        },
      },
    ],
    refuse,
  }
}

function placed(at: Endpoint['at']): (match: readonly string[]) => Path {
  if (typeof at !== 'string') return at
  const path = Path.parse(at)
  return () => path
}

function refuse(error: unknown, request: MountRequest): MountReply {
  const call = Call.of(request)
  const fault = faultOf(error, request.rawPath)
  const status = FAULT_STATUS[fault.type]
  if (status === 413) return call.reply(413)
  const body: JsonObject = {
    type: fault.type,
    code: status,
    message: fault.message,
    details: fault.details,
    txnId: call.id,
  }
  const headers: [string, string][] = []
  if (status === 401) headers.push(['WWW-Authenticate', `Keystone uri="${request.origin}/v2.0"`])
  if (status === 503)
    headers.push(['Retry-After', String(Math.ceil((isKv4Error(error) && error.retryAfter) || 1))])
  return call.reply(status, body, headers)
}

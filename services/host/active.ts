import { z } from 'zod'
import { Kv4Error, type Engine, type Json, type JsonObject } from '../../core'
import { ACTIVE_HOSTS, activeHosts, hostEntryOf, type HostEntry } from '../active-hosts'
import { Reply, route, type Method, type Route } from '../module'
import { Registration, type Hosts } from './hosts'

/** As in the store: `/runtime/hosts/active`. */
const AT = '/runtime/hosts/active'

/** What is shown of a host: all but what its key is derived with. */
function shown({ type, url, public: named, node, load, epoch, prefix, layers }: HostEntry): JsonObject {
  const parts = { type, url, public: named, node, load, epoch, prefix, layers }
  return Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== undefined)) as JsonObject
}

/** GET, PUT, POST, DELETE of hosts: ours. */
export function active(hosts: Hosts, engine: Engine): readonly Route[] {
  return [list(engine), register('PUT', hosts), register('POST', hosts), withdraw(hosts)]
}

function list(engine: Engine): Route {
  return route({
    method: 'GET',
    at: AT,
    access: 'system',
    summary:
      'The keys of all hosts that live, nodes and external services; `as=values`: what they say of themselves.',
    input: { query: z.object({ as: z.enum(['values']).optional() }) },
    watch: () => ({
      ...ACTIVE_HOSTS,
      depth: 0,
      show: (_address, { v }) => {
        const entry = hostEntryOf(v)
        return entry && shown(entry)
      },
    }),
    async run({ query }): Promise<Json> {
      const all = await activeHosts(engine)
      return query.as === undefined
        ? all.map(({ key }) => key)
        : all.map((host) => ({ key: host.key, ...shown(host), lapses: Math.ceil(host.version.exp! / 1000) }))
    },
  })
}

function register(method: Extract<Method, 'PUT' | 'POST'>, hosts: Hosts): Route {
  return route({
    method,
    at: AT,
    access: 'system',
    tokens: ['host'],
    summary:
      'Registers the host `k` of an external service, or refreshes it; answers what it is, and the `key` that calls to it are signed with.',
    input: {
      body: z.object({
        k: z.string().describe('names the host among those of the service'),
        v: Registration,
      }),
    },
    async run({ body, principal }) {
      const registered = await hosts.register(body.k, body.v, principal)
      const { version, key } = registered
      return new Reply(
        { ...shown(registered), key, lapses: Math.ceil(version.exp! / 1000) },
        { created: version.op === 'create' },
      )
    },
  })
}

function withdraw(hosts: Hosts): Route {
  return route({
    method: 'DELETE',
    at: AT,
    access: 'system',
    tokens: ['host'],
    summary: 'Withdraws the host `k` of the service with the `prefix`; answers 1.',
    input: { query: z.object({ k: z.string(), prefix: z.string() }) },
    async run({ principal, query }) {
      if (!(await hosts.withdraw(query.k, query.prefix, principal))) throw new Kv4Error('not_found')
      return 1
    },
  })
}

import { z } from 'zod'
import { Key, Kv4Error, Layer, Path, type Bucket } from '../../core'
import { activeHosts, SIGNAL, type ActiveHost } from '../active-hosts'
import { route, type Method, type Route, type ServiceContext } from '../module'
import { leastLoaded } from './least-loaded'
import type { ServiceNames } from '../service-names'

const Query = z.object({
  type: z.string().optional().describe('`signal`, `turn`, or the type of an external service'),
  k: z.string().optional().describe('a user who is connected at the path: a host near to him is preferred'),
})

/** Types that clients may ask for though nobody offers them at the moment. */
const TYPES = [SIGNAL, 'turn']

/** GET, and PUT for clients that ask everything by PUT: contract §10. */
export function best(
  method: Extract<Method, 'GET' | 'PUT'>,
  context: ServiceContext,
  names: ServiceNames,
): Route {
  return route({
    method,
    access: 'account',
    summary:
      'The least loaded host of a `type`, as clients reach it: of `signal` the base of a websocket URL. With a path and `k` one near to that user. `/best/<type>` is the same without parameters.',
    input: { query: Query },
    async run({ bucket, path, query }) {
      const { type, at } = asked(path, query.type)
      const { engine } = context
      const hosts = (await activeHosts(engine)).filter((host) => host.type === type)
      if (hosts.length === 0 && !TYPES.includes(type) && !(await names.hasType(type)))
        throw new Kv4Error('unrecognized_type_param')
      const shown = hosts.filter((host) => host.public !== undefined)
      if (shown.length === 0)
        throw new Kv4Error('service_unavailable', { fields: { reason: `no host of type ${type} is there` } })
      const near =
        query.k === undefined || query.k === '' ? [] : await nearTo(bucket, at, query.k, context, shown)
      return leastLoaded(near.length > 0 ? near : shown)!.public!
    },
  })
}

/** @throws require_type_param */
function asked(path: Path, type: string | undefined): { readonly type: string; readonly at: Path } {
  if (type !== undefined) return { type, at: path }
  const [best, legacy, ...rest] = Path.segments(path)
  if (best === 'best' && legacy !== undefined && rest.length === 0) return { type: legacy, at: Path.root }
  throw new Kv4Error('require_type_param')
}

/** Hosts that are, or stand beside, a node to which the user is connected at the path. */
async function nearTo(
  bucket: Bucket,
  at: Path,
  user: string,
  { engine }: ServiceContext,
  hosts: readonly ActiveHost[],
): Promise<readonly ActiveHost[]> {
  const key = Key.parse(user)
  const path = Path.parse(at.replace(/\/topic$/, '/'))
  const nodes = new Set<string>()
  for (const { type, node } of await activeHosts(engine)) {
    if (type !== SIGNAL || node === undefined) continue
    // Where `_subs` keeps who is connected to the node: contract §7.
    const present = await bucket.get({ layer: Layer.parse('*subs:' + node), path, key })
    if (present !== undefined) nodes.add(node)
  }
  return hosts.filter(({ node }) => node !== undefined && nodes.has(node))
}

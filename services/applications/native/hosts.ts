import type { z } from 'zod'
import { Kv4Error, Path } from '../../../core'
import type { Address, Place } from '../../../core'
import { Reply, route, type Route } from '../../module'
import { NAMES_LIMIT, pageOptions } from '../../paging'
import { Flag } from '../../parameters'
import { masterOf, type Documents } from '../documents'
import { HOSTS, hostAddress, servicePlace } from '../places'
import {
  EntryBody,
  ReadQuery,
  RemoveQuery,
  WriteQuery,
  nameIn,
  readAll,
  readOne,
  remove,
  shown,
  write,
} from './entry'

const Query = ReadQuery.extend({ master: Flag.optional() })
type Query = z.output<typeof Query>

/** `/_srv/<service>`: hosts are the keys at the path of their service. */
export function hosts(documents: Documents, requireVer: boolean): readonly Route[] {
  const writes = (method: 'PUT' | 'POST'): Route =>
    route({
      method,
      access: 'account',
      summary:
        'Describes the host `k` of the service (the path): `v` is an object with `endpoints`, `master`, `lapses_after` (seconds), and replaces what was there. `updated_at` (unix seconds): only if nothing newer is known.',
      input: { query: WriteQuery, body: EntryBody },
      run: (request) =>
        write(documents, 'srv', addressOf(request.path, request.body?.k), request, requireVer),
    })
  return [
    route({
      method: 'GET',
      access: 'account',
      summary:
        'The host `k` of the service (the path), `at` an instant too; without `k` the names of its hosts, `as=values` their descriptions, `master=1` the one that leads. Without a path the services. `time_series=1`: the history, within `gs` and `ge`.',
      input: { query: Query },
      watch({ path }) {
        if (path !== Path.root) placeOf(path)
        return { layer: HOSTS }
      },
      async run(request) {
        const { bucket, path, query } = request
        const { k, master } = query
        if (path === Path.root && k === undefined) {
          requireAlone(query)
          const page = pageOptions(query, NAMES_LIMIT, (text) => servicePlace(text).path)
          const { items, next } = await bucket.paths(HOSTS, Path.root, 1, page)
          const names = items.map((at) => at.slice(1))
          return next === undefined ? names : new Reply(names, { next: next.slice(1) })
        }
        const place = placeOf(path)
        if (master !== true)
          return k === undefined ? readAll(request, place) : readOne(request, addressOf(path, k))
        requireAlone({ ...query, master: undefined })
        const found = await masterOf(bucket, place)
        if (found === undefined) throw new Kv4Error('not_found')
        return shown(found.version, Date.now())
      },
    }),
    writes('PUT'),
    writes('POST'),
    route({
      method: 'DELETE',
      access: 'account',
      summary:
        'Removes the host `k` of the service (the path); answers 1. Its history stays. `updated_at`: only if nothing newer is known.',
      input: { query: RemoveQuery },
      run: (request) => remove(documents, addressOf(request.path, request.query.k), request),
    }),
  ]
}

/** @throws not_found, bad_key */
function placeOf(path: Path): Place {
  const [service, ...below] = Path.segments(path)
  if (service === undefined || below.length > 0)
    throw new Kv4Error('not_found', {
      fields: { reason: 'a host is named by its service, the path, and `k`' },
    })
  return servicePlace(service)
}

function addressOf(path: Path, k: unknown): Address {
  const name = nameIn(k)
  return hostAddress(placeOf(path).path.slice(1), name)
}

/** Nothing but paging goes with these. @throws bad_request */
function requireAlone(query: Query): void {
  for (const parameter of ['k', 'as', 'at', 'time_series', 'gs', 'ge', 'master'] as const)
    if (query[parameter] !== undefined)
      throw new Kv4Error('bad_request', { fields: { parameter, reason: 'does not go with the others' } })
}

import { z } from 'zod'
import {
  Instant,
  Key,
  Kv4Error,
  Path,
  valueSize,
  type Bucket,
  type Entry,
  type Json,
  type JsonObject,
  addressIn,
} from '../../../core'
import { boundedListing } from '../../bounded-listing'
import { entryReply } from '../../entry-reply'
import { Reply, route, type Route } from '../../module'
import { NAMES_LIMIT, PAGING, VALUES_LIMIT, pageOptions } from '../../paging'
import { Depth, Flag } from '../../parameters'
import { keySeries, pathSeries } from '../../time-series'
import { withVer } from '../../ver'
import { SESSIONS, sessionPath } from '../places'
import type { Sessions } from '../sessions'

const MOST_KEYS = 100

const Query = z.object({
  ...PAGING,
  k: z.string().optional(),
  keys: z.string().describe('names separated by commas, at most 100').optional(),
  as: z.literal('names').optional(),
  depth: Depth.optional(),
  at: z.string().optional(),
  time_series: Flag.optional(),
  gs: z.string().optional(),
  ge: z.string().optional(),
})
type Query = z.output<typeof Query>
type Parameter = keyof Query

/** What a question may be made of, beside what belongs to every listing; anything else would be without effect. */
const FORMS = {
  namespace: ['k', 'at', 'consistent'],
  several: ['keys', 'after', 'consistent'],
  names: ['as', 'limit', 'after', 'consistent'],
  session: ['limit', 'after', 'consistent'],
  sessions: ['depth', 'limit', 'after', 'consistent'],
  series: ['time_series', 'k', 'gs', 'ge', 'limit', 'after', 'consistent'],
} as const satisfies Record<string, readonly Parameter[]>
type Form = keyof typeof FORMS

export function read(sessions: Sessions): Route {
  return route({
    method: 'GET',
    access: 'account',
    summary:
      'The namespace `k` of the session at the path, `at` an instant too; without it all namespaces, by name, or those that `keys` lists, or with `as=names` their names. `depth`, or no path: the sessions there and below. `time_series=1`: the history, within `gs` and `ge`.',
    input: { query: Query },
    watch: () => ({ layer: SESSIONS }),
    async run({ bucket, path, query, principal }) {
      const by = principal.login
      const form = formOf(path, query)
      if (form === 'sessions') return listSessions(sessions, bucket, path, query, by)
      sessionPath(path)
      switch (form) {
        case 'namespace':
          return namespace(sessions, bucket, path, query, by)
        case 'several':
          return several(sessions, bucket, path, query, by)
        case 'names': {
          const { items, next } = await sessions.names(
            bucket,
            path,
            pageOptions(query, NAMES_LIMIT, (text) => Key.parse(text)),
          )
          return next === undefined ? items : new Reply(items, { next })
        }
        case 'session':
          return session(sessions, bucket, path, query, by)
        case 'series': {
          const place = { layer: SESSIONS, path }
          return query.k === undefined
            ? pathSeries(bucket, place, query)
            : keySeries(bucket, addressIn(place, Key.parse(query.k)), query)
        }
        default:
          return form satisfies never
      }
    },
  })
}

/** @throws bad_request for parameters that do not go together */
function formOf(path: Path, query: Query): Form {
  let form: Form = path === Path.root ? 'sessions' : 'session'
  if (query.time_series === true) form = 'series'
  else if (query.k !== undefined) form = 'namespace'
  else if (query.keys !== undefined) form = 'several'
  else if (query.as !== undefined) form = 'names'
  else if (query.depth !== undefined) form = 'sessions'
  const known: readonly string[] = FORMS[form]
  for (const name in query)
    if (query[name as Parameter] !== undefined && name !== 'time_series' && !known.includes(name))
      throw new Kv4Error('bad_request', {
        fields: { parameter: name, reason: 'does not go with the others' },
      })
  return form
}

async function namespace(
  sessions: Sessions,
  bucket: Bucket,
  path: Path,
  { k, at, consistent }: Query,
  by: string,
): Promise<Reply> {
  const address = { layer: SESSIONS, path, key: Key.parse(k!) }
  const version =
    at === undefined
      ? await sessions.get(bucket, address, { by, consistent })
      : await bucket.get(address, { at: Instant.parse(at), consistent: consistent === true })
  if (version === undefined) throw new Kv4Error('not_found')
  return entryReply(version)
}

async function session(
  sessions: Sessions,
  bucket: Bucket,
  path: Path,
  query: Query,
  by: string,
): Promise<Json | Reply> {
  const { items, next } = await boundedListing(
    (page) => sessions.entries(bucket, path, page, by),
    pageOptions(query, VALUES_LIMIT, (text) => Key.parse(text)),
    ({ version }) => valueSize(version.v),
  )
  if (items.length === 0 && next === undefined && query.after === undefined) throw new Kv4Error('not_found')
  const documents = byName(items)
  return next === undefined ? documents : new Reply(documents, { next })
}

async function several(
  sessions: Sessions,
  bucket: Bucket,
  path: Path,
  query: Query,
  by: string,
): Promise<Json | Reply> {
  const names = namesIn(query.keys!)
  const after = query.after === undefined ? undefined : Key.parse(query.after)
  if (after !== undefined && !names.includes(after))
    throw new Kv4Error('bad_request', { fields: { parameter: 'after', reason: 'is none of `keys`' } })
  const { items, next } = await boundedListing(
    (page) => sessions.several(bucket, path, names, page, { by, consistent: query.consistent === true }),
    { limit: MOST_KEYS, ...(after !== undefined && { after }) },
    ({ version }) => valueSize(version.v),
  )
  const documents = byName(items)
  return next === undefined ? documents : new Reply(documents, { next })
}

async function listSessions(
  sessions: Sessions,
  bucket: Bucket,
  path: Path,
  query: Query,
  by: string,
): Promise<Json | Reply> {
  const page = pageOptions(query, NAMES_LIMIT, (text) => Path.parse(text))
  const { items, next } = await sessions.list(bucket, path, query.depth, page, by)
  const names = items.map(withoutSlash)
  return next === undefined ? names : new Reply(names, { next: withoutSlash(next) })
}

function byName(entries: readonly Entry[]): JsonObject {
  return Object.fromEntries(entries.map(({ key, version }) => [key, withVer(version)]))
}

/** @throws bad_key, bad_request */
function namesIn(text: string): readonly Key[] {
  const names = text.split(',')
  if (names.length > MOST_KEYS)
    throw new Kv4Error('bad_request', {
      fields: { parameter: 'keys', reason: `more than ${MOST_KEYS} names` },
    })
  return [...new Set(names)].map((name) => Key.parse(name))
}

function withoutSlash(path: Path): string {
  return path.slice(1)
}

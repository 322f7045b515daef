import { z } from 'zod'
import type { StoredLogin } from '../../auth'
import {
  Key,
  Kv4Error,
  VersionTag,
  valueSize,
  type Bucket,
  type BucketName,
  type Entry,
  type Json,
  type JsonObject,
  type Place,
  type Version,
  addressIn,
} from '../../core'
import { boundedListing } from '../bounded-listing'
import { datum } from '../datum'
import { FORMS } from '../form'
import { Reply } from '../module'
import { NAMES_LIMIT, PAGING, VALUES_LIMIT, pageOptions } from '../paging'
import { Flag } from '../parameters'
import { keySeries } from '../time-series'
import { VER } from '../ver'
import type { Watched } from '../watch'

/** Of the GET routes of this service. */
export const ReadQuery = z.object({
  ...PAGING,
  k: z.string().optional(),
  k2: z.string().optional(),
  as: z.enum(FORMS).optional(),
  time_series: Flag.optional(),
  gs: z.string().optional(),
  ge: z.string().optional(),
})
export type ReadQuery = z.output<typeof ReadQuery>

/** What may be seen of a login; the other half of the entry, what proves, is never passed on. */
export type Show = (key: Key, login: StoredLogin) => JsonObject

/** As it is shown, with its `_ver_`. */
export function shownWithVer(show: Show, key: Key, version: Version): JsonObject {
  return { ...show(key, version.v as unknown as StoredLogin), [VER]: VersionTag.of(version) }
}

/** What may be watched of the logins at a place: what a read shows of each. */
export function watchedLogins(place: Place, show: Show): (request: { readonly query: ReadQuery }) => Watched {
  const shown: NonNullable<Watched['show']> = ({ key }, { v }) => show(key, v as unknown as StoredLogin)
  return ({ query }) => {
    if (query.k2 !== undefined)
      throw new Kv4Error('bad_request', { fields: { parameter: 'k2', reason: 'watch by k' } })
    return { ...place, depth: 0, show: shown }
  }
}

/** One login, a listing of them, or the history of one. @throws not_found, key_missing, bad_range, bad_cursor */
export async function readLogins(
  bucket: Bucket,
  place: Place,
  query: ReadQuery,
  show: Show,
): Promise<Json | Reply> {
  const { consistent = false } = query
  if (query.k !== undefined && query.k2 !== undefined)
    throw new Kv4Error('bad_request', { fields: { reason: 'both k and k2' } })
  if (query.time_series === true) {
    if (query.k === undefined) throw new Kv4Error('key_missing')
    const key = Key.parse(query.k)
    return keySeries(bucket, addressIn(place, key), query, (v) => show(key, v as unknown as StoredLogin))
  }
  if (query.k === undefined && query.k2 === undefined) return list(bucket, place, query, show)

  const entry = await find(bucket, place, query, consistent)
  if (entry === undefined) throw new Kv4Error('not_found')
  const value = one(bucket.name, place, entry, query.as, show)
  return new Reply(value, { tag: VersionTag.of(entry.version) })
}

async function find(
  bucket: Bucket,
  place: Place,
  { k, k2 }: ReadQuery,
  consistent: boolean,
): Promise<Entry | undefined> {
  if (k2 !== undefined) return bucket.find(place, 'k2', k2, { consistent })
  const key = Key.parse(k!)
  const version = await bucket.get(addressIn(place, key), { consistent })
  return version && { key, version }
}

async function list(bucket: Bucket, place: Place, query: ReadQuery, show: Show): Promise<Json | Reply> {
  if (query.as === undefined) {
    const { items, next } = await bucket.keys(
      place,
      pageOptions(query, NAMES_LIMIT, (text) => Key.parse(text)),
    )
    return next === undefined ? items : new Reply(items, { next })
  }
  const { items, next } = await boundedListing(
    (page) => bucket.entries(place, page),
    pageOptions(query, VALUES_LIMIT, (text) => Key.parse(text)),
    ({ version }) => valueSize(version.v),
  )
  const shown = items.map((entry) => one(bucket.name, place, entry, query.as, show))
  return next === undefined ? shown : new Reply(shown, { next })
}

function one(bucket: BucketName, place: Place, entry: Entry, as: ReadQuery['as'], show: Show): JsonObject {
  const { key, version } = entry
  if (as === undefined || as === 'values') return shownWithVer(show, key, version)
  return datum(bucket, place, entry, show(key, version.v as unknown as StoredLogin))
}

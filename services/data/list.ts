import { Key, valueSize, type Bucket, type Json, type Place } from '../../core'
import { boundedListing } from '../bounded-listing'
import { datum } from '../datum'
import type { Form } from '../form'
import { Reply } from '../module'
import { NAMES_LIMIT, VALUES_LIMIT, pageOptions, type PagingQuery } from '../paging'
import { withVer } from '../ver'

/** The keys at a path, in byte order; `[]` where there are none. */
export async function listKeys(bucket: Bucket, place: Place, query: PagingQuery): Promise<Json | Reply> {
  const { items, next } = await bucket.keys(place, pageOptions(query, NAMES_LIMIT, parseKey))
  return next === undefined ? items : new Reply(items, { next })
}

/** The entries at a path in the order of their keys: their values, or with all their coordinates. */
export async function listEntries(
  bucket: Bucket,
  place: Place,
  form: Form,
  query: PagingQuery,
): Promise<Json | Reply> {
  const { items, next } = await boundedListing(
    (page) => bucket.entries(place, page),
    pageOptions(query, VALUES_LIMIT, parseKey),
    ({ version }) => valueSize(version.v),
  )
  const shown = items.map((entry) =>
    form === 'values' ? withVer(entry.version) : datum(bucket.name, place, entry),
  )
  return next === undefined ? shown : new Reply(shown, { next })
}

function parseKey(text: string): Key {
  return Key.parse(text)
}

import { z } from 'zod'
import { Instant, Key, Kv4Error, valueSize, type Bucket, type Entry, type Json, type Place } from '../../core'
import { boundedListing } from '../bounded-listing'
import { Reply, route } from '../module'
import { NAMES_LIMIT, PAGING, VALUES_LIMIT, pageOptions } from '../paging'
import { Flag } from '../parameters'
import { withVer } from '../ver'
import { datum } from './datum'
import { entryReply } from './entry-reply'
import { dataLayer } from './layer'
import { SELECTORS, Selector } from './selector'
import { timeSeries } from './time-series'

/** How entries are shown; `1` is how earlier clients say `datum`. */
export const FORMS = ['values', 'datum', '1'] as const

const Query = z.object({
  ...SELECTORS,
  ...PAGING,
  l: z.string().optional(),
  as: z.enum(FORMS).optional(),
  at: z.string().optional(),
  time_series: Flag.optional(),
  gs: z.string().optional(),
  ge: z.string().optional(),
})
export type ReadQuery = z.output<typeof Query>

/** GET: contract §4.1, §4.4, §4.5. */
export const read = route({
  method: 'GET',
  access: 'account',
  summary:
    'The entry `k` (or `k2`, `k3`, `k4`), `at` an instant too. Without one the keys at the path, `as=values` or `as=datum`. `time_series=1`: the history, within `gs` and `ge`.',
  input: { query: Query },
  async run(request) {
    const { bucket, path, query } = request
    const place = { layer: dataLayer(query.l), path }
    const selector = Selector.parse(query)
    if (query.time_series === true) {
      refuse(query, 'at', 'as')
      return timeSeries(bucket, place, selector, query)
    }
    refuse(query, 'gs', 'ge')
    if (selector !== undefined) return readOne(bucket, place, selector, query)
    refuse(query, 'at')
    return query.as === undefined
      ? listKeys(bucket, place, query)
      : listEntries(bucket, place, query, query.as)
  },
})

/** A parameter that would be without effect is a misunderstanding. */
function refuse(query: ReadQuery, ...names: (keyof ReadQuery)[]): void {
  const parameter = names.find((name) => query[name] !== undefined)
  if (parameter !== undefined)
    throw new Kv4Error('bad_request', { fields: { parameter, reason: 'does not go with the others' } })
}

async function readOne(bucket: Bucket, place: Place, selector: Selector, query: ReadQuery): Promise<Reply> {
  const entry = await find(bucket, place, selector, query)
  if (entry === undefined) throw new Kv4Error('not_found')
  const whole = entryReply(entry.version)
  if (query.as === undefined || query.as === 'values') return whole
  return new Reply(datum(bucket.name, place, entry), { tag: whole.more.tag! })
}

async function find(
  bucket: Bucket,
  place: Place,
  selector: Selector,
  { at, consistent = false }: ReadQuery,
): Promise<Entry | undefined> {
  if (at === undefined) return Selector.entry(selector, bucket, place, { consistent })
  const instant = Instant.parse(at)
  if (selector.kind !== 'key')
    throw new Kv4Error('bad_request', { fields: { parameter: 'at', reason: 'goes with k only' } })
  const { key } = selector
  const version = await bucket.get({ ...place, key }, { at: instant, consistent })
  return version && { key, version }
}

async function listKeys(bucket: Bucket, place: Place, query: ReadQuery): Promise<Json | Reply> {
  const page = pageOptions(query, NAMES_LIMIT, (text) => Key.parse(text))
  const { items, next } = await bucket.keys(place, page)
  return next === undefined ? items : new Reply(items, { next })
}

async function listEntries(
  bucket: Bucket,
  place: Place,
  query: ReadQuery,
  form: (typeof FORMS)[number],
): Promise<Json | Reply> {
  const { items, next } = await boundedListing(
    (page) => bucket.entries(place, page),
    pageOptions(query, VALUES_LIMIT, (text) => Key.parse(text)),
    ({ version }) => valueSize(version.v),
  )
  const shown = items.map((entry) =>
    form === 'values' ? withVer(entry.version) : datum(bucket.name, place, entry),
  )
  return next === undefined ? shown : new Reply(shown, { next })
}

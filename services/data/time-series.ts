import {
  Kv4Error,
  PeriodRange,
  VersionTag,
  valueSize,
  type Bucket,
  type Json,
  type Key,
  type Place,
  type TimeRange,
  type Version,
} from '../../core'
import { boundedListing } from '../bounded-listing'
import { Reply } from '../module'
import { VALUES_LIMIT, pageOptions, type PagingQuery } from '../paging'
import { HistoryCursor } from './history-cursor'
import { Selector } from './selector'

/** The value of the row that a delete adds. An object, since clients skip rows whose value is none. */
export const DELETED = { _deleted: true } as const

interface TimeSeriesQuery extends PagingQuery {
  readonly gs?: string | undefined
  readonly ge?: string | undefined
}

/**
 * What happened to a key, or to all keys of a path, newest first; contract §4.5. Rows are `[unix seconds, login, value]`
 * with the value as it was stored; those of a path name the key in a fourth place.
 */
export async function timeSeries(
  bucket: Bucket,
  place: Place,
  selector: Selector | undefined,
  query: TimeSeriesQuery,
): Promise<Json | Reply> {
  const range = PeriodRange.time(PeriodRange.parse(query.gs, query.ge))
  if (selector === undefined) return ofPath(bucket, place, range, query)
  const key = await keyOf(bucket, place, selector, query)
  return key === undefined ? [] : ofKey(bucket, place, key, range, query)
}

/** A secondary key is looked up as of now: history is kept under the key. */
async function keyOf(
  bucket: Bucket,
  place: Place,
  selector: Selector,
  { consistent = false }: TimeSeriesQuery,
): Promise<Key | undefined> {
  if (selector.kind === 'key') return selector.key
  return (await Selector.entry(selector, bucket, place, { consistent }))?.key
}

async function ofKey(
  bucket: Bucket,
  place: Place,
  key: Key,
  range: TimeRange,
  query: TimeSeriesQuery,
): Promise<Json | Reply> {
  const { items, next } = await boundedListing(
    (page) => bucket.history({ ...place, key }, range, page),
    pageOptions(query, VALUES_LIMIT, versionNumber),
    (version) => valueSize(version.v),
  )
  const rows = items.map(row)
  return next === undefined ? rows : new Reply(rows, { next: VersionTag.of({ n: next }) })
}

async function ofPath(
  bucket: Bucket,
  place: Place,
  range: TimeRange,
  query: TimeSeriesQuery,
): Promise<Json | Reply> {
  const { items, next } = await boundedListing(
    (page) => bucket.pathHistory(place, range, page),
    pageOptions(query, VALUES_LIMIT, (text) => HistoryCursor.parse(text)),
    ({ version }) => valueSize(version.v),
  )
  const rows = items.map(({ key, version }) => [...row(version), key])
  return next === undefined ? rows : new Reply(rows, { next: HistoryCursor.print(next) })
}

function row({ at, by, op, v }: Version): readonly Json[] {
  return [Math.floor(at / 1000), by, op === 'delete' ? DELETED : v]
}

function versionNumber(text: string): number {
  const n = VersionTag.parse(text)
  if (n === undefined) throw new Kv4Error('bad_cursor')
  return n
}

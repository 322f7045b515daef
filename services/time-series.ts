import {
  Kv4Error,
  PeriodRange,
  VersionTag,
  valueSize,
  type Address,
  type Bucket,
  type Json,
  type Place,
  type TimeRange,
  type Version,
} from '../core'
import { boundedListing } from './bounded-listing'
import { HistoryCursor } from './history-cursor'
import { Reply } from './module'
import { VALUES_LIMIT, pageOptions, type PagingQuery } from './paging'

/** The value of the row that a delete adds. An object, since clients skip rows whose value is none. */
const DELETED = { _deleted: true } as const

export interface TimeSeriesQuery extends PagingQuery {
  readonly gs?: string | undefined
  readonly ge?: string | undefined
}

/**
 * What happened to a key, newest first; contract §4.5. Rows are `[unix seconds, login, value]`.
 * @param show what is shown of a value; default: all of it, as it was stored
 * @throws bad_range, bad_cursor
 */
export async function keySeries(
  bucket: Bucket,
  address: Address,
  query: TimeSeriesQuery,
  show?: (v: Json) => Json,
): Promise<Json | Reply> {
  const { items, next } = await boundedListing(
    (page) => bucket.history(address, rangeOf(query), page),
    pageOptions(query, VALUES_LIMIT, versionNumber),
    (version) => valueSize(version.v),
  )
  const rows = items.map((version) => row(version, show))
  return next === undefined ? rows : new Reply(rows, { next: VersionTag.of({ n: next }) })
}

/** The same of all keys of a path; rows name the key in a fourth place. @throws bad_range, bad_cursor */
export async function pathSeries(
  bucket: Bucket,
  place: Place,
  query: TimeSeriesQuery,
): Promise<Json | Reply> {
  const { items, next } = await boundedListing(
    (page) => bucket.pathHistory(place, rangeOf(query), page),
    pageOptions(query, VALUES_LIMIT, (text) => HistoryCursor.parse(text)),
    ({ version }) => valueSize(version.v),
  )
  const rows = items.map(({ key, version }) => [...row(version), key])
  return next === undefined ? rows : new Reply(rows, { next: HistoryCursor.print(next) })
}

/** @throws bad_range */
export function rangeOf({ gs, ge }: TimeSeriesQuery): TimeRange {
  return PeriodRange.time(PeriodRange.parse(gs, ge))
}

function row({ at, by, op, v }: Version, show: (v: Json) => Json = (all) => all): readonly Json[] {
  return [Math.floor(at / 1000), by, op === 'delete' ? DELETED : show(v)]
}

function versionNumber(text: string): number {
  const n = VersionTag.parse(text)
  if (n === undefined) throw new Kv4Error('bad_cursor')
  return n
}

import type { Address } from '../../kv4/address'
import type { Sample } from '../../kv4/version'
import { type AggregateQuery, type AggregateRow, LEVELS, type SampleRange } from '../store'
import { Component } from './component'
import type { CouchDatabase, DocsRow } from './couch-database'
import { SeriesKey } from './design-document'
import { type SampleDocument, sampleOf } from './documents'
import { Ids } from './ids'
import type { Stats } from './listings'

/** Samples and what they add up to. */
export class Series {
  constructor(private readonly database: CouchDatabase) {}

  async samples(address: Address, range: SampleRange): Promise<readonly Sample[]> {
    const rows = await this.rows(address, range)
    return rows.map(({ id, doc }) => sampleOf(Ids.parse(id!)!.sample!, doc!))
  }

  async rows(address: Address, range: SampleRange): Promise<readonly DocsRow<SampleDocument>[]> {
    const { from, to, after, order, limit } = range
    if (limit < 1 || (from !== undefined && to !== undefined && from > to) || (to !== undefined && to < 0))
      return []
    let { start, end } = Ids.samples(
      address,
      from === undefined ? undefined : Math.max(0, Math.ceil(from)),
      to === undefined ? undefined : Math.min(Number.MAX_SAFE_INTEGER, Math.floor(to)),
    )
    const passed = after === undefined ? undefined : Ids.sample(address, after.at, after.id)
    if (passed !== undefined) {
      if (order === 'newest') end = passed < end ? passed : end
      else start = Ids.behind(passed) > start ? Ids.behind(passed) : start
    }
    if (start > end) return []
    const bounds =
      order === 'newest'
        ? { startkey: end, endkey: start, descending: true }
        : { startkey: start, endkey: end }
    // Both bounds are inclusive in CouchDB, so the sample to go on behind may come first.
    const [rows] = await this.database.queryDocs<SampleDocument>([
      { ...bounds, limit: limit + 1, include_docs: true },
    ])
    return rows!.filter(({ id, doc }) => id !== passed && doc).slice(0, limit)
  }

  async aggregate({ layer, path, key, from, to, by }: AggregateQuery): Promise<readonly AggregateRow[]> {
    if (comparePeriods(from, to) > 0) return []
    const subject =
      path === undefined
        ? SeriesKey.layer(Component.of(layer))
        : key === undefined
          ? SeriesKey.path(Component.of(layer), Component.ofPath(path))
          : SeriesKey.key(Component.of(layer), Component.ofPath(path), Component.of(key))
    const depth = by === undefined ? 0 : LEVELS.indexOf(by) + 1
    const [rows] = await this.database.queryView<Stats>('series', [
      {
        startkey: [subject, ...(to ?? []), Component.last],
        endkey: [subject, ...(from ?? [])],
        // Forwards, CouchDB would read the way down to the end of each group twice (decision 33).
        descending: true,
        reduce: true,
        group_level: 1 + depth,
      },
    ])
    return rows!
      .map(({ key: [, ...period], value: { sum, min, max, count } }) => ({
        period: period as number[],
        sum,
        min,
        max,
        count,
      }))
      .reverse()
  }
}

/** Above 0: the range is empty. CouchDB refuses a start behind the end. */
function comparePeriods(from: readonly number[] = [], to: readonly number[] = []): number {
  for (let i = 0; i < Math.min(from.length, to.length); i++) if (from[i] !== to[i]) return from[i]! - to[i]!
  return 0
}

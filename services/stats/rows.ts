import { Kv4Error, Period, type AggregateRow, type Bucket, type Json, type Level } from '../../core'
import { instant } from './instant'
import type { StatsQuery, Subject } from './query'
import { StatsRange } from './stats-range'

/**
 * `[{time, sum, min, max, count}]`, oldest first, `time` in unix ms at the start of each period: what dashboards draw.
 * `fill` adds the periods in which nothing was recorded, with a sum and count of 0 and neither min nor max.
 */
export async function rows(bucket: Bucket, subject: Subject, query: StatsQuery): Promise<Json> {
  const range = rangeOf(query)
  const { from, to, level } = range
  StatsRange.check(range, level)
  const found = await bucket.aggregate({
    ...subject,
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    by: level,
  })
  return query.fill === true ? filled(found, range) : found.map(row)
}

function rangeOf({ gs, ge, from, to, by }: StatsQuery): StatsRange {
  if (from === undefined && to === undefined) {
    const range = StatsRange.ofPeriods(gs, ge)
    return by === undefined ? range : { ...range, level: by }
  }
  if (gs !== undefined || ge !== undefined)
    throw new Kv4Error('bad_range', { fields: { reason: 'either from and to, or gs and ge' } })
  const first = from === undefined ? undefined : instant(from, 'from')
  const last = to === undefined ? undefined : instant(to, 'to')
  return StatsRange.ofInstants(first, last, by ?? StatsRange.readableLevel(first, last))
}

function row({ period, sum, min, max, count }: AggregateRow): Json {
  return { time: Period.from(period), sum, min, max, count }
}

/** From the start of the range, or the first row, to its end, or now. */
function filled(found: readonly AggregateRow[], { from, to, level }: StatsRange): Json {
  const first = from === undefined ? found[0]?.period : Period.of(Period.from(from), level)
  if (first === undefined) return []
  const end = Math.min(to === undefined ? Infinity : Period.to(to), Date.now())
  const byStart = new Map(found.map((each) => [Period.from(each.period), row(each)]))
  const all: Json[] = []
  for (let at = Period.from(first); at <= end; at = next(at, level)) {
    all.push(byStart.get(at) ?? { time: at, sum: 0, min: null, max: null, count: 0 })
    byStart.delete(at)
  }
  // What was recorded ahead of time.
  return all.concat([...byStart.values()])
}

function next(at: number, level: Level): number {
  return Period.to(Period.of(at, level)) + 1
}

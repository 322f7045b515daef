import { sumOf } from '../aggregate'
import { LEVELS } from '../store'
import type { Aggregate, AggregateQuery, AggregateRow, Period } from '../store'
import type { Reader } from './environment'
import { behind, periodOf, rollupKey } from './layout'
import type { Grouping } from './layout'
import { decodeAggregate } from './records'

export function periodAt(instant: number): Period {
  const date = new Date(instant)
  return [
    date.getUTCFullYear(),
    date.getUTCMonth() + 1,
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
  ]
}

function samePeriod(a: Period, b: Period | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((part, i) => part === b[i])
}

/**
 * Rows of one level between bounds of any precision. A period that a bound cuts (two at most) is added up from the
 * next finer level.
 */
function* rowsBetween(
  reader: Reader,
  bucket: number,
  grouping: Grouping,
  level: number,
  from: Period | undefined,
  to: Period | undefined,
): Generator<AggregateRow> {
  const parts = level + 1
  const first = from?.slice(0, parts)
  const last = to?.slice(0, parts)
  const cutFirst = from !== undefined && from.length > parts ? first : undefined
  const cutLast = to !== undefined && to.length > parts ? last : undefined
  const start = rollupKey(bucket, grouping, level, first ?? [])
  // The next finer level's first key is behind all of this level.
  const end =
    last === undefined
      ? rollupKey(bucket, grouping, level + 1, [])
      : following(rollupKey(bucket, grouping, level, last))
  // A backward range has nothing in it.
  if (Buffer.compare(start, end) >= 0) return
  for (const { key, value } of reader.range({ start, end })) {
    const period = periodOf(key, parts)
    const isFirst = samePeriod(period, cutFirst)
    const isLast = samePeriod(period, cutLast)
    if (!isFirst && !isLast) yield { period, ...decodeAggregate(value) }
    else {
      let sum: Aggregate | undefined
      const within = rowsBetween(
        reader,
        bucket,
        grouping,
        level + 1,
        isFirst ? from : period,
        isLast ? to : period,
      )
      for (const { sum: s, min, max, count } of within) sum = sumOf(sum, { sum: s, min, max, count })
      if (sum !== undefined) yield { period, ...sum }
    }
  }
}

/** A period's last part is at most 59 or a year far below its bound, but ff would carry. */
function following(key: Buffer): Buffer {
  return key.at(-1) === 0xff ? Buffer.concat([key, Buffer.from([0xff])]) : behind(key)
}

export function aggregateRows(reader: Reader, bucket: number, query: AggregateQuery): AggregateRow[] {
  const grouping: Grouping = {
    layer: query.layer,
    ...(query.path === undefined ? {} : { path: query.path }),
    ...(query.path === undefined || query.key === undefined ? {} : { key: query.key }),
  }
  const level = query.by === undefined ? 0 : LEVELS.indexOf(query.by)
  const rows = rowsBetween(reader, bucket, grouping, level, query.from, query.to)
  if (query.by !== undefined) return [...rows]
  let all: Aggregate | undefined
  for (const { sum, min, max, count } of rows) all = sumOf(all, { sum, min, max, count })
  return all === undefined ? [] : [{ period: [], ...all }]
}

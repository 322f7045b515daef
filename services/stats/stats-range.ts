import { Kv4Error, PRECISIONS, Period, PeriodRange, type Level } from '../../core'

/** What a query reaches over. Both ends are inclusive at their own precision. */
export interface StatsRange {
  /** Absent: from the first sample. */
  readonly from?: Period
  /** Absent: to the last. */
  readonly to?: Period
  /** The precision of `gs`, else of `ge`, else the year: that of the groups of a breakdown. */
  readonly level: Level
}

/** Groups that one answer may have. */
const MOST_GROUPS = 10_000

/** Of each level; months and years as their longest. */
const MS: Readonly<Record<Level, number>> = {
  year: 366 * 86_400_000,
  month: 31 * 86_400_000,
  day: 86_400_000,
  hour: 3_600_000,
  minute: 60_000,
}

export const StatsRange = {
  /** @throws bad_range, also for seconds: samples are added up by minutes */
  ofPeriods(gs: string | undefined, ge: string | undefined): StatsRange {
    const { gs: from, ge: to } = PeriodRange.parse(gs, ge)
    const named = from ?? to
    const finest = Math.max(from?.length ?? 1, to?.length ?? 1)
    if (PRECISIONS[finest - 1] === 'second') throw refusal('statistics are kept by minutes, not seconds')
    const level = named === undefined ? 'year' : (Period.precision(named) as Level)
    return { ...(from !== undefined && { from }), ...(to !== undefined && { to }), level }
  },

  /** From `from` to `to`, in unix ms, to the minute. */
  ofInstants(from: number | undefined, to: number | undefined, level: Level): StatsRange {
    if (from !== undefined && to !== undefined && to < from) throw refusal('it ends before it begins')
    return {
      ...(from !== undefined && { from: Period.of(from, 'minute') }),
      ...(to !== undefined && { to: Period.of(to, 'minute') }),
      level,
    }
  },

  /** @throws bad_range where a breakdown could have more groups than one answer may have */
  check(range: StatsRange, level: Level): void {
    const from = range.from === undefined ? 0 : Period.from(range.from)
    const to = Math.min(range.to === undefined ? Infinity : Period.to(range.to), Date.now() + MS.year)
    if ((to - from) / MS[level] > MOST_GROUPS)
      throw refusal(`more than ${MOST_GROUPS} groups: ask for less time, or for coarser ones`)
  },

  /** The finest level that keeps the number of rows readable. */
  readableLevel(from: number | undefined, to: number | undefined): Level {
    if (from === undefined) return 'month'
    const span = (to ?? Date.now()) - from
    const level = (['minute', 'hour', 'day', 'month'] as const).find((each) => span / MS[each] <= 500)
    return level ?? 'year'
  },
}

function refusal(reason: string): Kv4Error {
  return new Kv4Error('bad_range', { fields: { reason } })
}

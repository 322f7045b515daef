import { Kv4Error } from '../errors'
import { LEVELS, type Level, type Period as Parts } from '../store/store'
import type { TimeRange } from './api'

/**
 * A stretch of the calendar, UTC, named by its parts from the year down: `2016:3:16` is a day, `2016:3:16:5:9` a
 * minute. 1 to 6 numbers, months and days from 1. The grammar of `gs`, `ge` and of the groups of a breakdown:
 *
 *   Y[:M[:D[:h[:m[:s]]]]]    decimal, zero padding allowed when read, never written
 */
export type Period = Parts

/** How fine a period is: the levels that samples are rolled up by, and the second below them. */
export const PRECISIONS = [...LEVELS, 'second'] as const
export type Precision = Level | 'second'

const GRAMMAR = /^[1-9]\d{3}(?::\d{1,2}){0,5}$/
const LOWEST = [1000, 1, 1, 0, 0, 0] as const
const HIGHEST = [9999, 12, 31, 23, 59, 59] as const

export function daysInMonth(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate()
}

function bad(reason: string): Kv4Error {
  return new Kv4Error('bad_range', { fields: { reason } })
}

function inRange(part: number, index: number, parts: readonly number[]): boolean {
  const highest = index === 2 ? daysInMonth(parts[0]!, parts[1]!) : HIGHEST[index]!
  return part >= LOWEST[index]! && part <= highest
}

/** Unix ms at which the period that has these parts begins; a part beyond its range carries over. */
function start(parts: readonly number[]): number {
  const [year, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts
  return Date.UTC(year!, month - 1, day, hour, minute, second)
}

/** By the parts that both have. */
function compare(a: Parts, b: Parts): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return 0
}

export const Period = {
  /** @throws bad_range for anything but the grammar, and for parts that the calendar does not have (30 February) */
  parse(text: string): Period {
    if (!GRAMMAR.test(text)) throw bad(`not of the form Y[:M[:D[:h[:m[:s]]]]]: ${text.slice(0, 40)}`)
    const parts = text.split(':').map(Number)
    if (!parts.every(inRange)) throw bad(`not in the calendar: ${text}`)
    return parts
  },

  /** Un-padded, as the keys of a breakdown are written. */
  print(period: Period): string {
    return period.join(':')
  },

  precision(period: Period): Precision {
    return PRECISIONS[period.length - 1]!
  },

  /** Whether an instant (unix ms) lies between two periods, each inclusive at its own precision; absent: no bound. */
  isWithin(instant: number, from: Period = [], to: Period = []): boolean {
    const at = Period.of(instant, 'second')
    return compare(at, from) >= 0 && compare(at, to) <= 0
  },

  /** The period of that precision which an instant (unix ms) falls into. */
  of(instant: number, precision: Precision): Period {
    const date = new Date(instant)
    return [
      date.getUTCFullYear(),
      date.getUTCMonth() + 1,
      date.getUTCDate(),
      date.getUTCHours(),
      date.getUTCMinutes(),
      date.getUTCSeconds(),
    ].slice(0, PRECISIONS.indexOf(precision) + 1)
  },

  /** First unix ms of the period. */
  from(period: Period): number {
    return start(period)
  },

  /** Last unix ms of the period. */
  to(period: Period): number {
    const next = [...period]
    next[next.length - 1]! += 1
    return start(next) - 1
  },
}

/** What `gs` and `ge` ask for. */
export interface PeriodRange {
  readonly gs?: Period
  /** Inclusive at its own precision. */
  readonly ge?: Period
}

export const PeriodRange = {
  /**
   * `ge` omitted: up to the end of the period that `gs` names; `gs` omitted: from the beginning; both: all time.
   * @throws bad_range, also where `ge` ends before `gs` begins
   */
  parse(gs?: string, ge?: string): PeriodRange {
    if (gs === undefined) return ge === undefined ? {} : { ge: Period.parse(ge) }
    const first = Period.parse(gs)
    const last = ge === undefined ? first : Period.parse(ge)
    if (Period.to(last) < Period.from(first)) throw bad(`${ge} is before ${gs}`)
    return { gs: first, ge: last }
  },

  /** Unix ms, both ends inclusive; an open end is absent. */
  time({ gs, ge }: PeriodRange): TimeRange {
    return { ...(gs && { from: Period.from(gs) }), ...(ge && { to: Period.to(ge) }) }
  },
}

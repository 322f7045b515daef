import { Kv4Error } from '../errors'
import { daysInMonth } from './period'

// Fewer digits would be before 1973: somebody's seconds, or a year.
const MILLISECONDS = /^\d{12,15}$/
// The extended calendar form; seconds, fraction and zone may be left out.
const DATE = String.raw`([1-9]\d{3})-(0[1-9]|1[0-2])-(\d\d)`
const TIME = String.raw`T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?`
const ZONE = String.raw`Z|[+-](?:[01]\d|2[0-3]):[0-5]\d`
const ISO_8601 = new RegExp(`^${DATE}(?:(${TIME})(${ZONE})?)?$`)

/** A point in time in unix ms, as `at` names it: `1458109254000`, `2016-03-16`, `2016-03-16T06:20:54.5+01:00`. */
export const Instant = {
  /**
   * A date alone is its first moment; without a zone it is UTC. A number is milliseconds and has at
   * least 12 digits, so that unix seconds are refused rather than read as 1970.
   * @throws bad_range
   */
  parse(text: string): number {
    if (MILLISECONDS.test(text)) return Number(text)
    const match = ISO_8601.exec(text)
    if (match !== null) {
      const [, year, month, day, time, zone] = match
      // Date.parse turns 30 February into 1 March, and a time without a zone into a local one.
      if (+day! >= 1 && +day! <= daysInMonth(+year!, +month!))
        return Date.parse(time !== undefined && zone === undefined ? text + 'Z' : text)
    }
    throw new Kv4Error('bad_range', {
      fields: { reason: `not unix milliseconds or ISO 8601 (write + as %2B): ${text.slice(0, 40)}` },
    })
  },
}

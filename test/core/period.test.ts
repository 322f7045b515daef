import fc from 'fast-check'
import { Instant, Kv4Error, PRECISIONS, Period, PeriodRange } from '../../core'

const instants = fc.integer({ min: Date.UTC(1000, 0, 1), max: Date.UTC(9999, 11, 31) })
const precisions = fc.constantFrom(...PRECISIONS)
const periods = fc.tuple(instants, precisions).map(([at, precision]) => Period.of(at, precision))

function code(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof Kv4Error) return error.code
    throw error
  }
  return 'none'
}

describe('Period', () => {
  test('reads any prefix of Y:M:D:h:m:s, padded or not', () => {
    expect(Period.parse('2016')).toEqual([2016])
    expect(Period.parse('2016:3')).toEqual([2016, 3])
    expect(Period.parse('2016:3:16:5:0')).toEqual([2016, 3, 16, 5, 0])
    expect(Period.parse('2016:03:16:05:00:09')).toEqual([2016, 3, 16, 5, 0, 9])
  })

  test.each([
    ['', 'nothing'],
    ['16', 'a year of two digits'],
    ['02016', 'a padded year'],
    ['2016:', 'an open end'],
    ['2016:0', 'month 0'],
    ['2016:13', 'month 13'],
    ['2016:3:0', 'day 0'],
    ['2016:4:31', '31 April'],
    ['2015:2:29', '29 February of no leap year'],
    ['1900:2:29', '29 February of a century'],
    ['2016:3:16:24', 'hour 24'],
    ['2016:3:16:5:60', 'minute 60'],
    ['2016:3:16:5:9:60', 'second 60'],
    ['2016:3:16:5:9:1:1', 'a seventh part'],
    ['2016:-3', 'a sign'],
    ['2016: 3', 'a blank'],
    ['2016:3.5', 'a fraction'],
    ['2016-3', 'another separator'],
    ['2016:３', 'a digit of another script'],
    ['2016:3\n', 'a line end'],
    ['1e3:3', 'an exponent'],
  ])('refuses %j: %s', (text) => {
    expect(code(() => Period.parse(text))).toBe('bad_range')
  })

  test('knows the leap days', () => {
    expect(Period.parse('2016:2:29')).toEqual([2016, 2, 29])
    expect(Period.parse('2000:2:29')).toEqual([2000, 2, 29])
  })

  test('prints what it read, un-padded', () => {
    fc.assert(
      fc.property(periods, (period) => {
        expect(Period.parse(Period.print(period))).toEqual(period)
        const padded = period.map((part) => String(part).padStart(2, '0')).join(':')
        expect(Period.print(Period.parse(padded))).toBe(Period.print(period))
      }),
    )
  })

  test('its precision is the number of its parts', () => {
    expect(PRECISIONS.map((precision) => Period.of(0, precision).length)).toEqual([1, 2, 3, 4, 5, 6])
    fc.assert(
      fc.property(instants, precisions, (at, precision) => {
        expect(Period.precision(Period.of(at, precision))).toBe(precision)
      }),
    )
  })

  test('the period of an instant holds it, and periods leave no gap and do not overlap', () => {
    fc.assert(
      fc.property(instants, precisions, (at, precision) => {
        const period = Period.of(at, precision)
        expect(Period.from(period)).toBeLessThanOrEqual(at)
        expect(Period.to(period)).toBeGreaterThanOrEqual(at)
        expect(Period.of(Period.from(period), precision)).toEqual(period)
        expect(Period.of(Period.to(period), precision)).toEqual(period)
        expect(Period.of(Period.to(period) + 1, precision)).not.toEqual(period)
        expect(Period.from(Period.of(Period.to(period) + 1, precision))).toBe(Period.to(period) + 1)
      }),
    )
  })

  test('any text is a period that prints as one, or bad_range', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.integer({ min: -1, max: 10_001 }), { maxLength: 8 }).map((parts) => parts.join(':')),
    )
    fc.assert(
      fc.property(hostile, (text) => {
        const outcome = code(() => Period.parse(text))
        if (outcome === 'none') {
          const period = Period.parse(text)
          expect(Period.of(Period.from(period), Period.precision(period))).toEqual(period)
        } else expect(outcome).toBe('bad_range')
      }),
      { numRuns: 500 },
    )
  })
})

describe('PeriodRange', () => {
  const time = (gs?: string, ge?: string) => PeriodRange.time(PeriodRange.parse(gs, ge))

  test('both omitted is all time', () => {
    expect(time()).toEqual({})
  })

  test('ge omitted is the end of the period that gs names', () => {
    expect(time('2016:2')).toEqual({
      from: Date.parse('2016-02-01T00:00:00.000Z'),
      to: Date.parse('2016-02-29T23:59:59.999Z'),
    })
  })

  test('ge is inclusive at its own precision', () => {
    expect(time('2016:3:16:3:4', '2016:3:16:3:20')).toEqual({
      from: Date.parse('2016-03-16T03:04:00.000Z'),
      to: Date.parse('2016-03-16T03:20:59.999Z'),
    })
    expect(time('2016:3:16:3', '2016').to).toBe(Date.parse('2016-12-31T23:59:59.999Z'))
  })

  test('gs omitted is from the beginning', () => {
    expect(time(undefined, '2016')).toEqual({ to: Date.parse('2016-12-31T23:59:59.999Z') })
  })

  test('an end before the beginning is bad_range, an end inside the first period is not', () => {
    expect(code(() => PeriodRange.parse('2016:3:16', '2016:3:15'))).toBe('bad_range')
    expect(code(() => PeriodRange.parse('2016', '2016:1'))).toBe('none')
    expect(code(() => PeriodRange.parse('', '2016:1'))).toBe('bad_range')
  })
})

describe('Instant', () => {
  test.each([
    ['1458109254123', 1458109254123],
    ['2016-03-16', Date.UTC(2016, 2, 16)],
    ['2016-03-16T06:20', Date.UTC(2016, 2, 16, 6, 20)],
    ['2016-03-16T06:20:54', Date.UTC(2016, 2, 16, 6, 20, 54)],
    ['2016-03-16T06:20:54.5', Date.UTC(2016, 2, 16, 6, 20, 54, 500)],
    ['2016-03-16T06:20:54.123Z', Date.UTC(2016, 2, 16, 6, 20, 54, 123)],
    ['2016-03-16T06:20:54.5+01:30', Date.UTC(2016, 2, 16, 4, 50, 54, 500)],
    ['2016-02-29T00:00-02:00', Date.UTC(2016, 1, 29, 2)],
  ])('%s', (text, instant) => {
    expect(Instant.parse(text)).toBe(instant)
  })

  test.each([
    '',
    'now',
    '-1',
    '1.5',
    '1e12',
    '0',
    '2016',
    '1458109254',
    '2016-3-16',
    '2015-02-29',
    '2016-00-10',
    '2016-01-00',
    '2016-03-16Z',
    '2016-03-16T24:00',
    '2016-03-16T06',
    '2016-03-16 06:20',
    '2016-03-16T06:20:54 01:00',
    'Wed, 16 Mar 2016 06:20:54 GMT',
    '1234567890123456',
  ])('refuses %j', (text) => {
    expect(code(() => Instant.parse(text))).toBe('bad_range')
  })

  test('reads what a clock prints', () => {
    fc.assert(
      fc.property(instants, (at) => {
        expect(Instant.parse(new Date(at).toISOString())).toBe(at)
        expect(at < 1e11 || Instant.parse(String(at)) === at).toBe(true)
      }),
    )
  })
})

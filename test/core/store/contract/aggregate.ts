import type { Json } from '../../../../core'
import { LEVELS } from '../../../../core'
import type { AggregateQuery, AggregateRow, Period } from '../../../../core/store/store'
import type { StoreBench } from './bench'
import { STATS, address, append, sample, store } from './writes'
import { Layer, Path } from '../../../../core'

interface Written {
  readonly path: string
  readonly key: string
  readonly at: number
  readonly v: Json
}

/** The plain meaning of an aggregate: filter, group, add up. */
function expected(written: readonly Written[], query: Omit<AggregateQuery, 'layer'>): AggregateRow[] {
  const rows = new Map<string, AggregateRow>()
  for (const { path, key, at, v } of written) {
    if (query.path !== undefined && path !== query.path) continue
    if (query.key !== undefined && key !== query.key) continue
    const date = new Date(at)
    const period = [
      date.getUTCFullYear(),
      date.getUTCMonth() + 1,
      date.getUTCDate(),
      date.getUTCHours(),
      date.getUTCMinutes(),
    ]
    const compare = (bound: Period) => {
      for (const [i, part] of bound.entries()) if (part !== period[i]) return period[i]! - part
      return 0
    }
    if (query.from !== undefined && compare(query.from) < 0) continue
    if (query.to !== undefined && compare(query.to) > 0) continue
    const group = query.by === undefined ? [] : period.slice(0, LEVELS.indexOf(query.by) + 1)
    const one =
      typeof v === 'number'
        ? { sum: v, min: v, max: v, count: 1 }
        : typeof v === 'object' && v !== null && 'count' in v
          ? (v as unknown as AggregateRow)
          : { sum: 0, min: 0, max: 0, count: 1 }
    const row = rows.get(group.join())
    rows.set(group.join(), {
      period: group,
      sum: (row?.sum ?? 0) + one.sum,
      min: Math.min(row?.min ?? Infinity, one.min),
      max: Math.max(row?.max ?? -Infinity, one.max),
      count: (row?.count ?? 0) + one.count,
    })
  }
  return [...rows.values()].sort((a, b) => {
    for (const [i, part] of a.period.entries()) if (part !== b.period[i]) return part - b.period[i]!
    return 0
  })
}

/** Instants around the ends of minutes, hours, days, months, leap days and years. */
const INSTANTS = [
  Date.UTC(2015, 11, 31, 23, 59, 59, 999),
  Date.UTC(2016, 0, 1),
  Date.UTC(2016, 1, 28, 23, 59),
  Date.UTC(2016, 1, 29, 0, 0),
  Date.UTC(2016, 1, 29, 23, 59, 59, 999),
  Date.UTC(2016, 2, 1),
  Date.UTC(2016, 2, 16, 5, 0),
  Date.UTC(2016, 2, 16, 5, 0, 59, 999),
  Date.UTC(2016, 2, 16, 5, 1),
  Date.UTC(2016, 2, 16, 5, 59, 59, 999),
  Date.UTC(2016, 2, 16, 6, 0),
  Date.UTC(2016, 2, 31, 23, 59, 59),
  Date.UTC(2016, 3, 1),
  Date.UTC(2016, 11, 31, 23, 59),
  Date.UTC(2017, 0, 1),
  Date.UTC(2100, 1, 28, 12),
  Date.UTC(2100, 2, 1, 12),
]

const RANGES: readonly { from?: Period; to?: Period }[] = [
  {},
  { from: [2016], to: [2016] },
  { from: [2016, 2], to: [2016, 2] },
  { from: [2016, 2, 29], to: [2016, 2, 29] },
  { from: [2016, 3, 16, 5], to: [2016, 3, 16, 5] },
  { from: [2016, 3, 16, 5, 0], to: [2016, 3, 16, 5, 0] },
  { from: [2016, 2], to: [2016, 3, 16, 5] },
  { from: [2016, 3, 16, 5, 1], to: [2016] },
  { from: [2015], to: [2016, 3, 16, 5, 0] },
  { from: [2016, 1, 1, 0, 1], to: [2017, 1, 1, 0, 0] },
  { from: [2016, 3, 16] },
  { to: [2016, 2, 29, 23, 58] },
  { to: [2015] },
  { from: [2101] },
  { from: [2017], to: [2016] },
]

export function aggregateContract(bench: StoreBench): void {
  describe('aggregates', () => {
    bench.proves(
      'at every level, of every range and grouping',
      async () => {
        const bucket = await bench.bucket()
        const written: Written[] = []
        for (const [i, at] of INSTANTS.entries())
          for (const path of ['/', '/a', '/a/b', '/a b'])
            for (const key of ['k', 'k2'])
              written.push({ path, key, at, v: (i * 37 + path.length * 11 + key.length) % 50 })
        await store(
          bucket,
          written.map(({ path, key, at, v }) => append(address(path, key, STATS), sample(at, v))),
        )
        await store(bucket, [
          append(address('/a', 'k', Layer.parse('*stats:pkt2')), sample(INSTANTS[0]!, 1e6)),
        ])
        const places = [
          {},
          { path: Path.root },
          { path: Path.parse('/a') },
          { path: Path.parse('/a'), key: address('/', 'k').key },
          { path: Path.parse('/a/b'), key: address('/', 'k2').key },
          { path: Path.parse('/b') },
          { path: Path.parse('/a'), key: address('/', 'k3').key },
        ]
        for (const place of places)
          for (const range of RANGES)
            for (const by of [undefined, ...LEVELS]) {
              const query = { ...place, ...range, ...(by === undefined ? {} : { by }) }
              const rows = await bucket.aggregate({ layer: STATS, ...query })
              expect({ query, rows }).toEqual({ query, rows: expected(written, query) })
            }
      },
      'aggregates',
    )

    bench.proves(
      'negative and fractional numbers',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/a', 'k', STATS)
        await store(
          bucket,
          [-2.5, 1.25, 0].map((v, i) => append(at, sample(INSTANTS[0]! + i, v))),
        )
        expect(await bucket.aggregate({ layer: STATS, path: at.path })).toEqual([
          { period: [], sum: -1.25, min: -2.5, max: 1.25, count: 3 },
        ])
      },
      'aggregates',
    )

    bench.proves(
      'count a repeated sample once',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/a', 'k', STATS)
        for (let i = 0; i < 3; i++) await store(bucket, [append(at, sample(INSTANTS[1]!, 5))])
        expect(await bucket.aggregate({ layer: STATS, by: 'minute' })).toEqual([
          { period: [2016, 1, 1, 0, 0], sum: 5, min: 5, max: 5, count: 1 },
        ])
      },
      'aggregates',
    )

    bench.proves(
      'add up what is added up already',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/a', 'k', STATS)
        const written = [
          { sum: 10, min: 1, max: 6, count: 3 },
          { sum: -4, min: -7, max: 3, count: 2 },
        ].map((v, i) => ({ path: '/a', key: 'k', at: INSTANTS[1]! + i * 60_000, v }))
        written.push({ path: '/a', key: 'k', at: INSTANTS[1]!, v: 2 as never })
        await store(
          bucket,
          written.map((each, i) => append(at, sample(each.at, each.v, `id-${i}`))),
        )
        for (const by of [undefined, ...LEVELS]) {
          const query = by === undefined ? {} : { by }
          expect(await bucket.aggregate({ layer: STATS, ...query })).toEqual(expected(written, query))
        }
      },
      'aggregate of aggregates',
    )

    bench.proves(
      'count anything but numbers and aggregates as one sample of 0',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/a', 'k', STATS)
        const values: Json[] = ['5', null, true, [1, 2], { sum: 1 }, { sum: '1', min: 1, max: 1, count: 1 }]
        await store(
          bucket,
          values.map((v, i) => append(at, sample(INSTANTS[1]! + i, v))),
        )
        expect(await bucket.aggregate({ layer: STATS })).toEqual([
          { period: [], sum: 0, min: 0, max: 0, count: values.length },
        ])
      },
      'aggregates',
    )

    bench.proves(
      'nothing where there is nothing',
      async () => {
        const bucket = await bench.bucket()
        expect(await bucket.aggregate({ layer: STATS })).toEqual([])
        expect(await bucket.aggregate({ layer: STATS, by: 'day' })).toEqual([])
      },
      'aggregates',
    )

    bench.proves(
      'samples appended by many at once are all counted',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/a', 'k', STATS)
        await Promise.all(
          Array.from({ length: 8 }, async (_, writer) => {
            for (let i = 0; i < 10; i++)
              await store(bucket, [append(at, sample(INSTANTS[1]! + i, 1, `w${writer}-${i}`))])
          }),
        )
        expect(await bucket.aggregate({ layer: STATS })).toEqual([
          { period: [], sum: 80, min: 1, max: 1, count: 80 },
        ])
      },
      'aggregates',
    )
  })
}

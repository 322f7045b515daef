import type { BucketName, Json } from '../../../../core'
import { openCouchStore } from '../../../../core/store/couch/open-couch-store'
import type { Store } from '../../../../core/store/store'
import { TARGETS, type Target, randomBucket } from '../../../couchdb/targets'
import { STATS, T0, address, append, sample, store as storeAll } from '../contract/writes'

describe.each(TARGETS)('what samples add up to, on %s', (_name, start) => {
  let target: Target
  let store: Store
  let name: BucketName
  beforeAll(async () => {
    target = await start()
    store = await openCouchStore({ url: target.url, node: 'a' })
  })
  afterAll(async () => {
    await store.close()
    await target.stop()
  })
  afterEach(async () => {
    await store.drop(name)
  })

  const HOSTILE: readonly Json[] = [
    1e308,
    1e308,
    -1e308,
    1e200,
    1e-320,
    0,
    { sum: 1e308, min: 1, max: 1e308, count: 1e308 },
    { sum: 1e308, min: 1, max: 1e308, count: 1e308, sumsqr: 'x' },
    { sum: null, min: 1, max: 1, count: 1 },
    { toString: 1, length: -1 },
    'x'.repeat(10_000),
    Array.from({ length: 50 }).reduce<Json>((inner) => [inner], 1),
  ]

  test('no value breaks the view, and pruning changes no aggregate', async () => {
    name = randomBucket()
    await store.create(name)
    const bucket = await store.open(name)
    const at = address('/hostile', 'k', STATS)
    const tame = address('/tame', 'k', STATS)
    await storeAll(bucket, [
      ...HOSTILE.map((v, i) => append(at, sample(T0 + i * 10_000, v))),
      append(tame, sample(T0, 5)),
    ])
    const look = () => bucket.aggregate({ layer: STATS, path: at.path, by: 'minute' })
    const before = await look()
    for (const { sum, min, max, count } of before)
      for (const value of [sum, min, max, count]) expect(Number.isFinite(value)).toBe(true)
    expect(await bucket.aggregate({ layer: STATS, path: tame.path })).toEqual([
      { period: [], sum: 5, min: 5, max: 5, count: 1 },
    ])
    expect(await bucket.keys(at, 'series', { limit: 5 })).toEqual([{ key: 'k', live: true }])

    while ((await bucket.pruneSamples(at, T0 + 1e9, 5)) > 0) continue
    const after = await look()
    expect(after.map(({ period }) => period)).toEqual(before.map(({ period }) => period))
    after.forEach((row, i) => {
      expect(row.min).toBe(before[i]!.min)
      expect(row.max).toBe(before[i]!.max)
      // The order in which floats are added is not the same.
      expect(row.sum / before[i]!.sum || 1).toBeCloseTo(1, 10)
      expect(row.count / before[i]!.count).toBeCloseTo(1, 10)
    })
    expect(await bucket.samples(at, { order: 'oldest', limit: 5 })).toEqual([])
    expect(await bucket.keys(at, 'series', { limit: 5 })).toEqual([])
    expect(await bucket.paths(STATS, 'series', at.path, undefined, { limit: 5 })).toEqual([])
  })

  test('a sample that was forgotten and comes again is not counted again', async () => {
    name = randomBucket()
    await store.create(name)
    const bucket = await store.open(name)
    const at = address('/a', 'k', STATS)
    await storeAll(bucket, [append(at, sample(T0, 5)), append(at, sample(T0 + 1, 6))])
    expect(await bucket.pruneSamples(at, T0 + 1, 10)).toBe(1)
    expect(await bucket.commit([append(at, sample(T0, 5))])).toEqual(['stored'])
    expect(await bucket.aggregate({ layer: STATS })).toEqual([
      { period: [], sum: 11, min: 5, max: 6, count: 2 },
    ])
    expect(await bucket.samples(at, { order: 'oldest', limit: 5 })).toEqual([sample(T0 + 1, 6)])
  })

  test('two nodes that prune at once count nothing twice and lose nothing', async () => {
    name = randomBucket()
    await store.create(name)
    const buckets = [await store.open(name), await store.open(name), await store.open(name)]
    const at = address('/a', 'k', STATS)
    await storeAll(
      buckets[0]!,
      Array.from({ length: 60 }, (_, i) => append(at, sample(T0 + i * 7_000, i))),
    )
    const before = await buckets[0]!.aggregate({ layer: STATS, by: 'minute' })
    await Promise.all(
      buckets.map((bucket, i) => bucket.pruneSamples(at, T0 + (30 + i * 10) * 7_000, 17 + i * 13)),
    )
    expect(await buckets[0]!.aggregate({ layer: STATS, by: 'minute' })).toEqual(before)
    while ((await buckets[1]!.pruneSamples(at, T0 + 1e9, 7)) > 0) continue
    expect(await buckets[0]!.aggregate({ layer: STATS, by: 'minute' })).toEqual(before)
  })
})

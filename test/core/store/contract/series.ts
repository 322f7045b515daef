import type { StoreBench } from './bench'
import { STATS, T0, address, append, sample, store } from './writes'

export function seriesContract(bench: StoreBench): void {
  describe('samples', () => {
    const at = address('/router/a', 'pkt', STATS)

    bench.proves('appended twice are there once', async () => {
      const bucket = await bench.bucket()
      expect(await bucket.commit([append(at, sample(T0, 5))])).toEqual(['stored'])
      expect(await bucket.commit([append(at, sample(T0, 5))])).toEqual(['stored'])
      if (bench.store.features.ordered)
        expect(await bucket.commit([append(at, sample(T0 + 1, 7)), append(at, sample(T0 + 1, 7))])).toEqual([
          'stored',
          'stored',
        ])
      else await store(bucket, [append(at, sample(T0 + 1, 7))])
      expect(await bucket.samples(at, { order: 'oldest', limit: 10 })).toEqual([
        sample(T0, 5),
        sample(T0 + 1, 7),
      ])
    })

    bench.proves('of one instant are told apart and ordered by id', async () => {
      const bucket = await bench.bucket()
      const ids = ['b-1', 'a-1', 'a-2', 'é-1', '_local', '|', '%']
      await Promise.all(ids.map((id, i) => store(bucket, [append(at, sample(T0, i, id))])))
      const found = await bucket.samples(at, { order: 'oldest', limit: 10 })
      expect(new Set(found.map(({ id }) => id))).toEqual(new Set(ids))
      expect(await bucket.samples(at, { order: 'newest', limit: 10 })).toEqual([...found].reverse())
    })

    bench.proves('by range, in both orders, paged without loss', async () => {
      const bucket = await bench.bucket()
      const written = Array.from({ length: 40 }, (_, i) =>
        sample(T0 + Math.floor(i / 2) * 1000, i, `node-${i % 2}`),
      )
      await store(
        bucket,
        written.map((each) => append(at, each)),
      )
      const read = async (range: Partial<Parameters<typeof bucket.samples>[1]>) =>
        bucket.samples(at, { order: 'oldest', limit: 100, ...range })
      expect(await read({})).toEqual(written)
      expect(await read({ order: 'newest' })).toEqual([...written].reverse())
      expect(await read({ from: T0 + 2000, to: T0 + 3000 })).toEqual(written.slice(4, 8))
      expect(await read({ from: T0 + 2000, to: T0 + 3000, order: 'newest' })).toEqual(
        written.slice(4, 8).reverse(),
      )
      expect(await read({ from: T0 + 2001, to: T0 + 2999 })).toEqual([])
      expect(await read({ to: T0 - 1 })).toEqual([])
      expect(await read({ from: T0 + 19_000 })).toEqual(written.slice(38))
      for (const order of ['oldest', 'newest'] as const) {
        const paged = []
        let after: { at: number; id: string } | undefined
        for (;;) {
          const page = await read({
            order,
            limit: 7,
            from: T0 + 1000,
            ...(after === undefined ? {} : { after }),
          })
          if (page.length === 0) break
          paged.push(...page)
          const last = page.at(-1)!
          after = { at: last.at, id: last.id }
        }
        expect(paged).toEqual(order === 'oldest' ? written.slice(2) : written.slice(2).reverse())
      }
    })

    bench.proves('of one address stay its own', async () => {
      const bucket = await bench.bucket()
      const others = [
        address('/router/a', 'pkt2', STATS),
        address('/router/a', 'pk', STATS),
        address('/router/a/pkt', 'pkt', STATS),
        address('/router', 'a', STATS),
      ]
      await store(
        bucket,
        others.map((other, i) => append(other, sample(T0, i))),
      )
      expect(await bucket.samples(at, { order: 'newest', limit: 10 })).toEqual([])
      for (const [i, other] of others.entries())
        expect(await bucket.samples(other, { order: 'newest', limit: 10 })).toEqual([sample(T0, i)])
    })

    bench.proves('keep any JSON value', async () => {
      const bucket = await bench.bucket()
      const values = [1.5, -3, 'text', null, true, { sum: 1, min: 1, max: 1, count: 1 }, [1], { a: { b: 1 } }]
      await store(
        bucket,
        values.map((v, i) => append(at, sample(T0 + i, v))),
      )
      const found = await bucket.samples(at, { order: 'oldest', limit: 10 })
      expect(found.map(({ v }) => v)).toEqual(values)
    })
  })
}

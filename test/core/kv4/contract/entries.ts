import type { EngineBench } from './bench'
import { CURRENT, SERIES, at, code } from './bench'
import { Layer, Path } from '../../../../core'

const by = 'elena'

export function entriesContract(bench: EngineBench): void {
  describe('entries', () => {
    bench.test('a put is a version with number, time, writer and operation', async () => {
      const bucket = await bench.bucket()
      const before = bench.clock.now()
      const first = await bucket.put(at('/a', 'k'), { x: 1 }, { by })
      expect(first).toMatchObject({ n: 1, by, op: 'create', v: { x: 1 } })
      expect(first.at).toBeGreaterThanOrEqual(before)
      const second = await bucket.put(at('/a', 'k'), 'two', { by: 'lily' })
      expect(second).toMatchObject({ n: 2, by: 'lily', op: 'update', v: 'two' })
      expect(await bucket.get(at('/a', 'k'))).toEqual(second)
      expect(await bucket.get(at('/a', 'k'), { consistent: true })).toEqual(second)
    })

    bench.test('what was never written, and what was removed, is absent', async () => {
      const bucket = await bench.bucket()
      expect(await bucket.get(at('/a', 'k'))).toBeUndefined()
      expect(await bucket.remove(at('/a', 'k'), { by })).toBeUndefined()
      await bucket.put(at('/a', 'k'), 1, { by })
      expect(await bucket.remove(at('/a', 'k'), { by })).toMatchObject({ n: 2, op: 'delete', v: null, by })
      expect(await bucket.get(at('/a', 'k'))).toBeUndefined()
      expect(await bucket.remove(at('/a', 'k'), { by })).toBeUndefined()
      expect(await bucket.put(at('/a', 'k'), 2, { by })).toMatchObject({ n: 3, op: 'create' })
    })

    bench.test('every JSON value comes back as it was', async () => {
      const bucket = await bench.bucket()
      const values = [
        null,
        true,
        false,
        0,
        -1.5,
        '',
        'é😀',
        [],
        {},
        [1, [2, { a: null }]],
        { 'a.b': { '': 1 }, $x: [] },
      ]
      for (const [i, value] of values.entries()) await bucket.put(at('/v', `k${i}`), value, { by })
      for (const [i, value] of values.entries())
        expect((await bucket.get(at('/v', `k${i}`), { consistent: true }))?.v).toEqual(value)
    })

    bench.test('expect absent, present, a version', async () => {
      const bucket = await bench.bucket()
      const k = at('/a', 'k')
      expect(await code(bucket.put(k, 0, { by, expect: 'present' }))).toBe('version_conflict')
      const one = await bucket.put(k, 1, { by, expect: 'absent' })
      expect(await code(bucket.put(k, 2, { by, expect: 'absent' }))).toBe('version_conflict')
      const two = await bucket.put(k, 2, { by, expect: { n: one.n } })
      expect(await code(bucket.put(k, 3, { by, expect: { n: one.n } }))).toBe('version_conflict')
      expect(await code(bucket.remove(k, { by, expect: { n: one.n } }))).toBe('version_conflict')
      expect(await bucket.put(k, 3, { by, expect: 'present' })).toMatchObject({ n: 3 })
      expect(await code(bucket.remove(k, { by, expect: { n: two.n } }))).toBe('version_conflict')
      expect(await bucket.remove(k, { by, expect: { n: 3 } })).toMatchObject({ n: 4 })
      expect(await code(bucket.put(k, 5, { by, expect: { n: 4 } }))).toBe('version_conflict')
      expect(await bucket.put(k, 5, { by, expect: 'absent' })).toMatchObject({ n: 5, op: 'create' })
    })

    bench.test('of many conditional writers one wins each round', async () => {
      const bucket = await bench.bucket()
      const k = at('/race', 'k')
      let n = (await bucket.put(k, 0, { by })).n
      for (let round = 1; round <= 5; round++) {
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            code(bucket.put(k, { round, i }, { by: `w${i}`, expect: { n } })),
          ),
        )
        expect(results.filter((result) => result === 'no error')).toHaveLength(1)
        expect(results.filter((result) => result === 'version_conflict')).toHaveLength(19)
        n = (await bucket.get(k))!.n
      }
      expect(n).toBe(6)
    })

    bench.test('blind writers all get in, without a gap, in the order in which they came', async () => {
      const bucket = await bench.bucket()
      const k = at('/blind', 'k')
      const versions = await Promise.all(Array.from({ length: 30 }, (_, i) => bucket.put(k, i, { by })))
      expect(versions.map((version) => version.n)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1))
      expect((await bucket.history(k)).items.map((version) => version.v)).toEqual(
        Array.from({ length: 30 }, (_, i) => 29 - i),
      )
    })

    bench.test('put, remove and put of one key at once keep their order', async () => {
      const bucket = await bench.bucket()
      const k = at('/order', 'k')
      const [a, b, c] = await Promise.all([
        bucket.put(k, 1, { by, expect: 'absent' }),
        bucket.remove(k, { by, expect: 'present' }),
        bucket.put(k, 2, { by, expect: 'absent' }),
      ])
      expect([a.op, b?.op, c.op]).toEqual(['create', 'delete', 'create'])
      expect((await bucket.get(k))?.v).toBe(2)
    })

    bench.test('modify loses no update', async () => {
      const bucket = await bench.bucket()
      const k = at('/count', 'k')
      await Promise.all(
        Array.from({ length: 20 }, () => bucket.modify(k, (now) => ((now?.v as number) ?? 0) + 1, { by })),
      )
      expect((await bucket.get(k))?.v).toBe(20)
    })

    bench.test('time never decreases, though the clock does', async () => {
      const bucket = await bench.bucket()
      const k = at('/clock', 'k')
      const first = await bucket.put(k, 1, { by })
      bench.clock.forward(-60_000)
      try {
        const second = await bucket.put(k, 2, { by })
        expect(second.at).toBeGreaterThanOrEqual(first.at)
      } finally {
        bench.clock.forward(60_000)
      }
    })

    bench.test('a current entry is rewritten and leaves no history', async () => {
      const bucket = await bench.bucket()
      const k = at('/hosts', 'a', CURRENT)
      const first = await bucket.put(k, { load: 1 }, { by })
      const second = await bucket.put(k, { load: 2 }, { by, expect: { n: first.n } })
      expect(second.n).toBeGreaterThan(first.n)
      expect(await code(bucket.put(k, { load: 3 }, { by, expect: { n: first.n } }))).toBe('version_conflict')
      expect((await bucket.get(k, { consistent: true }))?.v).toEqual({ load: 2 })
      expect(await code(bucket.history(k))).toBe('wrong_layer_kind')
      expect(await bucket.remove(k, { by })).toMatchObject({ op: 'delete' })
      expect(await bucket.get(k, { consistent: true })).toBeUndefined()
      const third = await bucket.put(k, { load: 4 }, { by, expect: 'absent' })
      expect(third.n).toBeGreaterThan(second.n)
      expect((await bucket.get(k, { consistent: true }))?.v).toEqual({ load: 4 })
    })

    bench.test('the layer kind decides which calls are allowed', async () => {
      const bucket = await bench.bucket()
      expect(await code(bucket.put(at('/a', 'k', SERIES), 1, { by }))).toBe('wrong_layer_kind')
      expect(await code(bucket.append(at('/a', 'k'), 1, { by }))).toBe('wrong_layer_kind')
      expect(await code(bucket.get(at('/a', 'k', SERIES)))).toBe('wrong_layer_kind')
    })

    bench.test('buckets are apart, and a call on none says so', async () => {
      const one = await bench.bucket()
      const two = await bench.bucket()
      await one.put(at('/a', 'k'), 1, { by })
      expect(await two.get(at('/a', 'k'))).toBeUndefined()
      expect(await bench.engine.drop(one.name)).toBe(true)
      expect(await bench.engine.drop(one.name)).toBe(false)
      expect(await code(one.get(at('/a', 'k')))).toBe('bucket_not_found')
      expect(await code(one.put(at('/a', 'k'), 1, { by }))).toBe('bucket_not_found')
      await bench.engine.create(one.name)
      expect(await one.get(at('/a', 'k'))).toBeUndefined()
      expect(await one.layers()).toEqual([])
      expect(await one.put(at('/a', 'k'), 1, { by })).toMatchObject({ n: 1 })
    })

    bench.test('an account may use layers of its own', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/a', 'k', Layer.parse('mine')), 1, { by })
      await bucket.put(at('/a', 'k'), 2, { by })
      expect((await bucket.get(at('/a', 'k', Layer.parse('mine'))))?.v).toBe(1)
      expect(await bucket.layers()).toEqual(['*data', 'mine'])
      expect((await bucket.paths(Layer.parse('mine'), Path.root, undefined)).items).toEqual(['/a'])
    })
  })
}

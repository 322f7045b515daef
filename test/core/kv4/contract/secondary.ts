import type { EngineBench } from './bench'
import { DATA, at, code } from './bench'
import { Path } from '../../../../core'

const by = 'elena'
const place = (path: string) => ({ layer: DATA, path: Path.parse(path) })

export function secondaryContract(bench: EngineBench): void {
  describe('secondary keys', () => {
    bench.test('find an entry by each slot, per path', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/acc', 'lily'), 1, { by, keys: { k2: 'lily@async.cl', k3: 'x', k4: 'y' } })
      for (const [slot, value] of [
        ['k2', 'lily@async.cl'],
        ['k3', 'x'],
        ['k4', 'y'],
      ] as const) {
        expect(await bucket.find(place('/acc'), slot, value)).toMatchObject({
          key: 'lily',
          version: { v: 1 },
        })
        expect(await bucket.find(place('/acc'), slot, value, { consistent: true })).toMatchObject({
          key: 'lily',
        })
        expect(await bucket.find(place('/other'), slot, value)).toBeUndefined()
      }
      expect(await bucket.find(place('/acc'), 'k3', 'lily@async.cl')).toBeUndefined()
      expect(await bucket.layers()).toEqual(['*data'])
    })

    bench.test('are unique among live entries', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/acc', 'a'), 1, { by, keys: { k2: 'same' } })
      expect(await code(bucket.put(at('/acc', 'b'), 1, { by, keys: { k2: 'same' } }))).toBe('key_exists')
      expect(await bucket.get(at('/acc', 'b'))).toBeUndefined()
      await bucket.put(at('/elsewhere', 'b'), 1, { by, keys: { k2: 'same' } })
      await bucket.put(at('/acc', 'a'), 2, { by, keys: { k2: 'same' } })
      await bucket.remove(at('/acc', 'a'), { by })
      expect(await bucket.find(place('/acc'), 'k2', 'same')).toBeUndefined()
      await bucket.put(at('/acc', 'b'), 1, { by, keys: { k2: 'same' } })
      expect(await bucket.find(place('/acc'), 'k2', 'same')).toMatchObject({ key: 'b' })
    })

    bench.test('stay with a put that names none, change with one that does', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/acc', 'a'), 1, { by, keys: { k2: 'old', k3: 'three' } })
      await bucket.put(at('/acc', 'a'), 2, { by })
      expect(await bucket.find(place('/acc'), 'k2', 'old')).toMatchObject({ version: { v: 2 } })
      await bucket.put(at('/acc', 'a'), 3, { by, keys: { k2: 'new' } })
      expect(await bucket.find(place('/acc'), 'k2', 'old')).toBeUndefined()
      expect(await bucket.find(place('/acc'), 'k3', 'three')).toBeUndefined()
      expect(await bucket.find(place('/acc'), 'k2', 'new')).toMatchObject({ key: 'a', version: { v: 3 } })
      await bucket.put(at('/acc', 'b'), 1, { by, keys: { k2: 'old' } })
    })

    bench.test('of many who claim one value at once, one gets it', async () => {
      const bucket = await bench.bucket()
      const results = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          code(bucket.put(at('/acc', `u${i}`), i, { by, keys: { k2: 'wanted' } })),
        ),
      )
      expect(results.filter((result) => result === 'no error')).toHaveLength(1)
      expect(results.filter((result) => result === 'key_exists')).toHaveLength(7)
      const found = await bucket.find(place('/acc'), 'k2', 'wanted')
      expect(found?.version.v).toBe(results.indexOf('no error'))
      expect((await bucket.keys(place('/acc'))).items).toEqual([found?.key])
    })

    bench.test('of a lapsed entry are free', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/acc', 'a'), 1, { by, keys: { k2: 'short' }, ttl: 100 })
      bench.clock.forward(20_000)
      expect(await bucket.find(place('/acc'), 'k2', 'short')).toBeUndefined()
      await bucket.put(at('/acc', 'b'), 1, { by, keys: { k2: 'short' } })
      await bench.engine.sweep()
      expect(await bucket.find(place('/acc'), 'k2', 'short')).toMatchObject({ key: 'b' })
    })

    bench.test('a refused put leaves the value to others', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/acc', 'a'), 1, { by })
      expect(await code(bucket.put(at('/acc', 'a'), 2, { by, expect: 'absent', keys: { k2: 'free' } }))).toBe(
        'version_conflict',
      )
      await bucket.put(at('/acc', 'b'), 1, { by, keys: { k2: 'free' } })
      for (const bad of ['', '\u0000', 'x'.repeat(513)])
        expect(await code(bucket.put(at('/acc', 'c'), 1, { by, keys: { k2: bad } }))).toBe(
          'bad_secondary_key',
        )
    })

    bench.test('puts of one entry that swap its value again and again leave it found', async () => {
      const bucket = await bench.bucket()
      const k = at('/acc', 'a')
      await Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          bucket.put(k, i, { by, keys: { k2: i % 2 === 0 ? 'even' : 'odd' } }),
        ),
      )
      const now = (await bucket.get(k))!
      expect(await bucket.find(place('/acc'), 'k2', now.k2!)).toMatchObject({ key: 'a', version: { n: 12 } })
      expect(await bucket.find(place('/acc'), 'k2', now.k2 === 'even' ? 'odd' : 'even')).toBeUndefined()
    })
  })
}

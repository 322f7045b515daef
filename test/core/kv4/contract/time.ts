import type { EngineBench } from './bench'
import { CURRENT, DATA, KEEP3, KEEP_DAY, at, code } from './bench'
import { Path } from '../../../../core'
import type { PathHistoryCursor, Version } from '../../../../core'

const by = 'elena'

export function timeContract(bench: EngineBench): void {
  describe('the fourth coordinate', () => {
    bench.test('history is newest first, paged, cut by time, and survives deletion', async () => {
      const bucket = await bench.bucket()
      const k = at('/h', 'k')
      const versions: Version[] = []
      for (let i = 1; i <= 6; i++) {
        versions.push(await bucket.put(k, i, { by: `w${i}` }))
        bench.clock.forward(1000)
      }
      versions.push((await bucket.remove(k, { by: 'last' }))!)
      expect((await bucket.history(k)).items).toEqual([...versions].reverse())
      const first = await bucket.history(k, {}, { limit: 4 })
      expect(first.items.map((version) => version.n)).toEqual([7, 6, 5, 4])
      expect((await bucket.history(k, {}, { after: first.next! })).items.map((version) => version.n)).toEqual(
        [3, 2, 1],
      )
      const within = await bucket.history(k, { from: versions[1]!.at, to: versions[3]!.at })
      expect(within.items.map((version) => version.n)).toEqual([4, 3, 2])
      expect((await bucket.history(k, { to: versions[0]!.at - 1 })).items).toEqual([])
      expect((await bucket.history(at('/h', 'never'))).items).toEqual([])
    })

    bench.test('get as of any instant', async () => {
      const bucket = await bench.bucket()
      const k = at('/asof', 'k')
      const versions: Version[] = []
      for (let i = 1; i <= 80; i++) {
        versions.push(i % 10 === 0 ? (await bucket.remove(k, { by }))! : await bucket.put(k, i, { by }))
        bench.clock.forward(100)
      }
      expect(await bucket.get(k, { at: versions[0]!.at - 1 })).toBeUndefined()
      for (const [i, version] of versions.entries()) {
        const expected = version.op === 'delete' ? undefined : version
        expect(await bucket.get(k, { at: version.at })).toEqual(expected)
        if (i < versions.length - 1)
          expect(await bucket.get(k, { at: versions[i + 1]!.at - 1 })).toEqual(expected)
      }
      expect(await code(bucket.get(at('/a', 'k', CURRENT), { at: 0 }))).toBe('wrong_layer_kind')
    })

    bench.test('the history of a whole path merges its keys, newest first, in pages', async () => {
      const bucket = await bench.bucket()
      const place = { layer: DATA, path: Path.parse('/all') }
      const written: { key: string; n: number; at: number }[] = []
      for (let i = 0; i < 20; i++) {
        const key = `k${i % 3}`
        const version =
          i === 13
            ? (await bucket.remove(at('/all', key), { by }))!
            : await bucket.put(at('/all', key), i, { by })
        written.push({ key, n: version.n, at: version.at })
        if (i % 4 === 0) bench.clock.forward(10)
      }
      const order = (a: (typeof written)[number], b: (typeof written)[number]) =>
        b.at - a.at || (a.key < b.key ? -1 : a.key > b.key ? 1 : b.n - a.n)
      const expected = written.sort(order).map(({ key, n }) => [key, n])
      const whole = await bucket.pathHistory(place)
      expect(whole.items.map(({ key, version }) => [key, version.n])).toEqual(expected)
      for (const limit of [1, 3, 7]) {
        const paged: unknown[] = []
        let after: PathHistoryCursor | undefined
        do {
          const page = await bucket.pathHistory(place, {}, { limit, ...(after !== undefined && { after }) })
          paged.push(...page.items.map(({ key, version }) => [key, version.n]))
          after = page.next
        } while (after !== undefined)
        expect(paged).toEqual(expected)
      }
    })

    bench.test(
      'a lapsed entry reads as absent at once, and a sweep gives it its delete version',
      async () => {
        const bucket = await bench.bucket()
        const k = at('/ttl', 'k')
        const put = await bucket.put(k, 1, { by, ttl: 5_000 })
        await bucket.put(at('/ttl', 'stays'), 1, { by })
        expect(put.exp).toBe(put.at + 5_000)
        expect(await bucket.get(k)).toEqual(put)
        expect((await bucket.keys({ layer: DATA, path: Path.parse('/ttl') })).items).toEqual(['k', 'stays'])
        bench.clock.forward(5_001)
        expect(await bucket.get(k)).toBeUndefined()
        expect(await bucket.get(k, { consistent: true })).toBeUndefined()
        expect((await bucket.keys({ layer: DATA, path: Path.parse('/ttl') })).items).toEqual(['stays'])
        expect(
          (await bucket.entries({ layer: DATA, path: Path.parse('/ttl') })).items.map(({ key }) => key),
        ).toEqual(['stays'])
        expect(await bucket.remove(k, { by })).toBeUndefined()
        await bench.engine.sweep()
        const history = (await bucket.history(k)).items
        expect(history.map((version) => [version.n, version.op, version.by])).toEqual([
          [2, 'delete', '$sys'],
          [1, 'create', by],
        ])
        await bench.engine.sweep()
        expect((await bucket.history(k)).items).toHaveLength(2)
        expect(await bucket.get(k, { at: put.at })).toEqual(put)
        expect(await bucket.get(k, { at: put.exp! })).toBeUndefined()
        expect((await bucket.put(k, 2, { by, expect: 'absent' })).n).toBe(3)
      },
    )

    bench.test('a put over a lapsed entry, and one that takes the ttl away', async () => {
      const bucket = await bench.bucket()
      const lapsed = at('/ttl', 'lapsed')
      const renewed = at('/ttl', 'renewed')
      await bucket.put(lapsed, 1, { by, ttl: 1_000 })
      await bucket.put(renewed, 1, { by, ttl: 1_000 })
      await bucket.put(renewed, 2, { by })
      bench.clock.forward(1_001)
      expect((await bucket.put(lapsed, 2, { by, expect: 'absent' })).n).toBe(2)
      await bench.engine.sweep()
      expect(
        (await bucket.keys({ layer: DATA, path: Path.parse('/ttl') }, { consistent: true })).items,
      ).toEqual(['lapsed', 'renewed'])
      expect((await bucket.get(renewed))?.v).toBe(2)
      expect((await bucket.history(renewed)).items).toHaveLength(2)
      for (const ttl of [0, -1, Number.NaN, Infinity, 1e15])
        expect(await code(bucket.put(lapsed, 1, { by, ttl }))).toBe('bad_ttl')
    })

    bench.test('current entries lapse too, and are gone after the sweep', async () => {
      const bucket = await bench.bucket()
      const k = at('/lease', 'node', CURRENT)
      await bucket.put(k, 1, { by, ttl: 1_000 })
      bench.clock.forward(500)
      await bucket.put(k, 2, { by, ttl: 1_000 })
      bench.clock.forward(700)
      await bench.engine.sweep()
      expect((await bucket.get(k))?.v).toBe(2)
      bench.clock.forward(400)
      expect(await bucket.get(k)).toBeUndefined()
      await bench.engine.sweep()
      expect(await bucket.layers()).toEqual([])
    })

    bench.test('many entries that lapse at one instant are all swept', async () => {
      const bucket = await bench.bucket()
      await Promise.all(
        Array.from({ length: 600 }, (_, i) => bucket.put(at('/many', `k${i}`), i, { by, ttl: 1_000 })),
      )
      bench.clock.forward(2_000)
      await bench.engine.sweep()
      expect(await bucket.layers()).toEqual([])
    })

    bench.test('retention keeps the last versions, or what was true within the last days', async () => {
      const bucket = await bench.bucket()
      const three = at('/r', 'k', KEEP3)
      for (let i = 1; i <= 10; i++) await bucket.put(three, i, { by })
      const day = at('/r', 'k', KEEP_DAY)
      await bucket.put(day, 'first', { by })
      await bucket.put(day, 'edge', { by })
      bench.clock.forward(24 * 3600 * 1000 + 1)
      await bucket.put(day, 'now', { by })
      // On a store that others write to, nothing is forgotten before everybody has heard of its successors.
      bench.clock.forward(120_000)
      await bucket.put(day, 'now 2', { by })
      await bench.engine.sweep()
      bench.clock.forward(120_000)
      await bench.engine.sweep()
      expect((await bucket.history(three)).items.map((version) => version.v)).toEqual([10, 9, 8])
      expect((await bucket.history(day)).items.map((version) => version.v)).toEqual(['now 2', 'now', 'edge'])
      expect(
        (await bucket.keys({ layer: KEEP3, path: Path.parse('/r') }, { consistent: true })).items,
      ).toEqual(['k'])
      expect((await bucket.paths(KEEP3, Path.root, undefined, { consistent: true })).items).toEqual(['/r'])
      expect((await bucket.put(three, 11, { by })).n).toBe(11)
    })

    bench.test('retention by age reaches keys that nobody writes any more', async () => {
      const bucket = await bench.bucket()
      const keys = Array.from({ length: 450 }, (_, i) => at(`/old/${i % 3}`, `k${i}`, KEEP_DAY))
      for (const value of ['first', 'second', 'last'])
        await Promise.all(keys.map((key) => bucket.put(key, value, { by })))
      await bucket.remove(keys[3]!, { by })
      const values = async (key: number) => (await bucket.history(keys[key]!)).items.map(({ v }) => v)
      bench.clock.forward(120_000)
      for (let i = 0; i < 3; i++) await bench.engine.sweep()
      expect(await values(0)).toEqual(['last', 'second', 'first'])
      bench.clock.forward(2 * 24 * 3600 * 1000)
      // A part of a round each time, through all the buckets that are open.
      for (let i = 0; i < 20 && (await values(449)).length > 1; i++) await bench.engine.sweep()
      for (const key of [0, 1, 200, 449]) expect(await values(key)).toEqual(['last'])
      expect(await values(3)).toEqual([null])
      expect(await bucket.get(keys[0]!, { consistent: true })).toMatchObject({ n: 3, v: 'last' })
    })
  })
}

import type { EngineBench } from './bench'
import { CURRENT, DATA, SERIES, at, code } from './bench'
import type { Key } from '../../../../core'
import { Path } from '../../../../core'

const by = 'elena'
const place = (path: string) => ({ layer: DATA, path: Path.parse(path) })

export function listingContract(bench: EngineBench): void {
  describe('listings', () => {
    bench.test('keys and entries are live, sorted and paged', async () => {
      const bucket = await bench.bucket()
      await Promise.all(
        Array.from({ length: 25 }, (_, i) =>
          bucket.put(at('/p', `k${String(i).padStart(2, '0')}`), i, { by }),
        ),
      )
      for (let i = 0; i < 25; i += 5) await bucket.remove(at('/p', `k${String(i).padStart(2, '0')}`), { by })
      const expected = Array.from({ length: 25 }, (_, i) => `k${String(i).padStart(2, '0')}`).filter(
        (_, i) => i % 5 !== 0,
      )
      expect((await bucket.keys(place('/p'))).items).toEqual(expected)
      const paged: string[] = []
      let after: Key | undefined
      let pages = 0
      do {
        const page = await bucket.keys(place('/p'), { limit: 7, ...(after !== undefined && { after }) })
        paged.push(...page.items)
        after = page.next
        pages++
      } while (after !== undefined)
      expect(paged).toEqual(expected)
      expect(pages).toBe(3)
      const entries = await bucket.entries(place('/p'), { limit: 3 })
      expect(entries.items.map(({ key, version }) => [key, version.v])).toEqual([
        ['k01', 1],
        ['k02', 2],
        ['k03', 3],
      ])
      expect(entries.next).toBe('k03')
      expect((await bucket.keys(place('/none'))).items).toEqual([])
      expect(await code(bucket.keys(place('/p'), { limit: 0 }))).toBe('bad_request')
    })

    bench.test('a full last page has no next', async () => {
      const bucket = await bench.bucket()
      for (const key of ['a', 'b', 'c', 'd']) await bucket.put(at('/p', key), 1, { by })
      await bucket.remove(at('/p', 'd'), { by })
      expect(await bucket.keys(place('/p'), { limit: 3 })).toEqual({ items: ['a', 'b', 'c'] })
    })

    bench.test('a cached listing learns of every change, and of no more', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/p', 'a'), 1, { by })
      expect((await bucket.keys(place('/p'))).items).toEqual(['a'])
      expect((await bucket.paths(DATA, Path.root, undefined)).items).toEqual(['/p'])
      await bucket.put(at('/p', 'b'), 1, { by })
      await bucket.put(at('/q', 'b'), 1, { by })
      expect((await bucket.keys(place('/p'))).items).toEqual(['a', 'b'])
      expect((await bucket.paths(DATA, Path.root, undefined)).items).toEqual(['/p', '/q'])
      await bucket.remove(at('/p', 'a'), { by })
      await bucket.remove(at('/p', 'b'), { by })
      expect((await bucket.keys(place('/p'))).items).toEqual([])
      expect((await bucket.paths(DATA, Path.root, undefined)).items).toEqual(['/q'])
      expect(await bucket.layers()).toEqual(['*data'])
    })

    bench.test('sums that were cached learn of every sample in their range', async () => {
      const bucket = await bench.bucket()
      const day = (d: number) => Date.UTC(2025, 0, d, 12)
      const add = (key: string, d: number, on = bucket) =>
        on.append(at('/s', key, SERIES), 1, { by, at: day(d) })
      const { path } = at('/s', 'a')
      const days = { layer: SERIES, path, from: [2025, 1, 2], to: [2025, 1, 3], by: 'day' } as const
      const counts = async (query: Parameters<typeof bucket.aggregate>[0]) =>
        (await bucket.aggregate(query)).map(({ period, count }) => [...period, count])
      const ofA = { layer: SERIES, path, key: at('/s', 'a').key }
      await add('a', 1)
      await add('a', 2)
      for (let twice = 0; twice < 2; twice++) {
        expect(await counts(days)).toEqual([[2025, 1, 2, 1]])
        expect(await counts(ofA)).toEqual([[2]])
        expect(await counts({ layer: SERIES })).toEqual([[2]])
      }
      await add('a', 4)
      await add('b', 3)
      expect(await counts(days)).toEqual([
        [2025, 1, 2, 1],
        [2025, 1, 3, 1],
      ])
      expect(await counts(ofA)).toEqual([[3]])
      expect(await counts({ layer: SERIES })).toEqual([[4]])
      if (!bench.hasOther) return
      await add('b', 3, bench.other(bucket))
      const end = Date.now() + 10_000
      let told: unknown
      do told = await counts(days)
      while (JSON.stringify(told) !== '[[2025,1,2,1],[2025,1,3,2]]' && Date.now() < end)
      expect(told).toEqual([
        [2025, 1, 2, 1],
        [2025, 1, 3, 2],
      ])
    })

    bench.test('paths by depth, in tree order, paged', async () => {
      const bucket = await bench.bucket()
      for (const path of ['/a', '/a/b', '/a/b/c', '/a!', '/b/x/y/z'])
        await bucket.put(at(path, 'k'), 1, { by })
      const all = ['/a', '/a/b', '/a/b/c', '/a!', '/b/x/y/z']
      expect((await bucket.paths(DATA, Path.root, undefined)).items).toEqual(all)
      expect((await bucket.paths(DATA, Path.root, 1)).items).toEqual(['/a', '/a!'])
      expect((await bucket.paths(DATA, Path.parse('/a'), undefined)).items).toEqual(['/a', '/a/b', '/a/b/c'])
      expect((await bucket.paths(DATA, Path.parse('/a'), 1)).items).toEqual(['/a', '/a/b'])
      const first = await bucket.paths(DATA, Path.root, undefined, { limit: 2 })
      expect(first).toEqual({ items: ['/a', '/a/b'], next: '/a/b' })
      expect(
        (await bucket.paths(DATA, Path.root, undefined, { limit: 3, after: first.next! })).items,
      ).toEqual(all.slice(2))
    })

    bench.test('removeUnder counts live keys, at a path and below', async () => {
      const bucket = await bench.bucket()
      for (const [path, key] of [
        ['/a', 'x'],
        ['/a', 'y'],
        ['/a', 'gone'],
        ['/a/b', 'x'],
        ['/ab', 'x'],
      ] as const)
        await bucket.put(at(path, key), 1, { by })
      await bucket.remove(at('/a', 'gone'), { by })
      expect(await bucket.removeUnder(DATA, Path.parse('/a'), { by, depth: 0 })).toBe(2)
      expect((await bucket.paths(DATA, Path.root, undefined)).items).toEqual(['/a/b', '/ab'])
      expect(await bucket.removeUnder(DATA, Path.parse('/a'), { by })).toBe(1)
      expect(await bucket.removeUnder(DATA, Path.parse('/a'), { by })).toBe(0)
      expect((await bucket.history(at('/a', 'x'))).items.map((version) => [version.op, version.by])).toEqual([
        ['delete', by],
        ['create', by],
      ])
    })

    bench.test('current and series layers are listed too', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/runtime/hosts/active', 'node1', CURRENT), 1, { by })
      await bucket.append(at('/runtime/hosts/active', 'mini:xs_vsl', SERIES), 50, { by })
      expect(await bucket.layers()).toEqual(['*lease', '*stats:pkt'])
      for (const [layer, key] of [
        [CURRENT, 'node1'],
        [SERIES, 'mini:xs_vsl'],
      ] as const) {
        expect((await bucket.paths(layer, Path.root, undefined)).items).toEqual(['/runtime/hosts/active'])
        expect((await bucket.keys({ layer, path: Path.parse('/runtime/hosts/active') })).items).toEqual([key])
      }
      await bucket.remove(at('/runtime/hosts/active', 'node1', CURRENT), { by })
      expect(await bucket.layers()).toEqual(['*stats:pkt'])
    })

    bench.test('samples are read by time, both ways, paged', async () => {
      const bucket = await bench.bucket()
      const where = at('/s', 'k', SERIES)
      const base = Date.UTC(2026, 0, 1)
      for (let i = 0; i < 5; i++) await bucket.append(where, i, { by, at: base + i * 1000 })
      const newest = await bucket.samples(where, {}, { limit: 2 })
      expect(newest.items.map((sample) => sample.v)).toEqual([4, 3])
      expect(
        (await bucket.samples(where, {}, { after: newest.next! })).items.map((sample) => sample.v),
      ).toEqual([2, 1, 0])
      expect(
        (await bucket.samples(where, { order: 'oldest', from: base + 1000, to: base + 3000 })).items.map(
          (sample) => sample.v,
        ),
      ).toEqual([1, 2, 3])
      await bucket.append(where, 9, { by, at: base, id: 'retry' })
      await bucket.append(where, 9, { by, at: base, id: 'retry' })
      expect((await bucket.samples(where)).items).toHaveLength(6)
    })
  })
}

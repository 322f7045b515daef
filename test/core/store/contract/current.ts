import type { StoreBench } from './bench'
import { SUBS, T0, address, deletion, replace, store, version } from './writes'

export function currentContract(bench: StoreBench): void {
  describe('current entries', () => {
    const at = address('/hosts', 'node1', SUBS)

    bench.proves('are replaced over the number that is there, and over no other', async () => {
      const bucket = await bench.bucket()
      expect(await bucket.commit([replace(at, 1, version(2))])).toEqual(['conflict'])
      expect(await bucket.commit([replace(at, 0, version(1))])).toEqual(['stored'])
      expect(await bucket.commit([replace(at, 0, version(1, 'twice'))])).toEqual(['conflict'])
      expect(await bucket.commit([replace(at, 1, version(2))])).toEqual(['stored'])
      expect(await bucket.commit([replace(at, 1, version(2, 'late'))])).toEqual(['conflict'])
      expect(await bucket.commit([replace(at, 2, version(1_700_000_000_000, 'far'))])).toEqual(['stored'])
      expect(await bucket.heads([at], 'current')).toEqual([version(1_700_000_000_000, 'far')])
    })

    bench.proves(
      'one winner among racing replacements',
      async () => {
        const bucket = await bench.bucket()
        await store(bucket, [replace(at, 0, version(1))])
        for (let n = 1; n <= 5; n++) {
          const outcomes = await Promise.all(
            Array.from({ length: 8 }, (_, i) => bucket.commit([replace(at, n, version(n + 1, i))])),
          )
          const winner = outcomes.findIndex(([outcome]) => outcome === 'stored')
          expect(outcomes.flat().filter((outcome) => outcome === 'stored')).toHaveLength(1)
          expect(await bucket.heads([at], 'current')).toEqual([version(n + 1, winner)])
        }
      },
      'concurrent writes',
    )

    bench.proves(
      'a deletion leaves nothing behind but a change',
      async () => {
        const bucket = await bench.bucket()
        await store(bucket, [replace(at, 0, version(1, 'there', { exp: T0 + 1000 }))])
        const before = await bucket.cursor()
        await store(bucket, [replace(at, 1, deletion(2))])
        expect(await bucket.heads([at], 'current')).toEqual([undefined])
        expect(await bucket.keys(at, 'current', { limit: 10 })).toEqual([])
        expect(await bucket.paths(SUBS, 'current', address('/', 'k').path, undefined, { limit: 10 })).toEqual(
          [],
        )
        expect(await bucket.layers()).toEqual([])
        expect(await bucket.expiring(0, T0 * 2, 10)).toEqual([])
        const told = []
        for await (const batch of bucket.changes(before, { live: false })) told.push(...batch.changes)
        expect(told).toMatchObject([{ kind: 'current', address: at, version: { n: 2, op: 'delete' } }])
      },
      'deleted current entries in the feed',
    )

    bench.proves('can be made again after a deletion, with a number above the last', async () => {
      const bucket = await bench.bucket()
      await store(bucket, [replace(at, 0, version(1))])
      await store(bucket, [replace(at, 1, deletion(2))])
      expect(await bucket.commit([replace(at, 1, version(3))])).toEqual(['conflict'])
      expect(await bucket.commit([replace(at, 2, version(3))])).toEqual(['conflict'])
      expect(await bucket.commit([replace(at, 0, version(3, 'again', { op: 'create' }))])).toEqual(['stored'])
      expect(await bucket.heads([at], 'current')).toEqual([version(3, 'again', { op: 'create' })])
    })

    bench.proves('live apart from versioned entries of another layer', async () => {
      const bucket = await bench.bucket()
      await store(bucket, [replace(at, 0, version(1))])
      const other = { ...at, key: address('/x', 'node').key }
      expect(await bucket.heads([other], 'current')).toEqual([undefined])
      expect(await bucket.keys(at, 'current', { limit: 10 })).toEqual([{ key: 'node1', live: true }])
    })

    bench.proves('tell their exp in listings', async () => {
      const bucket = await bench.bucket()
      await store(bucket, [replace(at, 0, version(1, 'v', { exp: T0 + 1000 }))])
      await store(bucket, [replace(at, 1, version(2, 'v', { exp: T0 + 2000 }))])
      expect(await bucket.keys(at, 'current', { limit: 10 })).toEqual([
        { key: 'node1', live: true, exp: T0 + 2000 },
      ])
      await store(bucket, [replace(at, 2, version(3))])
      expect(await bucket.keys(at, 'current', { limit: 10 })).toEqual([{ key: 'node1', live: true }])
    })
  })
}

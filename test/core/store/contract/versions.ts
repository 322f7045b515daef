import type { StoreBench } from './bench'
import { HOSTILE_KEYS } from './hostile'
import { address, deletion, put, store, version, writeVersions } from './writes'

export function versionContract(bench: StoreBench): void {
  describe('versions', () => {
    bench.proves('heads answers in the order asked, deletions too', async () => {
      const bucket = await bench.bucket()
      const [a, b, never] = [address('/a', 'a'), address('/a', 'b'), address('/a', 'never')]
      await writeVersions(bucket, a, 3)
      await writeVersions(bucket, b, 2, [2])
      expect(await bucket.heads([never, b, a, b], 'versioned')).toEqual([
        undefined,
        deletion(2),
        version(3),
        deletion(2),
      ])
      expect(await bucket.heads([], 'versioned')).toEqual([])
    })

    bench.proves('heads of many addresses at once', async () => {
      const bucket = await bench.bucket()
      const addresses = Array.from({ length: 300 }, (_, i) => address(`/many/${i % 7}`, `k${i}`))
      await store(
        bucket,
        addresses.filter((_, i) => i % 3 !== 0).map((at) => put(at, version(1, at.key))),
      )
      const heads = await bucket.heads(addresses, 'versioned')
      expect(heads.map((head) => head?.v)).toEqual(
        addresses.map((at, i) => (i % 3 === 0 ? undefined : at.key)),
      )
    })

    bench.proves('pick answers by number in the order asked', async () => {
      const bucket = await bench.bucket()
      const at = address('/a', 'k')
      await writeVersions(bucket, at, 12, [4])
      expect(await bucket.pick(at, [12, 4, 99, 1, 4, Number.MAX_SAFE_INTEGER])).toEqual([
        version(12),
        deletion(4),
        undefined,
        version(1),
        deletion(4),
        undefined,
      ])
      expect(await bucket.pick(at, [])).toEqual([])
      expect(await bucket.pick(address('/a', 'other'), [1])).toEqual([undefined])
    })

    bench.proves('versions in both orders between exclusive bounds', async () => {
      const bucket = await bench.bucket()
      const at = address('/a', 'k')
      await writeVersions(bucket, at, 12)
      const numbers = async (range: Partial<Parameters<typeof bucket.versions>[1]>) =>
        (await bucket.versions(at, { order: 'newest', limit: 100, ...range })).map(({ n }) => n)
      expect(await numbers({})).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
      expect(await numbers({ order: 'oldest' })).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      expect(await numbers({ limit: 3 })).toEqual([12, 11, 10])
      expect(await numbers({ limit: 3, order: 'oldest' })).toEqual([1, 2, 3])
      expect(await numbers({ below: 10, limit: 2 })).toEqual([9, 8])
      expect(await numbers({ below: 10, above: 7 })).toEqual([9, 8])
      expect(await numbers({ below: 10, above: 7, order: 'oldest' })).toEqual([8, 9])
      expect(await numbers({ above: 9, order: 'oldest', limit: 2 })).toEqual([10, 11])
      expect(await numbers({ above: 12 })).toEqual([])
      expect(await numbers({ below: 1 })).toEqual([])
      expect(await numbers({ above: 5, below: 6 })).toEqual([])
      expect(await numbers({ below: Number.MAX_SAFE_INTEGER, limit: 1 })).toEqual([12])
      expect(await bucket.versions(address('/a', 'none'), { order: 'newest', limit: 5 })).toEqual([])
    })

    bench.proves(
      'versions of an address stay its own, whatever its neighbours are called',
      async () => {
        const bucket = await bench.bucket()
        for (let n = 1; n <= 2; n++)
          await store(
            bucket,
            HOSTILE_KEYS.map((key) => put({ ...address('/h', 'k'), key }, version(n, `${key} ${n}`))),
          )
        for (const key of HOSTILE_KEYS) {
          const at = { ...address('/h', 'k'), key }
          expect(await bucket.versions(at, { order: 'newest', limit: 10 })).toEqual([
            version(2, `${key} 2`),
            version(1, `${key} 1`),
          ])
        }
        const addresses = HOSTILE_KEYS.map((key) => ({ ...address('/h', 'k'), key }))
        expect((await bucket.heads(addresses, 'versioned')).map((head) => head?.v)).toEqual(
          HOSTILE_KEYS.map((key) => `${key} 2`),
        )
      },
      'hostile names',
    )
  })
}

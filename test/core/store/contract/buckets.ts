import { BucketName } from '../../../../core'
import type { StoreBench } from './bench'
import { SUBS, DATA, STATS, address, append, put, replace, sample, store, version, T0 } from './writes'

export function bucketContract(bench: StoreBench): void {
  describe('buckets', () => {
    bench.proves('creates a bucket once', async () => {
      const name = bench.freshName()
      await expect(bench.store.open(name)).rejects.toMatchObject({ code: 'bucket_not_found' })
      expect(await bench.store.create(name)).toBe(true)
      expect(await bench.store.create(name)).toBe(false)
      const bucket = await bench.store.open(name)
      expect(await bucket.layers()).toEqual([])
      await bucket.close()
    })

    bench.proves('creates one bucket for callers that race', async () => {
      const name = bench.freshName()
      const made = await Promise.all([1, 2, 3, 4].map(() => bench.store.create(name)))
      expect(made.filter((first) => first)).toHaveLength(1)
    })

    bench.proves('creating again keeps what is there', async () => {
      const name = bench.freshName()
      await bench.store.create(name)
      const at = address('/a', 'k')
      await store(await bench.store.open(name), [put(at, version(1))])
      await bench.store.create(name)
      expect(await (await bench.store.open(name)).heads([at], 'versioned')).toEqual([version(1)])
    })

    bench.proves('lists buckets in byte order, dropped ones not', async () => {
      const names = ['z', 'a', 'é', 'b', 'B', '_'].map((sub) => BucketName.of(`listing${process.pid}`, sub))
      const account = BucketName.of(`listing${process.pid}`)
      for (const name of [...names, account]) await bench.store.create(name)
      const listed = async () => {
        const found: string[] = []
        for await (const name of bench.store.list()) if (name.startsWith(account)) found.push(name)
        return found
      }
      expect(await listed()).toEqual([account, ...names].sort())
      expect(await bench.store.drop(names[1]!)).toBe(true)
      expect(await listed()).toEqual([account, ...names.filter((name) => name !== names[1])].sort())
      for (const name of [...names, account]) await bench.store.drop(name)
      expect(await listed()).toEqual([])
    })

    bench.proves('a dropped bucket is gone for every call', async () => {
      const name = bench.freshName()
      await bench.store.create(name)
      const bucket = await bench.store.open(name)
      const at = address('/a', 'k')
      await store(bucket, [put(at, version(1))])
      expect(await bench.store.drop(name)).toBe(true)
      expect(await bench.store.drop(name)).toBe(false)
      const gone = { code: 'bucket_not_found' }
      await expect(bench.store.open(name)).rejects.toMatchObject(gone)
      await expect(bucket.commit([put(at, version(2))])).rejects.toMatchObject(gone)
      await expect(bucket.heads([at], 'versioned')).rejects.toMatchObject(gone)
      await expect(bucket.pick(at, [1])).rejects.toMatchObject(gone)
      await expect(bucket.versions(at, { order: 'newest', limit: 1 })).rejects.toMatchObject(gone)
      await expect(bucket.samples(at, { order: 'newest', limit: 1 })).rejects.toMatchObject(gone)
      await expect(bucket.keys(at, 'versioned', { limit: 1 })).rejects.toMatchObject(gone)
      await expect(
        bucket.paths(at.layer, 'versioned', at.path, undefined, { limit: 1 }),
      ).rejects.toMatchObject(gone)
      await expect(bucket.layers()).rejects.toMatchObject(gone)
      await expect(bucket.cursor()).rejects.toMatchObject(gone)
      await expect(
        (async () => {
          for await (const _ of bucket.changes('', { live: false }));
        })(),
      ).rejects.toMatchObject(gone)
      await bucket.close()
    })

    bench.proves(
      'a live feed of a bucket that is dropped ends with the error',
      async () => {
        const name = bench.freshName()
        await bench.store.create(name)
        const bucket = await bench.store.open(name)
        await store(bucket, [put(address('/a', 'k'), version(1))])
        let told!: () => void
        const first = new Promise<void>((resolve) => (told = resolve))
        const reading = (async () => {
          for await (const batch of bucket.changes('', { live: true })) if (batch.changes.length > 0) told()
        })()
        const ended = expect(reading).rejects.toMatchObject({ code: 'bucket_not_found' })
        await first
        await bench.store.drop(name)
        await ended
        await bucket.close()
      },
      'live feed',
    )

    bench.proves('a bucket made again is empty', async () => {
      const name = bench.freshName()
      const at = address('/a', 'k')
      const series = address('/a', 'k', STATS)
      const current = address('/a', 'k', SUBS)
      await bench.store.create(name)
      const before = await bench.store.open(name)
      await store(before, [
        put(at, version(1, 'old', { exp: T0 + 1 })),
        append(series, sample(T0, 1)),
        replace(current, 0, version(1)),
      ])
      await before.close()
      await bench.store.drop(name)
      expect(await bench.store.create(name)).toBe(true)
      const bucket = await bench.store.open(name)
      expect(await bucket.layers()).toEqual([])
      expect(await bucket.heads([at], 'versioned')).toEqual([undefined])
      expect(await bucket.heads([current], 'current')).toEqual([undefined])
      expect(await bucket.keys(at, 'versioned', { limit: 10 })).toEqual([])
      expect(await bucket.samples(series, { order: 'newest', limit: 10 })).toEqual([])
      expect(await bucket.expiring(0, T0 * 2, 10)).toEqual([])
      for await (const batch of bucket.changes('', { live: false })) expect(batch.changes).toEqual([])
      await store(bucket, [put(at, version(1, 'new'))])
      expect(await bucket.heads([at], 'versioned')).toEqual([version(1, 'new')])
      expect(await bucket.versions(at, { order: 'oldest', limit: 10 })).toHaveLength(1)
    })

    bench.proves(
      'no bucket sees another, whatever their names',
      async () => {
        const names = [
          BucketName.of(`isolation${process.pid}`),
          BucketName.of(`isolation${process.pid}`, 'a'),
          BucketName.of(`isolation${process.pid}`, 'ab'),
          BucketName.of(`isolation${process.pid}a`),
          BucketName.of(`isolation${process.pid})a`),
          BucketName.of(`Isolation${process.pid}`),
        ]
        const at = address('/shared', 'k')
        for (const name of names) {
          await bench.store.create(name)
          await store(await bench.store.open(name), [
            put(at, version(1, name)),
            put(address('/' + BucketName.database(name).length, 'own'), version(1)),
            append(address('/shared', 'k', STATS), sample(T0, name.length)),
          ])
        }
        await bench.store.drop(names[1]!)
        for (const name of names) {
          if (name === names[1]) continue
          const bucket = await bench.store.open(name)
          expect(await bucket.heads([at], 'versioned')).toEqual([version(1, name)])
          expect(await bucket.layers()).toEqual([DATA, STATS])
          expect(
            await bucket.paths(DATA, 'versioned', address('/', 'k').path, undefined, { limit: 10 }),
          ).toHaveLength(2)
          let told = 0
          for await (const batch of bucket.changes('', { live: false })) told += batch.changes.length
          expect(told).toBe(3)
          await bench.store.drop(name)
        }
      },
      'bucket isolation',
    )

    bench.proves('answers a ping', async () => {
      await expect(bench.store.ping()).resolves.toBeUndefined()
    })

    bench.proves(
      'keeps everything across a reopen',
      async () => {
        const name = bench.freshName()
        await bench.store.create(name)
        const bucket = await bench.store.open(name)
        const at = address('/a', 'k')
        const series = address('/a', 'k', STATS)
        const current = address('/a', 'k', SUBS)
        await store(bucket, [
          put(at, version(1)),
          append(series, sample(T0, 7)),
          replace(current, 0, version(1)),
        ])
        await store(bucket, [put(at, version(2, 'second', { exp: T0 * 2 }))])
        const cursor = await bucket.cursor()
        await bucket.close()
        await bench.reopen()
        const again = await bench.store.open(name)
        expect(await again.heads([at], 'versioned')).toEqual([version(2, 'second', { exp: T0 * 2 })])
        expect(await again.heads([current], 'current')).toEqual([version(1)])
        expect(await again.versions(at, { order: 'oldest', limit: 10 })).toHaveLength(2)
        expect(await again.samples(series, { order: 'oldest', limit: 10 })).toEqual([sample(T0, 7)])
        expect(await again.layers()).toEqual([DATA, STATS, SUBS])
        expect(await again.commit([put(at, version(2))])).toEqual(['conflict'])
        await store(again, [put(at, version(3, 'third'), true)])
        const told: unknown[] = []
        for await (const batch of again.changes(cursor, { live: false })) told.push(...batch.changes)
        expect(told).toEqual([{ kind: 'versioned', address: at, version: version(3, 'third') }])
      },
      'reopen',
    )
  })
}

import { Path } from '../../../../core'
import type { StoreBench } from './bench'
import {
  DATA,
  STATS,
  T0,
  address,
  append,
  deletion,
  put,
  sample,
  store,
  version,
  writeVersions,
} from './writes'

export function pruningContract(bench: StoreBench): void {
  describe('pruning versions', () => {
    const at = address('/p', 'k')

    bench.proves(
      'forgets those below, never the latest',
      async () => {
        const bucket = await bench.bucket()
        await writeVersions(bucket, at, 10)
        expect(await bucket.pruneVersions(at, 4)).toBe(3)
        expect(await bucket.pruneVersions(at, 4)).toBe(0)
        expect((await bucket.versions(at, { order: 'oldest', limit: 20 })).map(({ n }) => n)).toEqual([
          4, 5, 6, 7, 8, 9, 10,
        ])
        expect(await bucket.pick(at, [3, 4])).toEqual([undefined, version(4)])
        expect(await bucket.pruneVersions(at, 1000)).toBe(6)
        expect(await bucket.versions(at, { order: 'oldest', limit: 20 })).toEqual([version(10)])
        expect(await bucket.heads([at], 'versioned')).toEqual([version(10)])
        expect(await bucket.pruneVersions(address('/p', 'none'), 5)).toBe(0)
      },
      'pruning',
    )

    bench.proves(
      'forgets only versions of that address',
      async () => {
        const bucket = await bench.bucket()
        const others = [address('/p', 'k2'), address('/p', 'j'), address('/p/k', 'k'), address('/', 'p')]
        for (const other of [at, ...others]) await writeVersions(bucket, other, 3)
        expect(await bucket.pruneVersions(at, 3)).toBe(2)
        for (const other of others)
          expect(await bucket.versions(other, { order: 'oldest', limit: 10 })).toHaveLength(3)
      },
      'pruning',
    )

    bench.proves(
      'changes no listing, whatever the key went through',
      async () => {
        const bucket = await bench.bucket()
        const histories: Record<string, { last: number; deleted: number[]; live: boolean }> = {
          updated: { last: 6, deleted: [], live: true },
          dead: { last: 4, deleted: [4], live: false },
          again: { last: 5, deleted: [3], live: true },
          'twice again': { last: 8, deleted: [2, 5], live: true },
          'dead again': { last: 6, deleted: [2, 6], live: false },
        }
        for (const [name, { last, deleted }] of Object.entries(histories))
          await writeVersions(bucket, address(`/h/${name}`, name), last, deleted)
        const look = async () => ({
          paths: await bucket.paths(DATA, 'versioned', Path.root, undefined, { limit: 100 }),
          layers: await bucket.layers(),
          rows: await Promise.all(
            Object.keys(histories).map((name) =>
              bucket.keys(address(`/h/${name}`, name), 'versioned', { limit: 10 }),
            ),
          ),
          heads: await bucket.heads(
            Object.keys(histories).map((name) => address(`/h/${name}`, name)),
            'versioned',
          ),
        })
        const before = await look()
        expect(before.rows).toEqual(Object.entries(histories).map(([key, { live }]) => [{ key, live }]))
        for (const keepFrom of [2, 3, 4, 100]) {
          for (const name of Object.keys(histories))
            await bucket.pruneVersions(address(`/h/${name}`, name), keepFrom)
          expect(await look()).toEqual(before)
        }
        // and what comes afterwards counts from the same state
        const again = address('/h/again', 'again')
        await store(bucket, [put(again, deletion(6))])
        expect(await bucket.keys(again, 'versioned', { limit: 10 })).toEqual([{ key: 'again', live: false }])
        expect(await bucket.paths(DATA, 'versioned', again.path, undefined, { limit: 10 })).toEqual([])
        await store(bucket, [put(again, version(7, 'v', { op: 'create' }))])
        await bucket.pruneVersions(again, 7)
        expect(await bucket.keys(again, 'versioned', { limit: 10 })).toEqual([{ key: 'again', live: true }])
        expect(await bucket.paths(DATA, 'versioned', again.path, undefined, { limit: 10 })).toEqual([
          '/h/again',
        ])
      },
      'pruning',
    )

    bench.proves(
      'keeps the exp in listings',
      async () => {
        const bucket = await bench.bucket()
        await store(bucket, [put(at, version(1))])
        await store(bucket, [put(at, version(2, 'v', { exp: T0 + 1000 }))])
        await store(bucket, [put(at, version(3, 'v', { exp: T0 + 3000 }), true)])
        await bucket.pruneVersions(at, 3)
        expect(await bucket.keys(at, 'versioned', { limit: 10 })).toEqual([
          { key: 'k', live: true, exp: T0 + 3000 },
        ])
      },
      'pruning',
    )

    bench.proves(
      'a forgotten number is still taken',
      async () => {
        const bucket = await bench.bucket()
        await writeVersions(bucket, at, 5)
        await bucket.pruneVersions(at, 5)
        for (const n of [1, 2, 4, 5])
          expect(await bucket.commit([put(at, version(n, 'late'))])).toEqual(['conflict'])
        expect(await bucket.versions(at, { order: 'oldest', limit: 10 })).toEqual([version(5)])
        await store(bucket, [put(at, version(6))])
      },
      'pruned numbers stay taken',
    )

    bench.proves(
      'the feed goes on from any cursor',
      async () => {
        const bucket = await bench.bucket()
        await writeVersions(bucket, at, 3)
        const cursor = await bucket.cursor()
        await store(bucket, [put(at, version(4))])
        await bucket.pruneVersions(at, 4)
        for (const since of ['', cursor]) {
          const told: number[] = []
          for await (const { changes } of bucket.changes(since, { live: false }))
            for (const change of changes) if (change.kind === 'versioned') told.push(change.version.n)
          expect(told.at(-1)).toBe(4)
        }
      },
      'pruning',
    )
  })

  describe('pruning samples', () => {
    const at = address('/p', 'k', STATS)

    bench.proves(
      'forgets older ones, so many at a time; aggregates stay',
      async () => {
        const bucket = await bench.bucket()
        await store(
          bucket,
          Array.from({ length: 20 }, (_, i) => append(at, sample(T0 + i * 60_000, i))),
        )
        await store(bucket, [append(address('/p', 'k2', STATS), sample(T0, 1000))])
        const aggregates = () =>
          Promise.all([
            bucket.aggregate({ layer: STATS }),
            bucket.aggregate({ layer: STATS, path: at.path, key: at.key, by: 'minute' }),
          ])
        const before = await aggregates()
        expect(await bucket.pruneSamples(at, T0 + 10 * 60_000, 4)).toBe(4)
        expect(await bucket.pruneSamples(at, T0 + 10 * 60_000, 100)).toBe(6)
        expect(await bucket.pruneSamples(at, T0 + 10 * 60_000, 100)).toBe(0)
        expect((await bucket.samples(at, { order: 'oldest', limit: 100 })).map(({ v }) => v)).toEqual([
          10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
        ])
        expect(await bucket.samples(address('/p', 'k2', STATS), { order: 'oldest', limit: 10 })).toHaveLength(
          1,
        )
        expect(await aggregates()).toEqual(before)
        await store(bucket, [append(at, sample(T0 + 20 * 60_000, 100))])
        expect((await bucket.aggregate({ layer: STATS, path: at.path, key: at.key }))[0]).toMatchObject({
          count: 21,
          sum: 290,
        })
      },
      'aggregates outlive samples',
    )
  })
}

import type { StoreBench } from './bench'
import type { Json } from '../../../../core'
import { address, deletion, put, store, version, writeVersions, T0 } from './writes'

export function commitContract(bench: StoreBench): void {
  describe('commit', () => {
    bench.proves('stores each number of an address once', async () => {
      const bucket = await bench.bucket()
      const at = address('/a', 'k')
      expect(await bucket.commit([put(at, version(1, 'first'))])).toEqual(['stored'])
      expect(await bucket.commit([put(at, version(1, 'second'))])).toEqual(['conflict'])
      expect(await bucket.commit([put(at, version(2, 'third'))])).toEqual(['stored'])
      expect(await bucket.commit([put(at, version(1, 'late')), put(address('/a', 'l'), version(1))])).toEqual(
        ['conflict', 'stored'],
      )
      expect(await bucket.commit([put(at, version(2, 'late'))])).toEqual(['conflict'])
      expect(await bucket.versions(at, { order: 'oldest', limit: 10 })).toEqual([
        version(1, 'first'),
        version(2, 'third'),
      ])
    })

    bench.proves('a conflict stops no other write, outcomes are in order', async () => {
      const bucket = await bench.bucket()
      await store(bucket, [put(address('/a', 'k5'), version(1))])
      const writes = Array.from({ length: 10 }, (_, i) => put(address('/a', `k${9 - i}`), version(1, i)))
      const outcomes = await bucket.commit(writes)
      expect(outcomes).toEqual(writes.map((write) => (write.address.key === 'k5' ? 'conflict' : 'stored')))
      const heads = await bucket.heads(
        writes.map((write) => write.address),
        'versioned',
      )
      expect(heads.map((head) => head?.v)).toEqual([0, 1, 2, 3, 'value 1', 5, 6, 7, 8, 9])
    })

    bench.proves('takes an empty commit', async () => {
      const bucket = await bench.bucket()
      expect(await bucket.commit([])).toEqual([])
    })

    bench.proves('several versions of an address in one commit, where writes are ordered', async () => {
      if (!bench.store.features.ordered) return
      const bucket = await bench.bucket()
      const [a, b] = [address('/a', 'k'), address('/a', 'l')]
      expect(
        await bucket.commit([
          put(a, version(1)),
          put(b, version(1)),
          put(a, version(2)),
          put(a, deletion(3)),
          put(a, version(4, 'again', { op: 'create' })),
          put(b, version(2)),
        ]),
      ).toEqual(Array.from({ length: 6 }, () => 'stored'))
      expect((await bucket.versions(a, { order: 'oldest', limit: 10 })).map(({ n }) => n)).toEqual([
        1, 2, 3, 4,
      ])
      expect(
        await bucket.commit([
          put(a, version(4, 'late')),
          put(b, version(3)),
          put(a, version(5, 'behind the late one')),
        ]),
      ).toEqual(['conflict', 'stored', 'conflict'])
      expect((await bucket.heads([a, b], 'versioned')).map((head) => head?.n)).toEqual([4, 3])
    })

    bench.proves(
      'one winner among racing commits of one number',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/race', 'k')
        for (let n = 1; n <= 10; n++) {
          const outcomes = await Promise.all(
            Array.from({ length: 8 }, (_, i) => bucket.commit([put(at, version(n, `writer ${i}`))])),
          )
          const winners = outcomes.flatMap(([outcome], i) => (outcome === 'stored' ? [i] : []))
          expect(winners).toHaveLength(1)
          expect((await bucket.heads([at], 'versioned'))[0]).toEqual(version(n, `writer ${winners[0]}`))
        }
      },
      'concurrent writes',
    )

    bench.proves(
      'one winner through two handles',
      async () => {
        const name = bench.freshName()
        await bench.store.create(name)
        const handles = [await bench.store.open(name), await bench.store.open(name)]
        const at = address('/race', 'k')
        for (let n = 1; n <= 10; n++) {
          const outcomes = await Promise.all(handles.map((handle) => handle.commit([put(at, version(n))])))
          expect(outcomes.flat().sort()).toEqual(['conflict', 'stored'])
        }
        await handles[0]!.close()
        expect((await handles[1]!.heads([at], 'versioned'))[0]?.n).toBe(10)
      },
      'concurrent writes',
    )

    bench.proves('keeps every field of a version', async () => {
      const bucket = await bench.bucket()
      const values = [
        null,
        true,
        false,
        0,
        -0.5,
        1e21,
        Number.MAX_SAFE_INTEGER,
        '',
        'text with "quotes", \\ and \u2028',
        '😀',
        [],
        {},
        [1, [2, [3, null]]],
        { _id: 'x', _rev: '1-y', _deleted: true, _attachments: {}, '': 1, n: 2, __v: 3 },
        { length: 'x'.repeat(100_000) },
        JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}') as Json,
      ]
      const writes = values.map((v, i) => put(address('/values', `k${i}`), version(1, v)))
      await store(bucket, writes)
      const heads = await bucket.heads(
        writes.map(({ address }) => address),
        'versioned',
      )
      expect(heads.map((head) => JSON.stringify(head?.v))).toEqual(values.map((v) => JSON.stringify(v)))
      const at = address('/values', 'all')
      const full = version(1, { x: 1 }, { k2: 'two', k3: 'три', k4: '|', exp: T0 + 5000, by: '$sys' })
      await store(bucket, [put(at, full)])
      expect(await bucket.heads([at], 'versioned')).toEqual([full])
    })

    bench.proves('a deletion is a version, and the number goes on behind it', async () => {
      const bucket = await bench.bucket()
      const at = address('/a', 'k')
      const written = await writeVersions(bucket, at, 5, [2, 4])
      expect(await bucket.versions(at, { order: 'oldest', limit: 10 })).toEqual(written)
      await store(bucket, [put(at, deletion(6))])
      expect(await bucket.heads([at], 'versioned')).toEqual([deletion(6)])
      expect(await bucket.commit([put(at, version(1))])).toEqual(['conflict'])
    })

    bench.proves(
      'what was acknowledged is seen by the next call',
      async () => {
        const bucket = await bench.bucket()
        await Promise.all(
          Array.from({ length: 8 }, async (_, writer) => {
            const at = address('/own', `k${writer}`)
            for (let n = 1; n <= 10; n++) {
              await store(bucket, [put(at, version(n))])
              expect((await bucket.heads([at], 'versioned'))[0]?.n).toBe(n)
              expect(await bucket.pick(at, [n, n + 1])).toEqual([version(n), undefined])
            }
          }),
        )
      },
      'concurrent writes',
    )
  })
}

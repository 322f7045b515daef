import type { Bucket, Cursor, WatchEvent, WatchFilter, WatchPassed } from '../../../../core'
import { Key, Path } from '../../../../core'
import { eventually } from '../../../eventually'
import type { EngineBench } from './bench'
import { CURRENT, DATA, SERIES, at, code } from './bench'

const by = 'elena'

/** Watches until `count` events have come. */
async function take(
  bucket: Bucket,
  filter: WatchFilter,
  count: number,
  since?: Cursor,
): Promise<WatchEvent[]> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), 15_000)
  const events: WatchEvent[] = []
  try {
    for await (const event of bucket.watch(filter, {
      signal: abort.signal,
      ...(since !== undefined && { since }),
    })) {
      events.push(event)
      if (events.length === count) break
    }
  } finally {
    clearTimeout(timer)
  }
  return events
}

function summary(events: readonly WatchEvent[]): string[] {
  return events.map(
    (event) =>
      `${event.address.path} ${event.address.key} ${event.kind === 'series' ? JSON.stringify(event.sample.v) : `${event.version.op} ${event.version.n}`}`,
  )
}

export function watchingContract(bench: EngineBench): void {
  describe('watch', () => {
    bench.test('from a cursor tells every later change in order, of every kind', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/a', 'before'), 0, { by })
      const since = await bucket.cursor()
      await bucket.put(at('/a', 'k'), 1, { by })
      await bucket.put(at('/a', 'k'), 2, { by })
      await bucket.remove(at('/a', 'k'), { by })
      await bucket.append(at('/s', 'k', SERIES), 7, { by })
      await bucket.put(at('/c', 'k', CURRENT), 1, { by })
      const events = await take(bucket, {}, 5, since)
      expect(summary(events).slice(0, 4)).toEqual([
        '/a k create 1',
        '/a k update 2',
        '/a k delete 3',
        '/s k 7',
      ])
      expect(events[4]).toMatchObject({ kind: 'current', address: { path: '/c' } })
    })

    bench.test('goes on live, and resumes behind any event', async () => {
      const bucket = await bench.bucket()
      const since = await bucket.cursor()
      const watching = take(bucket, { layer: DATA }, 20, since)
      for (let i = 0; i < 20; i++) await bucket.put(at('/live', `k${i}`), i, { by })
      const events = await watching
      expect(events.map((event) => event.address.key)).toEqual(Array.from({ length: 20 }, (_, i) => `k${i}`))
      const resumed = await take(bucket, { layer: DATA }, 5, events[14]!.cursor)
      // At least once: an event may come again, none may be missing.
      const keys = resumed.map((event) => event.address.key)
      expect(keys.indexOf(Key.parse('k15'))).toBeGreaterThanOrEqual(0)
    })

    bench.test('lets through what its filter names, and the engine’s own layers never', async () => {
      const bucket = await bench.bucket()
      const since = await bucket.cursor()
      await bucket.put(at('/a', 'x'), 1, { by, keys: { k2: 'claimed' } })
      await bucket.put(at('/a/b', 'x'), 1, { by })
      await bucket.put(at('/a/b/c', 'x'), 1, { by })
      await bucket.put(at('/ab', 'x'), 1, { by })
      await bucket.put(at('/a', 'y'), 1, { by })
      await bucket.put(at('/end', 'end'), 1, { by })
      const until = async (filter: WatchFilter, count: number) =>
        (await take(bucket, filter, count, since)).map(
          (event) => `${event.address.path} ${event.address.key}`,
        )
      expect(await until({}, 6)).toEqual(['/a x', '/a/b x', '/a/b/c x', '/ab x', '/a y', '/end end'])
      expect(await until({ layer: DATA, path: Path.parse('/a') }, 4)).toEqual([
        '/a x',
        '/a/b x',
        '/a/b/c x',
        '/a y',
      ])
      expect(await until({ layer: DATA, path: Path.parse('/a'), depth: 1 }, 3)).toEqual([
        '/a x',
        '/a/b x',
        '/a y',
      ])
      expect(await until({ layer: DATA, path: Path.parse('/a'), depth: 0 }, 2)).toEqual(['/a x', '/a y'])
      expect(await until({ layer: DATA, path: Path.parse('/a'), depth: 0, key: Key.parse('y') }, 1)).toEqual([
        '/a y',
      ])
      expect(await until({ key: Key.parse('end') }, 1)).toEqual(['/end end'])
    })

    bench.test('says how far it has come where there was nothing for it', async () => {
      const bucket = await bench.bucket()
      const since = await bucket.cursor()
      for (let i = 0; i < 5; i++) await bucket.put(at('/elsewhere', `k${i}`), i, { by })
      const abort = new AbortController()
      const told: WatchPassed[] = []
      const events: WatchEvent[] = []
      const watching = (async () => {
        for await (const event of bucket.watch(
          { layer: DATA, path: Path.parse('/here') },
          { since, signal: abort.signal, passed: (passed) => void told.push(passed) },
        ))
          events.push(event)
      })()
      const changes = () => told.reduce((sum, passed) => sum + passed.changes, 0)
      await eventually(async () => expect([told.at(-1)?.end, changes() >= 5]).toEqual([true, true]))
      const afterFirst = changes()
      await bucket.put(at('/elsewhere', 'live'), 1, { by })
      await eventually(async () => expect(changes()).toBeGreaterThan(afterFirst))
      await bucket.put(at('/here', 'k'), 1, { by })
      await eventually(async () => expect(events).toHaveLength(1))
      abort.abort()
      await watching
      // Before the event was told, nothing was said that leads past it.
      const resumed = await take(bucket, { path: Path.parse('/here') }, 1, told[0]!.cursor)
      expect(summary(resumed)).toEqual(['/here k create 1'])
      // What passed by before is not told again from where it said it was.
      const rest = await take(bucket, { layer: DATA }, 2, told.findLast(({ end }) => !end)?.cursor)
      expect(summary(rest)).toEqual(['/elsewhere live create 1', '/here k create 1'])
    })

    bench.test('a slow watcher misses nothing while thousands of writes pass', async () => {
      const bucket = await bench.bucket()
      const since = await bucket.cursor()
      const abort = new AbortController()
      const seen: string[] = []
      const total = 3_000
      const watching = (async () => {
        for await (const event of bucket.watch({ layer: DATA }, { since, signal: abort.signal })) {
          seen.push(event.address.key)
          if (seen.length === 1) await new Promise((resolve) => setTimeout(resolve, 300))
          if (seen.length >= total) break
        }
      })()
      for (let i = 0; i < total; i += 500)
        await Promise.all(
          Array.from({ length: 500 }, (_, j) => bucket.put(at('/slow', `k${i + j}`), 1, { by })),
        )
      const timer = setTimeout(() => abort.abort(), 15_000)
      await watching
      clearTimeout(timer)
      expect(new Set(seen).size).toBe(total)
      expect(seen).toHaveLength(total)
    })

    bench.test('ends with its signal, and with the bucket', async () => {
      const bucket = await bench.bucket()
      const abort = new AbortController()
      const ended = (async () => {
        for await (const event of bucket.watch({}, { signal: abort.signal })) void event
        return 'ended'
      })()
      setTimeout(() => abort.abort(), 50)
      expect(await ended).toBe('ended')
      const doomed = await bench.bucket()
      const lost = code(take(doomed, {}, 1))
      await new Promise((resolve) => setTimeout(resolve, 100))
      await bench.engine.drop(doomed.name)
      expect(await lost).toBe('bucket_not_found')
    })
  })

  if (!bench.hasOther) return
  describe('two processes on one store', () => {
    bench.test('a write on one reaches the cache of the other', async () => {
      const here = await bench.bucket()
      const there = bench.other(here)
      await here.put(at('/x', 'k'), 1, { by })
      expect((await there.get(at('/x', 'k')))?.v).toBe(1)
      expect((await there.keys({ layer: DATA, path: Path.parse('/x') })).items).toEqual(['k'])
      await here.put(at('/x', 'k'), 2, { by })
      await here.put(at('/x', 'l'), 1, { by })
      expect((await there.get(at('/x', 'k'), { consistent: true }))?.v).toBe(2)
      await eventually(async () => {
        expect((await there.get(at('/x', 'k')))?.v).toBe(2)
        expect((await there.keys({ layer: DATA, path: Path.parse('/x') })).items).toEqual(['k', 'l'])
      })
      await here.remove(at('/x', 'k'), { by })
      expect(await there.get(at('/x', 'k'), { consistent: true })).toBeUndefined()
      await eventually(async () => expect(await there.get(at('/x', 'k'))).toBeUndefined())
    })

    bench.test(
      'a cached listing learns of what the other wrote and this one has read before the feed told',
      async () => {
        const here = await bench.bucket()
        const there = bench.other(here)
        const place = { layer: DATA, path: Path.parse('/x') }
        expect((await there.keys(place)).items).toEqual([])
        await here.put(at('/x', 'k'), 1, { by })
        expect((await there.get(at('/x', 'k')))?.v).toBe(1)
        await eventually(async () => expect((await there.keys(place)).items).toEqual(['k']))
        await here.remove(at('/x', 'k'), { by })
        expect(await there.get(at('/x', 'k'), { consistent: true })).toBeUndefined()
        await eventually(async () => expect((await there.keys(place)).items).toEqual([]))
      },
    )

    bench.test('compare-and-set has one winner, blind writes all get in', async () => {
      const here = await bench.bucket()
      const there = bench.other(here)
      const k = at('/race', 'k')
      let n = (await here.put(k, 0, { by })).n
      for (let round = 0; round < 10; round++) {
        const results = await Promise.all(
          [here, there].flatMap((side, i) =>
            [1, 2].map((j) => code(side.put(k, { round, i, j }, { by, expect: { n } }))),
          ),
        )
        expect(results.filter((result) => result === 'no error')).toHaveLength(1)
        n = (await here.get(k, { consistent: true }))!.n
      }
      const blind = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? here : there).put(k, i, { by })),
      )
      expect(new Set(blind.map((version) => version.n)).size).toBe(20)
      const history = (await here.history(k, {}, { consistent: true })).items
      expect(history.map((version) => version.n)).toEqual(
        Array.from({ length: n + 20 }, (_, i) => n + 20 - i),
      )
    })

    bench.test('a refusal rests on what is true now, not on a cache', async () => {
      const here = await bench.bucket()
      const there = bench.other(here)
      const k = at('/fresh', 'k')
      const first = await here.put(k, 1, { by })
      await there.get(k)
      const second = await here.put(k, 2, { by, expect: { n: first.n } })
      expect((await there.put(k, 3, { by, expect: { n: second.n } })).n).toBe(3)
      await here.remove(k, { by })
      expect((await there.put(k, 4, { by, expect: 'absent' })).op).toBe('create')
    })

    bench.test('a removal finds what the other has just made', async () => {
      const here = await bench.bucket()
      const there = bench.other(here)
      for (const layer of [DATA, CURRENT])
        for (let i = 0; i < 10; i++) {
          const k = at('/made', `k${i}`, layer)
          expect(await there.get(k)).toBeUndefined()
          await here.put(k, i, { by })
          expect((await there.remove(k, { by }))?.op).toBe('delete')
          expect(await here.get(k, { consistent: true })).toBeUndefined()
        }
    })

    bench.test('a watcher on one sees the writes of both', async () => {
      const here = await bench.bucket()
      const there = bench.other(here)
      const since = await here.cursor()
      const watching = take(here, { layer: DATA }, 20, since)
      for (let i = 0; i < 10; i++)
        await Promise.all([
          here.put(at('/w', `here${i}`), i, { by }),
          there.put(at('/w', `there${i}`), i, { by }),
        ])
      expect(new Set((await watching).map((event) => event.address.key)).size).toBe(20)
    })

    bench.test('a secondary key is given once', async () => {
      const here = await bench.bucket()
      const there = bench.other(here)
      const results = await Promise.all(
        [here, there].map((side, i) =>
          code(side.put(at('/acc', `u${i}`), i, { by, keys: { k2: 'wanted' } })),
        ),
      )
      expect(results.sort()).toEqual(['key_exists', 'no error'])
    })
  })
}

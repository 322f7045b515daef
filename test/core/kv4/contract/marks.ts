import { Path } from '../../../../core'
import type { Bucket } from '../../../../core'
import type { EngineBench } from './bench'
import { CURRENT, DATA, SERIES, at, code } from './bench'

const by = 'elena'

export function marksContract(bench: EngineBench): void {
  describe('marked writes', () => {
    const attempt = (bucket: Bucket, id: string, first = false) => {
      const now = bench.clock.now()
      return bucket.marked({ id, startedAt: now, since: now - 60_000, first })
    }
    const history = async (bucket: Bucket, key: string) =>
      (await bucket.history(at('/m', key), {}, { consistent: true })).items.map(({ op, v }) => [op, v])

    bench.test('find what an earlier attempt put, however many came behind it', async () => {
      const bucket = await bench.bucket()
      await bucket.put(at('/m', 'k'), 'before', { by })
      const put = await attempt(bucket, 'request', true).put(at('/m', 'k'), 'once', { by })
      expect(put).toMatchObject({ n: 2, v: 'once', mark: 'request' })
      for (let i = 0; i < 300; i++) await bucket.put(at('/m', 'k'), i, { by })
      expect(await attempt(bucket, 'request').put(at('/m', 'k'), 'once', { by })).toEqual(put)
      expect(await attempt(bucket, 'another').put(at('/m', 'k'), 'once', { by })).toMatchObject({ n: 303 })
    })

    bench.test('answer a condition as it was when it held', async () => {
      const bucket = await bench.bucket()
      const address = at('/m', 'k')
      const { n } = await bucket.put(address, 1, { by })
      const put = await attempt(bucket, 'request', true).put(address, 2, { by, expect: { n } })
      expect(await attempt(bucket, 'request').put(address, 2, { by, expect: { n } })).toEqual(put)
      expect(await code(attempt(bucket, 'another').put(address, 2, { by, expect: { n } }))).toBe(
        'version_conflict',
      )
      const created = await attempt(bucket, 'creation', true).put(at('/m', 'new'), 1, {
        by,
        expect: 'absent',
      })
      expect(await attempt(bucket, 'creation').put(at('/m', 'new'), 1, { by, expect: 'absent' })).toEqual(
        created,
      )
    })

    bench.test('find a removal, also where the entry was written again behind it', async () => {
      const bucket = await bench.bucket()
      const address = at('/m', 'k')
      await bucket.put(address, 1, { by, keys: { k2: 'mail' } })
      const removed = await attempt(bucket, 'request', true).remove(address, { by })
      await bucket.put(address, 2, { by, keys: { k2: 'mail' } })
      expect(await attempt(bucket, 'request').remove(address, { by })).toEqual(removed)
      expect(await bucket.get(address, { consistent: true })).toMatchObject({ v: 2 })
      expect(await attempt(bucket, 'nothing').remove(at('/m', 'none'), { by })).toBeUndefined()
      expect(await attempt(bucket, 'removal').removeUnder(DATA, Path.root, { by })).toBe(1)
      expect(await bucket.find({ layer: DATA, path: Path.parse('/m') }, 'k2', 'mail')).toBeUndefined()
    })

    bench.test('keep secondary keys, and claim them for one', async () => {
      const bucket = await bench.bucket()
      const keys = { k2: 'mail' }
      const put = await attempt(bucket, 'request', true).put(at('/m', 'a'), 1, { by, keys })
      expect(await attempt(bucket, 'request').put(at('/m', 'a'), 1, { by, keys })).toEqual(put)
      expect(await code(attempt(bucket, 'another', true).put(at('/m', 'b'), 1, { by, keys }))).toBe(
        'key_exists',
      )
      await attempt(bucket, 'third', true).put(at('/m', 'a'), 2, { by })
      const found = await bucket.find({ layer: DATA, path: Path.parse('/m') }, 'k2', 'mail')
      expect(found).toMatchObject({ key: 'a', version: { v: 2 } })
    })

    bench.test('of one attempt to one entry are several, and are found in their order', async () => {
      const bucket = await bench.bucket()
      const address = at('/m', 'k')
      const first = attempt(bucket, 'request', true)
      await first.put(address, 'a', { by })
      await first.put(address, 'b', { by })
      const second = attempt(bucket, 'request')
      expect(await second.put(address, 'a', { by })).toMatchObject({ n: 1 })
      expect(await second.put(address, 'b', { by })).toMatchObject({ n: 2 })
      expect(await second.put(address, 'c', { by })).toMatchObject({ n: 3 })
      expect(await history(bucket, 'k')).toEqual([
        ['update', 'c'],
        ['update', 'b'],
        ['create', 'a'],
      ])
    })

    bench.test('of attempts at once, and of one that is overtaken, are one', async () => {
      const bucket = await bench.bucket()
      const address = at('/m', 'k')
      await bucket.put(address, 'before', { by })
      const others = Array.from({ length: 10 }, (_, i) => bucket.put(address, i, { by }))
      const attempts = Array.from({ length: 6 }, () =>
        attempt(bucket, 'request').put(address, 'once', { by }),
      )
      const [one, ...same] = await Promise.all(attempts)
      await Promise.all(others)
      for (const version of same) expect(version).toEqual(one)
      expect((await history(bucket, 'k')).filter(([, v]) => v === 'once')).toHaveLength(1)

      // Its first attempt does not look, and is overtaken between its look at the head and its write.
      const slow = attempt(bucket, 'slow', true)
      const writes = [slow, attempt(bucket, 'slow')].map((each) => each.put(address, 'slow', { by }))
      const [first, second] = await Promise.all(writes)
      expect(first).toEqual(second)
      expect((await history(bucket, 'k')).filter(([, v]) => v === 'slow')).toHaveLength(1)
    })

    bench.test('count a sample once, and know the last of a current entry', async () => {
      const bucket = await bench.bucket()
      const series = at('/m', 'k', SERIES)
      const startedAt = bench.clock.now()
      for (const first of [true, false]) {
        const marked = bucket.marked({ id: 'request', startedAt, since: startedAt - 60_000, first })
        await marked.append(series, 1, { by })
        await marked.append(series, 2, { by })
      }
      expect(await bucket.aggregate({ layer: SERIES })).toMatchObject([{ count: 2, sum: 3 }])

      const lease = at('/m', 'k', CURRENT)
      const put = await attempt(bucket, 'lease', true).put(lease, 1, { by })
      expect(await attempt(bucket, 'lease').put(lease, 1, { by })).toEqual(put)
    })
  })
}

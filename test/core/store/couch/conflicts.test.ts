import type { BucketName, Version } from '../../../../core'
import { Ids } from '../../../../core/store/couch/ids'
import { openCouchStore } from '../../../../core/store/couch/open-couch-store'
import type { BucketStore, Store } from '../../../../core/store/store'
import { FaultProxy, type Passing } from '../../../couchdb/fault-proxy'
import { TARGETS, type Target, couch, randomBucket } from '../../../couchdb/targets'
import { address, put, store as storeAll, version } from '../contract/writes'

interface Doc {
  readonly _id: string
  readonly _conflicts?: readonly string[]
  readonly lost?: number
}

describe.each(TARGETS)('branches that a cluster leaves, on %s', (_name, start) => {
  let target: Target
  let proxy: FaultProxy
  const stores: Store[] = []
  let name: BucketName

  beforeAll(async () => {
    target = await start()
    proxy = await FaultProxy.start(target.url)
    for (const node of ['a', 'b']) stores.push(await openCouchStore({ url: proxy.url, node }))
  })
  afterAll(async () => {
    for (const store of stores) await store.close()
    await proxy.close()
    await target.stop()
  })
  beforeEach(async () => {
    name = randomBucket()
    await stores[0]!.create(name)
  })
  afterEach(async () => {
    await stores[0]!.drop(name)
  })

  const at = address('/a', 'k')

  /** Stores `hidden` as a branch of a version that is there already; the lowest revision loses. */
  async function branch(hidden: Version, w = 'other.1'): Promise<void> {
    const { n, at: time, by, op, v } = hidden
    await couch(target.url, 'POST', `/kv4_${encodeURIComponent(name)}_data/_bulk_docs`, {
      new_edits: false,
      docs: [
        {
          _id: Ids.version(at, n),
          _rev: '1-00000000000000000000000000000000',
          w,
          n,
          at: time,
          by,
          op,
          ...(op === 'delete' ? {} : { v }),
        },
      ],
    })
  }

  async function documents(): Promise<readonly Doc[]> {
    const { results } = await couch<{ results: readonly { readonly doc: Doc }[] }>(
      target.url,
      'GET',
      `/kv4_${encodeURIComponent(name)}_data/_changes?include_docs=true&conflicts=true`,
    )
    return results.map(({ doc }) => doc)
  }

  /** With two nodes following the feed, until no branch is left. */
  async function mended(run: (bucket: BucketStore) => Promise<void>): Promise<readonly Version[]> {
    const buckets = await Promise.all(stores.map((store) => store.open(name)))
    const stop = new AbortController()
    const following = buckets.map(async (bucket) => {
      for await (const _ of bucket.changes('', { live: true, signal: stop.signal })) continue
    })
    await run(buckets[0]!)
    for (let i = 0; i < 300; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      if ((await documents()).every(({ _conflicts }) => _conflicts === undefined)) break
    }
    const versions = await buckets[0]!.versions(at, { order: 'oldest', limit: 50 })
    stop.abort()
    await Promise.all(following)
    for (const bucket of buckets) await bucket.close()
    expect((await documents()).every(({ _conflicts }) => _conflicts === undefined)).toBe(true)
    return versions
  }

  test('a hidden version is appended once, marked', async () => {
    const versions = await mended(async (bucket) => {
      await storeAll(bucket, [put(at, version(1)), put(address('/a', 'other'), version(1))])
      await storeAll(bucket, [put(at, version(2, 'winner'))])
      await branch(version(2, 'hidden', { by: 'lily' }))
    })
    expect(versions.map(({ n, v, by, op }) => [n, v, by, op])).toEqual([
      [1, 'value 1', 'elena', 'create'],
      [2, 'winner', 'elena', 'update'],
      [3, 'hidden', 'lily', 'update'],
    ])
    expect((await documents()).filter(({ lost }) => lost === 2).map(({ _id }) => _id)).toEqual([
      Ids.version(at, 3),
    ])
  })

  test('a hidden version is appended though the copy that is read knows no other', async () => {
    const id = Ids.version(at, 1)
    const hidden = { _id: id, _rev: '1-0', w: 'other.1', ...version(1, 'hidden') }
    // Of the range that is asked for, what such a copy has.
    proxy.fault = ({ path, body }) => {
      if (!path.includes('_all_docs/queries')) return undefined
      const { queries } = JSON.parse(body) as {
        queries: readonly { readonly startkey?: string; readonly endkey?: string; readonly limit?: number }[]
      }
      // `mended` itself asks for 50.
      if (queries.some(({ startkey, limit }) => startkey === undefined || limit === 50)) return undefined
      const row = { id, key: id, value: { rev: hidden._rev }, doc: hidden }
      return {
        answer: {
          results: queries.map(({ startkey, endkey }) => {
            const [low, high] = [startkey!, endkey!].sort()
            return { rows: low! <= id && id <= high! ? [row] : [] }
          }),
        },
      }
    }
    try {
      const versions = await mended(async (bucket) => {
        await storeAll(bucket, [put(at, version(1, 'winner'))])
        await branch(version(1, 'hidden'))
      })
      expect(versions.map(({ n, v }) => [n, v])).toEqual([
        [1, 'winner'],
        [2, 'hidden'],
      ])
    } finally {
      proxy.fault = () => undefined
    }
  })

  test('a hidden version that the copies asked do not have yet is not deleted unread', async () => {
    let asked = 0
    proxy.fault = ({ path, body }) => {
      if (!path.endsWith('_bulk_get') || ++asked > 6) return undefined
      const { docs } = JSON.parse(body) as { docs: readonly { readonly id: string }[] }
      const error = { error: 'not_found', reason: 'missing' }
      return { answer: { results: docs.map(({ id }) => ({ id, docs: [{ error }] })) } }
    }
    try {
      const versions = await mended(async (bucket) => {
        await storeAll(bucket, [put(at, version(1, 'winner'))])
        await branch(version(1, 'hidden'))
      })
      expect(versions.map(({ v }) => v)).toEqual(['winner', 'hidden'])
      expect(asked).toBeGreaterThan(6)
    } finally {
      proxy.fault = () => undefined
    }
  })

  test('a hidden version is appended however many numbers others are faster for', async () => {
    let lost = 0
    proxy.fault = ({ path, body }) => {
      if (!path.endsWith('_bulk_docs') || !body.includes('"lost":') || ++lost > 45) return undefined
      const { docs } = JSON.parse(body) as { docs: readonly { readonly _id: string }[] }
      return { answer: docs.map(({ _id: id }) => ({ id, error: 'conflict', reason: 'taken' })) }
    }
    try {
      const versions = await mended(async (bucket) => {
        await storeAll(bucket, [put(at, version(1, 'winner'))])
        await branch(version(1, 'hidden'))
      })
      expect(versions.map(({ v }) => v)).toEqual(['winner', 'hidden'])
      expect(lost).toBeGreaterThan(45)
    } finally {
      proxy.fault = () => undefined
    }
  }, 30_000)

  test('what was written meanwhile stays the latest', async () => {
    const versions = await mended(async (bucket) => {
      await storeAll(bucket, [put(at, version(1, 'winner'))])
      await storeAll(bucket, [put(at, version(2, 'later'))])
      await branch(version(1, 'hidden'))
    })
    expect(versions.map(({ n, v }) => [n, v])).toEqual([
      [1, 'winner'],
      [2, 'later'],
      [3, 'hidden'],
      [4, 'later'],
    ])
  })

  test.each([
    ['older than what won', [10], 5, ['at 10', 'hidden at 5', 'at 10']],
    ['newer than what won', [10], 15, ['at 10', 'hidden at 15']],
    ['newer than what was written meanwhile', [10, 20], 25, ['at 10', 'at 20', 'hidden at 25']],
    ['between', [10, 20], 15, ['at 10', 'at 20', 'hidden at 15', 'at 20']],
    [
      'older than what won, which is newer than what followed',
      [30, 20],
      25,
      ['at 30', 'at 20', 'hidden at 25', 'at 30'],
    ],
  ])('the newest stays the latest: what was hidden is %s', async (_name, times, hidden, expected) => {
    const versions = await mended(async (bucket) => {
      for (const [i, time] of times.entries())
        await storeAll(bucket, [put(at, version(i + 1, `at ${time}`, { at: time }))])
      await branch(version(1, `hidden at ${hidden}`, { at: hidden }))
    })
    expect(versions.map(({ v }) => v)).toEqual(expected)
  })

  test('what was written since is read in pages, however much it is', async () => {
    const times = Array.from({ length: 45 }, (_, i) => (i === 25 ? 1_000 : i))
    const isOfHistory = ({ body }: Passing) =>
      body.includes('"startkey":"v!') && body.includes('include_docs')
    proxy.passed.length = 0
    const versions = await mended(async (bucket) => {
      await storeAll(bucket, [put(at, version(1, 'at 0', { at: 0 }))])
      for (const [i, time] of times.entries())
        if (i > 0) await storeAll(bucket, [put(at, version(i + 1, `at ${time}`, { at: time }))])
      await branch(version(1, 'hidden at 500', { at: 500 }))
    })
    expect(versions.length).toBe(47)
    expect(versions.slice(-3).map(({ v }) => v)).toEqual(['at 44', 'hidden at 500', 'at 1000'])
    const queries = proxy.passed.filter(isOfHistory).flatMap(({ body }) => {
      const { queries: asked } = JSON.parse(body) as { queries: readonly { readonly limit?: number }[] }
      return asked
    })
    expect(queries.length).toBeGreaterThan(2)
    for (const { limit = Infinity } of queries) expect(limit).toBeLessThanOrEqual(50)
  })

  test('what came while nobody followed the feed is found when somebody does', async () => {
    const following = async (): Promise<void> => {
      const bucket = await stores[0]!.open(name)
      const stop = new AbortController()
      const feed = (async () => {
        for await (const _ of bucket.changes(await bucket.cursor(), { live: true, signal: stop.signal }))
          continue
      })()
      for (let i = 0; i < 100; i++) {
        await new Promise((resolve) => setTimeout(resolve, 50))
        if ((await documents()).every(({ _conflicts }) => _conflicts === undefined)) break
      }
      stop.abort()
      await feed
      await bucket.close()
    }
    const before = await stores[1]!.open(name)
    await storeAll(before, [put(at, version(1)), put(address('/a', 'other'), version(1))])
    await storeAll(before, [put(at, version(2, 'winner'))])
    await branch(version(2, 'hidden'))
    await following()
    const values = async () => (await before.versions(at, { order: 'oldest', limit: 20 })).map(({ v }) => v)
    expect(await values()).toEqual(['value 1', 'winner', 'hidden'])

    // The next look begins where the last one ended.
    await branch(version(1, 'hidden before', { at: version(1).at - 1 }), 'other.2')
    proxy.passed.length = 0
    await following()
    expect(await values()).toEqual(['value 1', 'winner', 'hidden', 'hidden before', 'hidden'])
    const looked = proxy.passed.find(({ path }) => path.includes('_changes') && path.includes('limit=1000'))
    expect(looked?.path).not.toMatch(/since=0(&|$)/)
    await before.close()
  })

  test('a removal is as new as it is', async () => {
    const versions = await mended(async (bucket) => {
      await storeAll(bucket, [put(at, version(1))])
      await storeAll(bucket, [put(at, version(2, 'winner', { at: 100 }))])
      await branch(version(2, null, { op: 'delete', at: 50 }))
    })
    expect(versions.map(({ v, op }) => [v, op])).toEqual([
      ['value 1', 'create'],
      ['winner', 'update'],
      [null, 'delete'],
      ['winner', 'create'],
    ])
  })

  test('the time of what is appended is not before the latest', async () => {
    const future = Date.now() + 3_600_000
    const versions = await mended(async (bucket) => {
      await storeAll(bucket, [put(at, version(1, 'winner', { at: future }))])
      await branch(version(1, 'hidden', { at: future }))
    })
    expect(versions.map(({ v, at: time }) => [v, time])).toEqual([
      ['winner', future],
      ['hidden', future],
    ])
  })
})

import { isKv4Error } from '../../../../core'
import type { BucketName } from '../../../../core'
import { openCouchStore } from '../../../../core/store/couch/open-couch-store'
import type { BucketStore, Change, Store, Write } from '../../../../core/store/store'
import { type Fault, FaultProxy, type Passing } from '../../../couchdb/fault-proxy'
import { TARGETS, type Target, couch, randomBucket } from '../../../couchdb/targets'
import {
  STATS,
  SUBS,
  T0,
  address,
  append,
  put,
  replace,
  sample,
  store as storeAll,
  version,
} from '../contract/writes'

/** The fault for the first request that is a write of data, and none for the others. */
function once(fault: Fault, before: () => Promise<void> | void = () => undefined) {
  let done = false
  return ({ path, body }: Passing): Fault | undefined => {
    if (done || !path.endsWith('/_bulk_docs') || !body.includes('"w"')) return undefined
    done = true
    void before()
    return fault
  }
}

describe.each(TARGETS)('faults between the adapter and %s', (_name, start) => {
  let target: Target
  let proxy: FaultProxy
  let store: Store
  let direct: Store
  let name: BucketName
  let bucket: BucketStore

  beforeAll(async () => {
    target = await start()
    proxy = await FaultProxy.start(target.url)
    store = await openCouchStore({ url: proxy.url, node: 'a', graceMs: 1500, timeoutMs: 5000 })
    direct = await openCouchStore({ url: target.url, node: 'b' })
  })
  afterAll(async () => {
    await store.close()
    await direct.close()
    await proxy.close()
    await target.stop()
  })
  beforeEach(async () => {
    name = randomBucket()
    await store.create(name)
    bucket = await store.open(name)
    proxy.passed.length = 0
  })
  afterEach(async () => {
    proxy.fault = () => undefined
    await bucket.close()
    await direct.drop(name)
  })

  async function told(): Promise<Change[]> {
    const changes: Change[] = []
    for await (const batch of bucket.changes('', { live: false })) changes.push(...batch.changes)
    return changes
  }

  test('in a cluster a read of what is latest waits for no copy that hangs, and takes no error for an absence', async () => {
    const nodes = ['a@127.0.0.1', 'b@127.0.0.1', 'c@127.0.0.1']
    const asked = address('/a', 'k')
    await storeAll(bucket, [put(asked, version(1))])
    proxy.fault = ({ path }) =>
      path === '/_membership' ? { answer: { all_nodes: nodes, cluster_nodes: nodes } } : undefined
    const clustered = await openCouchStore({ url: proxy.url, node: 'c' })
    const other = await clustered.open(name)
    try {
      proxy.passed.length = 0
      expect(await other.heads([asked], 'versioned')).toMatchObject([{ n: 1 }])
      // CouchDB answers _bulk_get of what is not there only when every copy has.
      const paths = proxy.passed.map(({ path }) => path.split('/').slice(2).join('/'))
      expect(paths).toEqual(['_all_docs/queries', '_all_docs?include_docs=true'])
      proxy.fault = ({ path, body }) => {
        if (!path.includes('_all_docs?')) return undefined
        const { keys } = JSON.parse(body) as { keys: readonly string[] }
        return { answer: { rows: keys.map((key) => ({ key, error: 'nodedown' })) } }
      }
      const failure = await other.heads([asked], 'versioned').catch((error: unknown) => error)
      expect(isKv4Error(failure, 'store_unavailable')).toBe(true)
    } finally {
      proxy.fault = () => undefined
      await other.close()
      await clustered.close()
    }
  })

  const FAULTS: readonly [string, Fault][] = [
    ['cut before it arrives', 'cut before'],
    ['cut before its answer', 'cut after'],
    ['cut within its answer', 'cut within'],
    ['answered 500', { status: 500 }],
    ['answered 503 though it happened', { status: 503, forward: true }],
    ['answered 202', { status: 202, forward: true }],
  ]

  test.each(FAULTS)('a batch that is %s is stored once', async (_title, fault) => {
    const [a, b, c, d, s] = [
      address('/a', 'new'),
      address('/a', 'old'),
      address('/a', 'kept', SUBS),
      address('/a', 'removed', SUBS),
      address('/a', 'pkt', STATS),
    ]
    await storeAll(bucket, [put(b, version(1)), replace(c, 0, version(1)), replace(d, 0, version(1))])
    const writes: Write[] = [
      put(a, version(1)),
      put(b, version(2)),
      replace(c, 1, version(2)),
      replace(d, 1, version(2, null, { op: 'delete' })),
      append(s, sample(T0, 5)),
    ]
    proxy.fault = once(fault)
    expect(await bucket.commit(writes)).toEqual(writes.map(() => 'stored'))
    expect(await bucket.heads([a, b], 'versioned')).toEqual([version(1), version(2)])
    expect(await bucket.heads([c, d], 'current')).toEqual([version(2), undefined])
    expect(await bucket.versions(b, { order: 'oldest', limit: 10 })).toEqual([version(1), version(2)])
    expect(await bucket.aggregate({ layer: STATS })).toMatchObject([{ count: 1, sum: 5 }])
    expect((await told()).map((change) => change.address.key).sort()).toEqual(
      ['kept', 'new', 'old', 'old', 'pkt', 'removed'].sort(),
    )
    // And the node goes on from there.
    expect(
      await bucket.commit([put(b, version(3)), replace(c, 2, version(3)), replace(d, 0, version(3))]),
    ).toEqual(['stored', 'stored', 'stored'])
  })

  test('a write that was cut and that another was faster than is a conflict', async () => {
    const at = address('/a', 'k')
    const other = await direct.open(name)
    let faster: Promise<unknown> = Promise.resolve()
    proxy.fault = once('cut before', () => {
      faster = other.commit([put(at, version(1, 'other'))])
    })
    const outcome = await bucket.commit([put(at, version(1, 'ours'))])
    await faster
    const [head] = await bucket.heads([at], 'versioned')
    expect([outcome[0], head?.v]).toEqual(head?.v === 'ours' ? ['stored', 'ours'] : ['conflict', 'other'])
    await other.close()
  })

  test('a request that arrives after we gave it up is stored once', async () => {
    const hasty = await openCouchStore({ url: proxy.url, node: 'c', graceMs: 3000, timeoutMs: 400 })
    const impatient = await hasty.open(name)
    const at = address('/a', 'k')
    const current = address('/a', 'k', SUBS)
    proxy.fault = once({ delayMs: 700 })
    expect(await impatient.commit([put(at, version(1)), replace(current, 0, version(1))])).toEqual([
      'stored',
      'stored',
    ])
    expect(await impatient.commit([put(at, version(2)), replace(current, 1, version(2))])).toEqual([
      'stored',
      'stored',
    ])
    await new Promise((resolve) => setTimeout(resolve, 800))
    expect(await bucket.versions(at, { order: 'oldest', limit: 5 })).toEqual([version(1), version(2)])
    expect(await bucket.heads([current], 'current')).toEqual([version(2)])
    await hasty.close()
  })

  test('202 without end is never reported as success', async () => {
    proxy.fault = ({ path }) => (path.endsWith('/_bulk_docs') ? { status: 202, forward: true } : undefined)
    await expect(bucket.commit([put(address('/a', 'k'), version(1))])).rejects.toMatchObject({
      code: 'store_unavailable',
    })
  })

  test('202 for a branch that loses is a conflict, and the branch is taken back', async () => {
    const at = address('/a', 'k')
    const database = `/kv4_${encodeURIComponent(name)}_data`
    proxy.fault = ({ path, body }) => {
      if (!path.endsWith('/_bulk_docs')) return undefined
      const { docs, new_edits: edits } = JSON.parse(body) as {
        docs: readonly { readonly _id: string }[]
        new_edits?: boolean
      }
      // Another copy's branch arrives while ours is brought to a quorum, and wins by its revision.
      if (edits === false)
        void couch(target.url, 'POST', `${database}/_bulk_docs`, {
          new_edits: false,
          docs: [
            {
              ...docs[0],
              w: 'other',
              v: 'other',
              _rev: '1-ffffffffffffffffffffffffffffffff',
              _revisions: undefined,
            },
          ],
        })
      return edits === false ? { delayMs: 200 } : { status: 202, forward: true }
    }
    expect(await bucket.commit([put(at, version(1, 'ours'))])).toEqual(['conflict'])
    expect(await bucket.heads([at], 'versioned')).toEqual([version(1, 'other')])
    const { results } = await couch<{
      results: readonly { readonly doc: { readonly _conflicts?: string[] } }[]
    }>(target.url, 'GET', `${database}/_changes?include_docs=true&conflicts=true`)
    expect(results.flatMap(({ doc }) => doc._conflicts ?? [])).toEqual([])
  })

  test('a CouchDB that is away makes every call store_unavailable, and comes back without a restart', async () => {
    const at = address('/a', 'k')
    const seen: unknown[] = []
    let interruptions = 0
    const stop = new AbortController()
    const following = (async () => {
      let since = ''
      while (!stop.signal.aborted)
        try {
          for await (const { changes, cursor } of bucket.changes(since, {
            live: true,
            signal: stop.signal,
          })) {
            since = cursor
            for (const change of changes) if (change.kind !== 'series') seen.push(change.version.v)
          }
        } catch (error) {
          expect(isKv4Error(error, 'store_unavailable')).toBe(true)
          interruptions++
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
    })()
    await storeAll(bucket, [put(at, version(1))])
    await proxy.leave()
    const calls: readonly (() => Promise<unknown>)[] = [
      () => bucket.commit([put(at, version(2))]),
      () => bucket.heads([at], 'versioned'),
      () => bucket.versions(at, { order: 'newest', limit: 1 }),
      () => bucket.keys(at, 'versioned', { limit: 1 }),
      () => bucket.aggregate({ layer: STATS }),
      () => bucket.cursor(),
      () => store.ping(),
      () => store.create(randomBucket()),
      () => store.open(name),
    ]
    for (const call of calls) {
      const error: unknown = await call().catch((caught: unknown) => caught)
      expect(isKv4Error(error, 'store_unavailable') && error.retryAfter).toBe(1)
    }
    const other = await direct.open(name)
    await storeAll(other, [put(at, version(2, 'meanwhile'))])
    await proxy.back()
    await store.ping()
    expect(await bucket.heads([at], 'versioned')).toEqual([version(2, 'meanwhile')])
    expect(await bucket.commit([put(at, version(3))])).toEqual(['stored'])
    for (let i = 0; i < 100 && seen.length < 3; i++) await new Promise((resolve) => setTimeout(resolve, 50))
    expect(seen).toEqual(['value 1', 'meanwhile', 'value 3'])
    expect(interruptions).toBeGreaterThan(0)
    stop.abort()
    await following
    await other.close()
  })

  test.each([0, 1, 2])('pruning samples that breaks at its step %i is finished by the next', async (step) => {
    const at = address('/p', 'pkt', STATS)
    await storeAll(
      bucket,
      Array.from({ length: 10 }, (_, i) => append(at, sample(T0 + i * 15_000, i))),
    )
    const before = await bucket.aggregate({ layer: STATS, by: 'minute' })
    for (const fault of ['cut after', 'cut before'] as const) {
      let bulks = 0
      proxy.fault = ({ path }) => (path.endsWith('/_bulk_docs') && bulks++ === step ? fault : undefined)
      const end = T0 + (fault === 'cut after' ? 5 : 8) * 15_000
      await expect(bucket.pruneSamples(at, end, 100)).rejects.toMatchObject({ code: 'store_unavailable' })
      expect(await bucket.aggregate({ layer: STATS, by: 'minute' })).toEqual(before)
      proxy.fault = () => undefined
      while ((await bucket.pruneSamples(at, end, 100)) > 0) continue
      expect(await bucket.aggregate({ layer: STATS, by: 'minute' })).toEqual(before)
    }
    expect((await bucket.samples(at, { order: 'oldest', limit: 20 })).map(({ v }) => v)).toEqual([8, 9])
  })

  test('cold reads that come together go together', async () => {
    const addresses = Array.from({ length: 100 }, (_, i) => address('/many', `k${i}`))
    await storeAll(
      bucket,
      addresses.map((at) => put(at, version(1, at.key))),
    )
    proxy.passed.length = 0
    const heads = await Promise.all(addresses.map((at) => bucket.heads([at], 'versioned')))
    expect(heads.map(([head]) => head?.v)).toEqual(addresses.map(({ key }) => key))
    expect(proxy.passed.length).toBeLessThanOrEqual(2)
  })

  test('no byte that a user chose is in a URL', async () => {
    const hostile = '_local/../../kv4_victim/secret?x=%2f'
    const places = [address(hostile.replaceAll('..', '...'), hostile), address('/_design', '_local')]
    for (const at of places) {
      const series = { ...at, layer: STATS }
      const current = { ...at, layer: SUBS }
      await storeAll(bucket, [
        put(at, version(1)),
        append(series, sample(T0, 1, hostile)),
        replace(current, 0, version(1)),
      ])
      await storeAll(bucket, [put(at, version(2))])
      await bucket.heads([at], 'versioned')
      await bucket.heads([current], 'current')
      await bucket.pick(at, [1])
      await bucket.versions(at, { order: 'newest', limit: 5 })
      await bucket.samples(series, { order: 'newest', limit: 5, after: { at: T0 + 1, id: hostile } })
      await bucket.keys(at, 'versioned', { limit: 5, after: at.key })
      await bucket.paths(at.layer, 'versioned', at.path, 1, { limit: 5, after: at.path })
      await bucket.aggregate({ layer: STATS, path: at.path, key: at.key, by: 'minute' })
      await bucket.pruneVersions(at, 2)
      await bucket.pruneSamples(series, T0 + 1, 5)
    }
    await told()
    for (const cursor of [hostile, 'c.00000000.1', `c.00000000.1-${hostile}`, '0', 'now'])
      await expect(
        bucket.changes(cursor, { live: false })[Symbol.asyncIterator]().next(),
      ).rejects.toMatchObject({
        code: 'bad_cursor',
      })
    const database = `/kv4_${encodeURIComponent(name)}_data`
    const known =
      /^$|^\/_bulk_docs$|^\/_all_docs(?:\/queries|\?include_docs=true)?$|^\/_bulk_get$|^\/_changes\?include_docs=true&conflicts=true&limit=\d+&since=[\w-]+$|^\/_design\/kv4-[0-9a-f]{12}\/_view\/(?:keys|series)\/queries$/
    for (const { path } of proxy.passed) {
      expect(path.startsWith(database)).toBe(true)
      expect(path.slice(database.length)).toMatch(known)
    }
    expect(proxy.passed.length).toBeGreaterThan(20)
  })

  test('a design document that was edited or removed is made again', async () => {
    await storeAll(bucket, [put(address('/a', 'k'), version(1))])
    const database = `/kv4_${encodeURIComponent(name)}_data`
    const design = async () =>
      (
        await couch<{ rows: readonly { readonly id: string; readonly value: { readonly rev: string } }[] }>(
          target.url,
          'GET',
          `${database}/_all_docs?startkey=%22_design%22&endkey=%22_design0%22`,
        )
      ).rows[0]!
    const replaceDesign = async (more: object) => {
      const { id, value } = await design()
      await couch(target.url, 'POST', `${database}/_bulk_docs`, {
        docs: [{ _id: id, _rev: value.rev, ...more }],
      })
    }
    const listed = [{ key: 'k', live: true }]
    await replaceDesign({ language: 'javascript', views: { keys: { map: 'function () {}' } } })
    const again = await store.open(name)
    expect(await again.keys(address('/a', 'k'), 'versioned', { limit: 5 })).toEqual(listed)
    await replaceDesign({ _deleted: true })
    expect(await again.keys(address('/a', 'k'), 'versioned', { limit: 5 })).toEqual(listed)
    await again.close()
  })
})

import { Path } from '../../../../core'
import type { BucketName } from '../../../../core'
import { Ids } from '../../../../core/store/couch/ids'
import { openCouchStore } from '../../../../core/store/couch/open-couch-store'
import type { BucketStore, Store } from '../../../../core/store/store'
import { FaultProxy } from '../../../couchdb/fault-proxy'
import { TARGETS, type Target, couch, randomBucket } from '../../../couchdb/targets'
import { DATA, address, deletion, put, store as storeAll, version, writeVersions } from '../contract/writes'

describe.each(TARGETS)('pruning versions that does not go smoothly, on %s', (_name, start) => {
  let target: Target
  let proxy: FaultProxy
  let store: Store
  let name: BucketName
  let bucket: BucketStore

  beforeAll(async () => {
    target = await start()
    proxy = await FaultProxy.start(target.url)
    store = await openCouchStore({ url: proxy.url, node: 'a' })
  })
  afterAll(async () => {
    await store.close()
    await proxy.close()
    await target.stop()
  })
  beforeEach(async () => {
    name = randomBucket()
    await store.create(name)
    bucket = await store.open(name)
  })
  afterEach(async () => {
    proxy.fault = () => undefined
    await store.drop(name)
  })

  const at = address('/p', 'k')

  async function listing() {
    return {
      keys: await bucket.keys(at, 'versioned', { limit: 5 }),
      paths: await bucket.paths(DATA, 'versioned', Path.root, undefined, { limit: 5 }),
    }
  }
  const LIVE = { keys: [{ key: 'k', live: true }], paths: ['/p'] }
  const DEAD = { keys: [{ key: 'k', live: false }], paths: [] }

  test.each(['cut before', 'cut after'] as const)(
    'a request that is %s is made good by the next',
    async (fault) => {
      await writeVersions(bucket, at, 8, [3])
      let bulks = 0
      proxy.fault = ({ path }) => (path.endsWith('/_bulk_docs') && bulks++ === 0 ? fault : undefined)
      await expect(bucket.pruneVersions(at, 6)).rejects.toMatchObject({ code: 'store_unavailable' })
      await bucket.pruneVersions(at, 6)
      expect((await bucket.versions(at, { order: 'oldest', limit: 20 })).map(({ n }) => n)).toEqual([6, 7, 8])
      expect(await listing()).toEqual(LIVE)
      await storeAll(bucket, [put(at, deletion(9))])
      expect(await listing()).toEqual(DEAD)
    },
  )

  test.each(['the base alone', 'deletions alone'])(
    'CouchDB did %s: the next pruning makes it whole',
    async (part) => {
      await writeVersions(bucket, at, 6)
      const database = `/kv4_${encodeURIComponent(name)}_data`
      const { rows } = await couch<{ rows: readonly { readonly value: { readonly rev: string } }[] }>(
        target.url,
        'POST',
        `${database}/_all_docs`,
        { keys: [1, 2, 3].map((n) => Ids.version(at, n)) },
      )
      const docs =
        part === 'the base alone'
          ? [{ _id: Ids.base(at), n: 4, live: true }]
          : rows.map(({ value }, i) => ({ _id: Ids.version(at, i + 1), _rev: value.rev, _deleted: true }))
      await couch(target.url, 'POST', `${database}/_bulk_docs`, { docs })
      await bucket.pruneVersions(at, 4)
      expect((await bucket.versions(at, { order: 'oldest', limit: 20 })).map(({ n }) => n)).toEqual([4, 5, 6])
      expect(await listing()).toEqual(LIVE)
      await storeAll(bucket, [put(at, deletion(7))])
      expect(await listing()).toEqual(DEAD)
    },
  )

  test('nodes that prune at once, while a third writes', async () => {
    await writeVersions(bucket, at, 40, [5, 11, 17, 25, 33])
    const others = [await store.open(name), await store.open(name)]
    const [a, b] = await Promise.all([
      others[0]!.pruneVersions(at, 27),
      others[1]!.pruneVersions(at, 13),
      storeAll(bucket, [put(at, version(41))]),
    ])
    await bucket.pruneVersions(at, 27)
    expect(a + b).toBeGreaterThanOrEqual(26)
    expect((await bucket.versions(at, { order: 'oldest', limit: 1 }))[0]?.n).toBe(27)
    expect(await listing()).toEqual(LIVE)
    await storeAll(bucket, [put(at, deletion(42))])
    expect(await listing()).toEqual(DEAD)
    await bucket.pruneVersions(at, 100)
    expect(await listing()).toEqual(DEAD)
  })

  test('more versions than go into one request', async () => {
    for (let n = 1; n <= 560; n++) await storeAll(bucket, [put(at, version(n))])
    expect(await bucket.pruneVersions(at, 555)).toBe(554)
    expect((await bucket.versions(at, { order: 'oldest', limit: 20 })).map(({ n }) => n)).toEqual([
      555, 556, 557, 558, 559, 560,
    ])
    expect(await listing()).toEqual(LIVE)
  })
})

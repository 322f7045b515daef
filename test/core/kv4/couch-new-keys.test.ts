import type { Address, Bucket, RunningEngine } from '../../../core'
import { Layer, createEngine } from '../../../core'
import { openCouchStore } from '../../../core/store/couch/open-couch-store'
import { FaultProxy } from '../../couchdb/fault-proxy'
import { TARGETS, type Target, randomBucket } from '../../couchdb/targets'
import { at, code } from './contract/bench'

const by = 'elena'
const KEPT = '*kept'

describe.each(TARGETS)('writes to keys that are not known, on %s', (_name, start) => {
  let target: Target
  let proxy: FaultProxy
  let engine: RunningEngine
  let other: RunningEngine
  let bucket: Bucket
  let others: Bucket
  const name = randomBucket()

  beforeAll(async () => {
    target = await start()
    proxy = await FaultProxy.start(target.url)
  })
  afterAll(async () => {
    await proxy.close()
    await target.stop()
  })
  beforeEach(async () => {
    // A sweep would look for itself.
    engine = createEngine({
      store: await openCouchStore({ url: proxy.url, node: 'a' }),
      sweepMs: 0,
    })
    other = createEngine({ store: await openCouchStore({ url: target.url, node: 'b' }) })
    engine.layers.declare({ name: KEPT, kind: 'versioned', retention: { versions: 3 } })
    await engine.create(name)
    bucket = engine.bucket(name)
    others = other.bucket(name)
    // Opened, so that what is counted below belongs to writes.
    await bucket.get(at('/', 'none'))
    proxy.passed.length = 0
  })
  afterEach(async () => {
    await other.drop(name)
    await engine.close()
    await other.close()
  })

  const some = (prefix: string, count = 100): readonly Address[] =>
    Array.from({ length: count }, (_, i) => at('/a', `${prefix}${i}`))
  const putAll = (to: Bucket, addresses: readonly Address[], v: string) =>
    Promise.all(addresses.map((address) => to.put(address, v, { by })))
  const looks = () => proxy.passed.filter(({ path }) => path.endsWith('/_all_docs/queries')).length
  const firstVersions = () =>
    proxy.passed.filter(({ path, body }) => path.endsWith('/_bulk_docs') && body.includes('"n":1,')).length

  test('go without a look where keys are new', async () => {
    const versions = await putAll(bucket, some('new'), 'first')
    expect(versions.every(({ n, op }) => n === 1 && op === 'create')).toBe(true)
    expect(looks()).toBe(0)
  })

  test('write over nothing that is there, and keep their conditions', async () => {
    const [a, b, c, d, e] = some('k', 5) as [Address, Address, Address, Address, Address]
    await putAll(others, [a, b, c, d], 'theirs')
    await others.remove(d, { by })
    expect(await bucket.put(a, 'ours', { by })).toMatchObject({ n: 2, op: 'update' })
    expect(await code(bucket.put(b, 'ours', { by, expect: 'absent' }))).toBe('version_conflict')
    expect(await bucket.remove(c, { by })).toMatchObject({ n: 2, op: 'delete' })
    expect(await bucket.put(d, 'ours', { by, expect: 'absent' })).toMatchObject({ n: 3, op: 'create' })
    expect(await code(bucket.put(e, 'ours', { by, expect: 'present' }))).toBe('version_conflict')
    expect((await others.get(b, { consistent: true }))?.v).toBe('theirs')
  })

  test('look first where most keys turn out to be there, until they are new again', async () => {
    await putAll(others, some('old', 200), 'theirs')
    await putAll(bucket, some('old').slice(0, 100), 'ours')
    expect(firstVersions()).toBeGreaterThan(0)
    proxy.passed.length = 0
    const versions = await putAll(bucket, some('old', 200).slice(100), 'ours')
    expect(versions.every(({ n }) => n === 2)).toBe(true)
    expect(firstVersions()).toBe(0)
    await putAll(bucket, some('new'), 'first')
    expect(looks()).toBeGreaterThan(0)
    proxy.passed.length = 0
    await putAll(bucket, some('newer'), 'first')
    expect(looks()).toBe(0)
  })

  test('look first in a layer whose versions are forgotten', async () => {
    await bucket.put(at('/a', 'k', Layer.parse(KEPT)), 1, { by })
    expect(looks()).toBe(1)
  })
})

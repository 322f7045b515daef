import type { Bucket, RunningEngine } from '../../../core'
import { createEngine } from '../../../core'
import { openCouchStore } from '../../../core/store/couch/open-couch-store'
import { FaultProxy } from '../../couchdb/fault-proxy'
import { TARGETS, type Target, randomBucket } from '../../couchdb/targets'
import { TestClock, at } from './contract/bench'

const by = 'elena'

describe.each(TARGETS)('a sweep, on %s', (_name, start) => {
  let target: Target
  let proxy: FaultProxy
  let engine: RunningEngine
  let other: RunningEngine
  let bucket: Bucket
  const clock = new TestClock()
  const BEHIND_MS = 3_600_000
  const name = randomBucket()

  beforeAll(async () => {
    target = await start()
    proxy = await FaultProxy.start(target.url)
    engine = createEngine({
      store: await openCouchStore({ url: proxy.url, node: 'a' }),
      clock: clock.now,
      sweepMs: 0,
    })
    other = createEngine({
      store: await openCouchStore({ url: target.url, node: 'b' }),
      clock: () => clock.now() - BEHIND_MS,
      sweepMs: 0,
    })
    await engine.create(name)
    bucket = engine.bucket(name)
  })
  afterAll(async () => {
    await engine.drop(name)
    await engine.close()
    await other.close()
    await proxy.close()
    await target.stop()
  })

  /** Entries whose latest version was asked for. */
  const looks = () =>
    proxy.passed
      .filter(({ path }) => path.endsWith('/_all_docs/queries'))
      .reduce((sum, { body }) => sum + (JSON.parse(body) as { queries: unknown[] }).queries.length, 0)

  test('looks once at what was renewed, however often it comes by', async () => {
    const renew = () =>
      Promise.all(
        Array.from({ length: 50 }, (_, i) => bucket.put(at('/ttl', `k${i}`), 1, { by, ttl: 60_000 })),
      )
    for (let i = 0; i < 4; i++) {
      await renew()
      clock.forward(30_000)
      await engine.sweep()
    }
    await bucket.put(at('/ttl', 'short'), 1, { by, ttl: 10 })
    clock.forward(20)
    proxy.passed.length = 0
    await engine.sweep()
    expect(looks()).toBeLessThan(10)
    expect((await bucket.history(at('/ttl', 'short'))).items.map(({ op }) => op)).toEqual([
      'delete',
      'create',
    ])
    expect(
      (await bucket.keys({ layer: at('/ttl', 'k').layer, path: at('/ttl', 'k').path })).items,
    ).toHaveLength(50)
  })

  test('finds what another node wrote whose clock is far behind', async () => {
    const late = at('/ttl', 'late')
    clock.forward(10_000)
    await engine.sweep()
    await other.bucket(name).put(late, 1, { by, ttl: 60_000 })
    for (let i = 0; i < 100 && (await bucket.history(late)).items.length < 2; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      await engine.sweep()
    }
    expect((await bucket.history(late)).items.map(({ op }) => op)).toEqual(['delete', 'create'])
  })
})

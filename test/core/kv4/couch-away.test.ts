import type { Bucket, RunningEngine } from '../../../core'
import { BucketName, createEngine } from '../../../core'
import { openCouchStore } from '../../../core/store/couch/open-couch-store'
import { FaultProxy } from '../../couchdb/fault-proxy'
import { CouchServer } from '../../couchdb/server'
import { eventually } from '../../eventually'
import { CURRENT, TestClock, at, code } from './contract/bench'

const by = 'elena'
const name = BucketName.of('away')

describe('a CouchDB that is away', () => {
  let server: CouchServer
  let proxy: FaultProxy
  let engine: RunningEngine
  let other: RunningEngine
  let bucket: Bucket
  const clock = new TestClock()

  beforeEach(async () => {
    server = await CouchServer.start({ login: 'admin:admin' })
    proxy = await FaultProxy.start(server.url)
    engine = createEngine({
      store: await openCouchStore({ url: proxy.url, node: 'a' }),
      graceMs: 1_500,
    })
    other = createEngine({
      store: await openCouchStore({ url: server.url, node: 'b' }),
      clock: clock.now,
    })
    await engine.create(name)
    bucket = engine.bucket(name)
  })

  afterEach(async () => {
    await proxy.back().catch(() => undefined)
    await engine.close()
    await other.close()
    await proxy.close()
    await server.close()
  })

  test('writes say so at once, cached reads go on for the grace, and everything heals', async () => {
    const k = at('/a', 'k')
    await bucket.put(k, 1, { by })
    await proxy.leave()
    expect(await code(bucket.put(k, 2, { by }))).toBe('store_unavailable')
    // What a write without an answer may have changed is not known any more; other entries are.
    await proxy.back()
    await eventually(async () => expect((await bucket.get(k))?.v).toBe(1))
    await proxy.leave()
    expect((await bucket.get(k))?.v).toBe(1)
    await eventually(async () => expect(await code(bucket.get(k))).toBe('store_unavailable'))
    await other.bucket(name).put(k, 'meanwhile', { by })
    await proxy.back()
    await eventually(async () => expect((await bucket.get(k))?.v).toBe('meanwhile'))
    await bucket.put(k, 3, { by })
    expect((await bucket.get(k))?.v).toBe(3)
  })

  test('a bucket that was dropped and made again meanwhile shows nothing of the old one', async () => {
    const k = at('/a', 'k')
    await bucket.put(k, 'old', { by })
    expect((await bucket.get(k))?.v).toBe('old')
    await proxy.leave()
    await other.drop(name)
    await other.create(name)
    await other.bucket(name).put(at('/a', 'other'), 'new', { by })
    await proxy.back()
    await eventually(async () => {
      expect(await bucket.get(k)).toBeUndefined()
      expect((await bucket.get(at('/a', 'other')))?.v).toBe('new')
    })
    expect(await bucket.put(k, 'again', { by, expect: 'absent' })).toMatchObject({ n: 1 })
  })

  test('a consistent read believes the store, not what is left of a bucket that was made anew', async () => {
    const k = at('/a', 'k')
    for (let i = 1; i <= 5; i++) await bucket.put(k, `old ${i}`, { by })
    expect((await bucket.get(k))?.v).toBe('old 5')
    // The feed breaks with the old database; until it is back the cache is believed, but not against the store.
    await other.drop(name)
    await other.create(name)
    await other.bucket(name).put(k, 'new', { by })
    expect((await bucket.get(k, { consistent: true }))?.v).toBe('new')
    expect((await bucket.get(k))?.v).toBe('new')
    expect((await bucket.put(k, 'next', { by, expect: { n: 1 } })).n).toBe(2)
  })

  test('a current entry made again under a clock that is behind is believed', async () => {
    const k = at('/lease', 'k', CURRENT)
    for (const each of [engine, other]) each.layers.declare({ name: '*lease', kind: 'current' })
    clock.forward(3_600_000)
    await other.bucket(name).put(k, 'ahead', { by })
    expect((await bucket.get(k, { consistent: true }))?.v).toBe('ahead')
    await other.bucket(name).remove(k, { by })
    clock.forward(-3_600_000)
    await eventually(async () => expect(await bucket.get(k)).toBeUndefined())
    await other.bucket(name).put(k, 'behind', { by })
    expect((await bucket.get(k, { consistent: true }))?.v).toBe('behind')
    expect((await bucket.put(k, 'over', { by, expect: 'present' })).v).toBe('over')
  })

  test('writes that wait for a store which hangs are bounded', async () => {
    await bucket.put(at('/q', 'first'), 1, { by })
    proxy.fault = ({ path }) => (path.endsWith('/_bulk_docs') ? { delayMs: 1_000 } : undefined)
    const value = 'x'.repeat(512 * 1024)
    const outcomes = Array.from({ length: 80 }, (_, i) => code(bucket.put(at('/q', `k${i}`), value, { by })))
    const refused = (await Promise.race(outcomes.slice(-5).map((outcome) => outcome))) === 'overloaded'
    proxy.fault = () => undefined
    const all = await Promise.all(outcomes)
    expect(refused).toBe(true)
    expect(new Set(all)).toEqual(new Set(['no error', 'overloaded']))
    const stored = all.flatMap((outcome, i) => (outcome === 'no error' ? [`k${i}`] : []))
    expect(new Set((await bucket.keys({ ...at('/q', 'x') })).items)).toEqual(new Set(['first', ...stored]))
  })

  test('a watcher goes on by itself and misses nothing', async () => {
    await bucket.put(at('/w', 'before'), 0, { by })
    const abort = new AbortController()
    const seen: string[] = []
    const since = await bucket.cursor()
    const watching = (async () => {
      for await (const event of bucket.watch({}, { since, signal: abort.signal }))
        seen.push(event.address.key)
    })()
    await bucket.put(at('/w', 'one'), 1, { by })
    await eventually(async () => expect(seen).toEqual(['one']))
    await proxy.leave()
    await other.bucket(name).put(at('/w', 'two'), 2, { by })
    await proxy.back()
    await other.bucket(name).put(at('/w', 'three'), 3, { by })
    await eventually(async () => expect(seen).toEqual(['one', 'two', 'three']))
    abort.abort()
    await watching
  })
})

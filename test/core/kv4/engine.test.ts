import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunningEngine } from '../../../core'
import { BucketName, Kv4Error, Path, createEngine } from '../../../core'
import type { EmbeddedStore } from '../../../core/store/embedded/embedded-store'
import { openEmbeddedStore } from '../../../core/store/embedded'
import type { BucketStore, Store } from '../../../core/store/store'
import { TestClock, at, code } from './contract/bench'

const by = 'elena'

async function ended(events: AsyncIterable<unknown>): Promise<void> {
  for await (const event of events) throw new Error(`not asked for: ${JSON.stringify(event)}`)
}

function named(name: string): BucketName {
  return BucketName.of('engine', name)
}

describe('the engine of many buckets', () => {
  let directory: string
  let store: EmbeddedStore
  let engine: RunningEngine
  const clock = new TestClock()
  const errors: unknown[] = []
  let failing = false
  let listed = 0
  let commits = 0

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kv4-engine-'))
    store = await openEmbeddedStore({
      directory,
      onFatal: (error) => {
        throw error
      },
    })
    errors.length = 0
    engine = createEngine({
      store: watched(store),
      clock: clock.now,
      sweepMs: 0,
      maxOpenBuckets: 2,
      onBackgroundError: (error) => errors.push(error),
    })
  })

  afterEach(async () => {
    await engine.close()
    await rm(directory, { recursive: true, force: true })
  })

  /** Counts listings, and fails sweeps when told to. */
  function watched(real: Store): Store {
    const away = (handle: BucketStore): BucketStore =>
      new Proxy(handle, {
        get(target, name) {
          if (name === 'keys') listed++
          if (name === 'commit') commits++
          if (failing && name === 'expiring')
            return async () => {
              throw new Kv4Error('store_unavailable')
            }
          const member = Reflect.get(target, name, target) as unknown
          return typeof member === 'function' ? (member.bind(target) as unknown) : member
        },
      })
    return new Proxy(real, {
      get(target, name) {
        if (name === 'open') return async (bucket: BucketName) => away(await target.open(bucket))
        const member = Reflect.get(target, name, target) as unknown
        return typeof member === 'function' ? (member.bind(target) as unknown) : member
      },
    })
  }

  test('a bucket opens though all that are open are in use', async () => {
    const abort = new AbortController()
    const watchers: Promise<void>[] = []
    for (const name of ['a', 'b']) {
      await engine.create(named(name))
      watchers.push(ended(engine.bucket(named(name)).watch({}, { signal: abort.signal })))
    }
    await engine.create(named('c'))
    const third = engine.bucket(named('c'))
    for (let i = 1; i <= 3; i++) expect(await third.put(at('/a', 'k'), i, { by })).toMatchObject({ n: i })
    expect((await third.get(at('/a', 'k')))?.v).toBe(3)
    abort.abort()
    await Promise.all(watchers)
  })

  test('many buckets asked for at once all answer, and the surplus closes', async () => {
    const names = Array.from({ length: 30 }, (_, i) => named(`n${i}`))
    for (const name of names) await engine.create(name)
    await Promise.all(names.map((name) => engine.bucket(name).put(at('/a', 'k'), 1, { by })))
    for (const name of names) expect((await engine.bucket(name).get(at('/a', 'k')))?.v).toBe(1)
    await engine.create(named('last'))
    await engine.bucket(named('last')).get(at('/a', 'k'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(engine.openBuckets).toBeLessThanOrEqual(2)
    expect(errors).toEqual([])
  })

  test('what is asked of a bucket while it is dropped leaves nothing of it behind', async () => {
    const name = named('d')
    const bucket = engine.bucket(name)
    for (let round = 0; round < 5; round++) {
      await engine.create(name)
      await bucket.put(at('/a', 'k'), round, { by })
      const dropping = engine.drop(name)
      await Promise.allSettled([bucket.get(at('/a', 'k')), bucket.put(at('/a', 'l'), round, { by })])
      expect(await dropping).toBe(true)
      expect(await code(bucket.get(at('/a', 'k')))).toBe('bucket_not_found')
      await engine.create(name)
      expect(await bucket.get(at('/a', 'k'))).toBeUndefined()
      expect(await bucket.get(at('/a', 'l'))).toBeUndefined()
      await engine.drop(name)
    }
  })

  test('a sweep that the store refused is made up for', async () => {
    await engine.create(named('s'))
    const bucket = engine.bucket(named('s'))
    await bucket.put(at('/a', 'k'), 1, { by, ttl: 1_000 })
    clock.forward(2_000)
    failing = true
    await engine.sweep()
    expect(errors).toHaveLength(1)
    failing = false
    clock.forward(10_000)
    await engine.sweep()
    expect((await bucket.history(at('/a', 'k'))).items.map(({ op }) => op)).toEqual(['delete', 'create'])
  })

  test('a small page behind many keys that are deleted takes few calls of the store', async () => {
    await engine.create(named('l'))
    const bucket = engine.bucket(named('l'))
    const addresses = Array.from({ length: 3_000 }, (_, i) => at('/a', `k${String(i).padStart(4, '0')}`))
    await Promise.all(addresses.map((address) => bucket.put(address, 1, { by })))
    const place = { layer: addresses[0]!.layer, path: addresses[0]!.path }
    await Promise.all(addresses.slice(1, -2).map((address) => bucket.remove(address, { by })))
    listed = 0
    const page = await bucket.keys(place, { limit: 1 })
    expect(page).toEqual({ items: ['k0000'], next: 'k0000' })
    expect(await bucket.keys(place, { limit: 1, after: page.next! })).toEqual({
      items: ['k2998'],
      next: 'k2998',
    })
    expect((await bucket.keys(place, { limit: 2, after: page.next! })).items).toEqual(['k2998', 'k2999'])
    expect(listed).toBeLessThan(50)
  })

  test('callers of one turn go into one commit, after a pause too', async () => {
    const bucket = engine.bucket(named('turn'))
    await engine.create(bucket.name)
    await bucket.put(at('/a', 'first'), 0, { by })
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      commits = 0
      // Each in a call of the event loop of its own, as those of twenty sockets are.
      await Promise.all(
        Array.from(
          { length: 20 },
          (_, i) =>
            new Promise((resolve, reject) =>
              setImmediate(() => void bucket.put(at('/a', `k${i}`), round, { by }).then(resolve, reject)),
            ),
        ),
      )
      expect(commits).toBe(1)
    }
  })

  test('what is peeked at is what would be read, or not known', async () => {
    await engine.create(named('p'))
    const bucket = engine.bucket(named('p'))
    const address = at('/a', 'k')
    expect(bucket.peek(address)).toBeUndefined()
    await bucket.get(address)
    expect(bucket.peek(address)).toBeNull()
    const written = await bucket.put(address, 1, { by, ttl: 1_000 })
    expect(bucket.peek(address)).toBe(written)
    clock.forward(1_000)
    expect(bucket.peek(address)).toBeNull()
    const again = await bucket.put(address, 2, { by })
    const peeked = bucket.peek(address)
    expect(peeked).toBe(again)
    await bucket.remove(address, { by })
    expect(bucket.peek(address)).toBeNull()
    // What was peeked at stays what it was.
    expect(peeked).toMatchObject({ op: 'update', v: 2 })
  })

  test('the paths that are peeked at follow what is written', async () => {
    await engine.create(named('q'))
    const bucket = engine.bucket(named('q'))
    const { layer } = at('/a', 'k')
    const all = () => bucket.paths(layer, Path.root, undefined)
    expect(bucket.peekPaths(layer)).toBeUndefined()
    expect(await all()).toEqual({ items: [] })
    expect(bucket.peekPaths(layer)).toEqual({ items: [] })
    await bucket.put(at('/a', 'k'), 1, { by })
    expect(bucket.peekPaths(layer)).toBeUndefined()
    await all()
    expect(bucket.peekPaths(layer)).toEqual({ items: ['/a'] })
    await bucket.remove(at('/a', 'k'), { by })
    expect(bucket.peekPaths(layer)).toBeUndefined()
  })
})

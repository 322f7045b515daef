import type { BucketName } from '../../../../core'
import { ForeignShare } from '../../../../core/store/couch/foreign-share'
import { openCouchStore } from '../../../../core/store/couch/open-couch-store'
import { OwnWrites } from '../../../../core/store/couch/own-writes'
import type { BucketStore, Change, Store, Write } from '../../../../core/store/store'
import { FaultProxy } from '../../../couchdb/fault-proxy'
import { TARGETS, type Target, randomBucket } from '../../../couchdb/targets'
import {
  STATS,
  SUBS,
  T0,
  address,
  append,
  deletion,
  put,
  replace,
  sample,
  store as storeAll,
  version,
} from '../contract/writes'

function changeOf(write: Write): Change {
  const { address: at } = write
  return write.kind === 'series'
    ? { kind: 'series', address: at, sample: write.sample }
    : { kind: write.kind, address: at, version: write.version }
}

describe.each(TARGETS)('the live feed, on %s', (_name, start) => {
  let target: Target
  let proxy: FaultProxy
  let own: Store
  let other: Store
  let name: BucketName
  let bucket: BucketStore
  let others: BucketStore
  let stop: AbortController
  let told: Change[]
  let following: Promise<void>

  beforeAll(async () => {
    target = await start()
    proxy = await FaultProxy.start(target.url)
    own = await openCouchStore({ url: proxy.url, node: 'own', graceMs: 5_000 })
    other = await openCouchStore({ url: target.url, node: 'other' })
  })
  afterAll(async () => {
    await own.close()
    await other.close()
    await proxy.close()
    await target.stop()
  })
  beforeEach(async () => {
    name = randomBucket()
    await own.create(name)
    bucket = await own.open(name)
    others = await other.open(name)
    stop = new AbortController()
    told = []
    const cursor = await bucket.cursor()
    proxy.passed.length = 0
    following = (async () => {
      for await (const { changes } of bucket.changes(cursor, { live: true, signal: stop.signal }))
        told.push(...changes)
    })()
    for (let i = 0; i < 100 && !proxy.passed.some(({ path }) => path.includes('_changes')); i++)
      await new Promise((resolve) => setTimeout(resolve, 10))
  })
  afterEach(async () => {
    proxy.fault = () => undefined
    stop.abort()
    await following
    await bucket.close()
    await others.close()
    await own.drop(name)
  })

  const [v, s, c] = [address('/f', 'v'), address('/f', 's', STATS), address('/f', 'c', SUBS)]
  const writes: readonly Write[] = [
    put(v, version(1, { deep: [1, 'ä'] }, { k2: 'x' })),
    append(s, sample(T0, 5)),
    replace(c, 0, version(1, 'host')),
    put(v, version(2, null, { exp: T0 })),
    replace(c, 1, deletion(2)),
    put(v, deletion(3)),
  ]

  async function hears(count: number): Promise<void> {
    for (let i = 0; i < 200 && told.length < count; i++)
      await new Promise((resolve) => setTimeout(resolve, 25))
  }

  function reads(): readonly string[] {
    return proxy.passed
      .map(({ path }) => path)
      .filter((path) => /_bulk_get|_all_docs\?|include_docs/.test(path))
  }

  test('tells what this node wrote without reading it again', async () => {
    for (const write of writes) {
      await storeAll(bucket, [write])
      await hears(writes.indexOf(write) + 1)
    }
    expect(told).toEqual(writes.map(changeOf))
    const many = Array.from({ length: 300 }, (_, i) => put(address('/many', `k${i}`), version(1, i)))
    await storeAll(bucket, many)
    await hears(writes.length + many.length)
    const key = (change: Change) => change.address.key as string
    const sorted = (changes: readonly Change[]) => [...changes].sort((a, b) => (key(a) < key(b) ? -1 : 1))
    expect(sorted(told.slice(writes.length))).toEqual(sorted(many.map(changeOf)))
    expect(reads()).toEqual([])
  })

  test('tells what another node wrote whole, in its order among ours', async () => {
    const mine = address('/f', 'mine')
    const expected: Change[] = []
    for (const [i, write] of writes.entries()) {
      const ours = put(mine, version(i + 1))
      for (const [who, what] of [
        [others, write],
        [bucket, ours],
      ] as const) {
        await storeAll(who, [what])
        expected.push(changeOf(what))
        await hears(expected.length)
      }
    }
    expect(told).toEqual(expected)
  })

  test('tells each change as what it is when another node replaced several entries again and again', async () => {
    const [a, b] = [address('/f', 'a', SUBS), address('/f', 'b', SUBS)]
    const expected: Change[] = []
    const write = async (what: Write): Promise<void> => {
      await storeAll(others, [what])
      expected.push(changeOf(what))
    }
    const heard: Change[] = []
    let go!: () => void
    const gate = new Promise<void>((resolve) => (go = resolve))
    const cursor = await bucket.cursor()
    const slow = (async () => {
      for await (const { changes } of bucket.changes(cursor, { live: true, signal: stop.signal })) {
        heard.push(...changes)
        await gate
      }
    })()
    await write(put(v, version(1)))
    for (let i = 0; i < 200 && heard.length === 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 25))
    // All of it waits for the reader, who then takes it at once.
    for (let n = 0; n < 4; n++) {
      await write(replace(a, n, version(n + 1, `a${n}`)))
      await write(put(address('/f', `between ${n}`), version(1, n)))
      await write(replace(b, n, version(n + 1, `b${n}`)))
    }
    await hears(expected.length)
    go()
    for (let i = 0; i < 200 && heard.length < expected.length; i++)
      await new Promise((resolve) => setTimeout(resolve, 25))
    expect(heard).toEqual(expected)
    stop.abort()
    await slow
  })

  test('tells a write whose answer was lost', async () => {
    let cut = false
    proxy.fault = ({ path }) => {
      if (cut || !path.endsWith('_bulk_docs')) return undefined
      cut = true
      return 'cut after'
    }
    await storeAll(bucket, [put(v, version(1))])
    await hears(1)
    expect(told).toEqual([{ kind: 'versioned', address: v, version: version(1) }])
  })
})

describe('what a node has written itself', () => {
  const at = address('/a', 'k')
  const write = put(at, version(1))
  const change: Change = { kind: 'versioned', address: at, version: version(1) }

  test('is known by its revision, once', () => {
    const own = new OwnWrites()
    own.wrote([{ id: 'v!1', rev: '1-a', write }])
    expect(own.take('v!1', '1-b')).toBeUndefined()
    expect(own.take('v!1', '1-a')).toEqual(change)
    expect(own.take('v!1', '1-a')).toBeUndefined()
  })

  test('is forgotten after 32 more requests', () => {
    const own = new OwnWrites()
    for (let i = 0; i <= 32; i++) own.wrote([{ id: `v!${i}`, rev: '1-a', write }])
    expect(own.take('v!0', '1-a')).toBeUndefined()
    expect(own.take('v!1', '1-a')).toEqual(change)
  })

  test('is waited for while the request is under way, whose answer may come behind the feed, but not for long', async () => {
    const own = new OwnWrites()
    const land = own.sending(['v!1'])
    expect(own.flight('v!2')).toBeUndefined()
    const flight = own.flight('v!1')!
    let over = false
    void flight.then(() => (over = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect(over).toBe(false)
    own.wrote([{ id: 'v!1', rev: '1-a', write }])
    land()
    await flight
    expect(own.flight('v!1')).toBeUndefined()
    own.sending(['v!3'])
    const hung = own.flight('v!3')
    // One wait for all rows of a request.
    expect(own.flight('v!3')).toBe(hung)
    await hung
  })
})

test('others write much only when they do so for long, and a large part', () => {
  let now = 0
  const windows = (each: readonly (readonly [rows: number, foreign: number])[]): boolean => {
    const share = new ForeignShare(() => now)
    for (const [rows, foreign] of each) {
      now += 10_000
      share.saw(rows, foreign)
    }
    return share.large
  }
  expect(windows([[4_000, 1_000]])).toBe(false)
  expect(
    windows([
      [4_000, 1_000],
      [4_000, 1_000],
    ]),
  ).toBe(true)
  expect(
    windows([
      [4_000, 1_000],
      [0, 0],
      [4_000, 1_000],
    ]),
  ).toBe(false)
  expect(
    windows([
      [5_000, 1_000],
      [5_000, 1_000],
    ]),
  ).toBe(false)
  expect(
    windows([
      [900, 900],
      [900, 900],
    ]),
  ).toBe(false)
})

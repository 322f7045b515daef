import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrateStore } from '../../cli/migration/migrate-store'
import { type Address, BucketName, Path } from '../../core'
import { openCouchStore } from '../../core/store/couch/open-couch-store'
import { openEmbeddedStore } from '../../core/store/embedded'
import type { BucketStore, Change, Store, Write } from '../../core/store/store'
import {
  DATA,
  STATS,
  SUBS,
  T0,
  address,
  append,
  deletion,
  put,
  replace,
  sample,
  store as writeAll,
  version,
  writeVersions,
} from '../core/store/contract/writes'
import { HOSTILE_KEYS } from '../core/store/contract/hostile'
import { CouchServer } from '../couchdb/server'
import { dropTestBuckets } from '../couchdb/drop-test-buckets'
import { Kv4 } from './kv4'

const ACCOUNT = 'migrate'
const ELENA = BucketName.of(`${ACCOUNT}${process.pid}`)
const LILY = BucketName.of(`${ACCOUNT}${process.pid}`, 'lily')
const NAMES = [ELENA, LILY]

const directories: string[] = []
const stores: Store[] = []

function directory(): string {
  const made = mkdtempSync(join(tmpdir(), 'kv4-migrate-'))
  directories.push(made)
  return made
}

async function embedded(at = directory()): Promise<Store> {
  const store = await openEmbeddedStore({
    directory: at,
    onFatal(error) {
      throw error
    },
  })
  stores.push(store)
  return store
}

async function couch(url: string): Promise<Store> {
  const store = await openCouchStore({ url, node: 'test' })
  stores.push(store)
  return only(store)
}

/** The store, as far as it is this test's: a real server may hold other data. */
function only(store: Store): Store {
  return wrap(store, {
    async *list() {
      for await (const name of store.list()) if (NAMES.includes(name)) yield name
    },
  })
}

function wrap<Wrapped extends object>(inner: Wrapped, over: Partial<Wrapped>): Wrapped {
  return new Proxy(inner, {
    get(target, member) {
      const value: unknown = member in over ? over[member as keyof Wrapped] : Reflect.get(target, member)
      return typeof value === 'function' && !(member in over) ? (value.bind(target) as unknown) : value
    },
  })
}

/** A store whose buckets are looked at, or tampered with, by what `over` makes of them. */
function withBuckets(store: Store, over: (bucket: BucketStore) => Partial<BucketStore>): Store {
  return wrap(store, {
    async open(name) {
      const bucket = await store.open(name)
      return wrap(bucket, over(bucket))
    },
  })
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
  for (const made of directories.splice(0)) rmSync(made, { recursive: true, force: true })
})

const forgotten = address('/forgotten', 'updated')
const recreated = address('/forgotten', 'created again')
const counted = address('/s/pruned', 'k', STATS)

/** A bit of everything that a store can hold; `many`: more than goes into one commit. */
async function fill(store: Store, many = 1300): Promise<void> {
  for (const name of NAMES) await store.create(name)
  const bucket = await store.open(ELENA)
  await writeVersions(bucket, address('/a/b', 'plain'), 7)
  await writeVersions(bucket, address('/a/b', 'deleted'), 4, [4])
  await writeVersions(bucket, address('/a/b', 'again'), 6, [2, 4])
  await writeVersions(bucket, forgotten, many)
  await bucket.pruneVersions(forgotten, many - 2)
  await writeVersions(bucket, recreated, 9, [6])
  await bucket.pruneVersions(recreated, 7)
  await writeAll(
    bucket,
    HOSTILE_KEYS.map((key) => put({ ...address('/_design/x|y/%2f', 'k'), key }, version(1, key))),
  )

  const lapsing = address('/l', 'lapsing')
  await writeAll(bucket, [put(lapsing, version(1, 1, { exp: T0 + 99 }))])
  await writeAll(bucket, [put(lapsing, version(2, 2), true)])
  await writeAll(bucket, [put(address('/l', 'still'), version(1, 1, { exp: T0 + 77 }))])
  await writeAll(bucket, [
    put(address('/l', 'keys'), version(1, { z: 1, a: [null, 1e21, -0.5] }, { k2: 'e', k4: '€' })),
  ])

  const [here, gone] = [address('/h', 'here', SUBS), address('/h', 'gone', SUBS)]
  for (let n = 1; n <= 5; n++)
    await writeAll(bucket, [replace(here, n - 1, version(n)), replace(gone, n - 1, version(n))])
  await writeAll(bucket, [replace(gone, 5, deletion(6))])

  const series = address('/s', 'k', STATS)
  await writeAll(
    bucket,
    Array.from({ length: many / 2 }, (_, i) => append(series, sample(T0 + i * 7_000, i))),
  )
  await writeAll(bucket, [append(series, sample(T0 + 1, { sum: 5, min: 1, max: 3, count: 4 }, 'sum'))])
  await writeAll(
    bucket,
    Array.from({ length: 40 }, (_, i) => append(counted, sample(T0 + i * 10_000, i + 0.25))),
  )
  // In the middle of a minute.
  while ((await bucket.pruneSamples(counted, T0 + 155_000, 100)) > 0);

  const other = await store.open(LILY)
  await writeVersions(other, address('/', 'only'), 2)
  await bucket.close()
  await other.close()
}

/** What can be asked of a bucket, independent of how the migration compares. */
async function contentOf(bucket: BucketStore): Promise<unknown> {
  const told: Change[] = []
  for await (const { changes } of bucket.changes('', { live: false })) told.push(...changes)
  const addresses = new Map<string, Address>(
    told.filter(({ kind }) => kind === 'versioned').map(({ address: at }) => [JSON.stringify(at), at]),
  )
  const histories = await Promise.all(
    [...addresses].map(
      async ([id, at]) => [id, await bucket.versions(at, { order: 'oldest', limit: 9999 })] as const,
    ),
  )
  const all = { limit: 1000 }
  return {
    histories: Object.fromEntries(histories),
    layers: await bucket.layers(),
    paths: await bucket.paths(DATA, 'versioned', Path.root, undefined, all),
    keys: await bucket.keys(address('/a/b', 'k'), 'versioned', all),
    forgotten: await bucket.keys(forgotten, 'versioned', all),
    current: await bucket.heads([address('/h', 'here', SUBS), address('/h', 'gone', SUBS)], 'current'),
    present: await bucket.keys(address('/h', 'k', SUBS), 'current', all),
    samples: await bucket.samples(address('/s', 'k', STATS), { order: 'oldest', limit: 1000 }),
    remaining: await bucket.samples(counted, { order: 'oldest', limit: 1000 }),
    minutes: await bucket.aggregate({ ...counted, by: 'minute' }),
    total: await bucket.aggregate({ layer: STATS }),
    expiring: await lapsing(bucket),
  }
}

/** An adapter may also name entries that were rewritten since. */
async function lapsing(bucket: BucketStore): Promise<unknown> {
  const named = await bucket.expiring(0, T0 + 1000, 100)
  const heads = await bucket.heads(
    named.map((each) => each.address),
    'versioned',
  )
  return named.filter(({ n }, i) => heads[i]?.n === n)
}

async function expectSame(source: Store, target: Store): Promise<void> {
  for (const name of NAMES) {
    const [from, to] = [await source.open(name), await target.open(name)]
    expect(await contentOf(to)).toEqual(await contentOf(from))
    await from.close()
    await to.close()
  }
}

const real = process.env['KV4_TEST_COUCHDB_URL']
const servers: readonly (readonly [string, (use: (url: string) => Promise<void>) => Promise<void>])[] = [
  [
    'a protocol server',
    async (use) => {
      const server = await CouchServer.start()
      try {
        await use(server.url)
      } finally {
        for (const store of stores.splice(0)) await store.close()
        await server.close()
      }
    },
  ],
  ...(real === undefined
    ? []
    : [
        [
          'KV4_TEST_COUCHDB_URL',
          async (use: (url: string) => Promise<void>) => {
            try {
              await use(real)
            } finally {
              await dropTestBuckets(real, [ACCOUNT])
            }
          },
        ] as const,
      ]),
]

describe.each(servers)('a migration by way of %s', (_, withServer) => {
  test('there and back keeps everything, forgotten versions and samples too', async () => {
    const [first, last] = [await embedded(), await embedded()]
    await fill(first, 40)
    await withServer(async (url) => {
      const middle = await couch(url)
      const there = await migrateStore(first, middle, { resume: false })
      await expectSame(first, middle)
      const back = await migrateStore(middle, last, { resume: false })
      expect(back).toEqual(there)
      expect(there.buckets).toBe(2)
      await expectSame(first, last)
    })
  }, 120_000)
})

describe('a migration that is broken off', () => {
  test('is refused without resume, and goes on with it, wherever it broke', async () => {
    const source = await embedded()
    await fill(source, 12)
    for (let steps = 0; ; steps++) {
      const target = await embedded()
      // Each write to the target may be the last one that gets through.
      let left = steps
      const spend = () => {
        if (left-- <= 0) throw new Error('the power is out')
      }
      const failing = withBuckets(target, (bucket) => ({
        commit(writes: readonly Write[]) {
          spend()
          return bucket.commit(writes)
        },
        pruneVersions(at: Address, keepFrom: number) {
          spend()
          return bucket.pruneVersions(at, keepFrom)
        },
        pruneSamples(at: Address, before: number, limit: number) {
          spend()
          return bucket.pruneSamples(at, before, limit)
        },
      }))
      const whole = await migrateStore(source, failing, { resume: false }).catch((error: Error) => {
        expect(error.message).toBe('the power is out')
        return undefined
      })
      await expect(migrateStore(source, target, { resume: false })).rejects.toThrow('the target is not empty')
      await migrateStore(source, target, { resume: true })
      await expectSame(source, target)
      if (whole !== undefined) {
        expect(steps).toBeGreaterThan(10)
        return
      }
    }
  }, 60_000)
})

describe('a migration is not believed', () => {
  test('when the target has another version of something', async () => {
    const [source, target] = [await embedded(), await embedded()]
    await fill(source, 12)
    await target.create(ELENA)
    const bucket = await target.open(ELENA)
    await writeAll(bucket, [put(address('/a/b', 'plain'), version(1, 'something else'))])
    await expect(migrateStore(source, target, { resume: true })).rejects.toThrow(
      'the target differs from the source',
    )
  })

  test('when the target has more than the source', async () => {
    const [source, target] = [await embedded(), await embedded()]
    await fill(source, 12)
    await target.create(ELENA)
    const bucket = await target.open(ELENA)
    await writeAll(bucket, [put(address('/more', 'k'), version(1))])
    await expect(migrateStore(source, target, { resume: true })).rejects.toThrow(
      'the target differs from the source',
    )
  })

  test('when somebody writes to the target meanwhile', async () => {
    const [source, target] = [await embedded(), await embedded()]
    await fill(source, 12)
    const raced = withBuckets(target, (bucket) => ({
      async commit(writes: readonly Write[]) {
        const [first] = writes
        if (first?.kind === 'versioned' && first.version.n === 1)
          await bucket.commit([put(first.address, version(1, 'raced'))])
        return bucket.commit(writes)
      },
    }))
    await expect(migrateStore(source, raced, { resume: false })).rejects.toThrow('somebody else writes to it')
  })

  test('when somebody writes to the source meanwhile', async () => {
    const [source, target] = [await embedded(), await embedded()]
    await fill(source, 12)
    let n = 0
    const busy = withBuckets(source, (bucket) => ({
      async *changes(...asked: Parameters<BucketStore['changes']>) {
        yield* bucket.changes(...asked)
        await writeAll(bucket, [put(address('/late', `k${++n}`), version(1))])
      },
    }))
    await expect(migrateStore(busy, target, { resume: false })).rejects.toThrow(
      'the source was written to meanwhile',
    )
  })

  test('when the target holds a bucket that the source lacks', async () => {
    const [source, target] = [await embedded(), await embedded()]
    await target.create(LILY)
    await expect(migrateStore(source, target, { resume: true })).rejects.toThrow(
      'which the source does not have',
    )
  })
})

describe('kv4 migrate', () => {
  let kv4: Kv4
  beforeEach(async () => {
    kv4 = await Kv4.make()
  })
  afterEach(() => kv4.remove())

  /** A data directory as the server lays it out. */
  async function dataDirectory(many?: number): Promise<string> {
    const made = directory()
    const store = await embedded(join(made, 'store'))
    await fill(store, many)
    await store.close()
    stores.length = 0
    writeFileSync(join(made, 'pepper'), 'a pepper', { mode: 0o600 })
    return made
  }

  test('copies a data directory into another one, with its pepper', async () => {
    const from = await dataDirectory()
    const to = join(directory(), 'fresh')
    const first = await kv4.run(['migrate', '--from', from, '--to', to])
    expect(first.stderr).toContain(ELENA)
    expect(first.stdout).toMatch(/^2 buckets, \d+ versions, 1 current entries, \d+ samples: the same in /)
    expect(first.code).toBe(0)
    expect(readFileSync(join(to, 'pepper'), 'utf8')).toBe('a pepper')
    expect(statSync(join(to, 'pepper')).mode & 0o777).toBe(0o600)

    const second = await kv4.run(['migrate', '--from', from, '--to', to])
    expect([second.code, second.stdout]).toEqual([1, ''])
    expect(second.stderr).toContain('the target is not empty')
    expect((await kv4.run(['migrate', '--from', from, '--to', to, '--resume'])).code).toBe(0)
    await expectSame(await embedded(join(from, 'store')), await embedded(join(to, 'store')))
  })

  test('takes the CouchDB of the environment, so that no password is in its arguments', async () => {
    const server = await CouchServer.start({ login: 'admin:canary' })
    try {
      const env = { KV4_COUCHDB_URL: server.url }
      const from = await dataDirectory(12)
      const there = await kv4.run(['migrate', '--from', from, '--to', 'couchdb'], env)
      expect(there.code).toBe(0)
      expect(there.stderr).toContain(`KV4_DATA_DIR=${from}`)
      const to = directory()
      const back = await kv4.run(['migrate', '--from', 'couchdb', '--to', to], env)
      expect(back.code).toBe(0)
      for (const text of [there.stdout, there.stderr, back.stdout, back.stderr])
        expect(text).not.toContain('canary')
      await expectSame(await embedded(join(from, 'store')), await embedded(join(to, 'store')))
    } finally {
      for (const store of stores.splice(0)) await store.close()
      await server.close()
    }
  }, 60_000)

  test.each([
    [['migrate', '--from', 'here'], "required option '--to <store>'"],
    [['migrate', '--from', 'here', '--to', 'here'], 'the same store'],
    [['migrate', '--from', 'nowhere', '--to', 'there'], 'is not a data directory'],
    [['migrate', '--from', 'couchdb', '--to', 'there'], 'KV4_COUCHDB_URL, which is not set'],
  ])('%j is wrong usage', async (args, message) => {
    const { code, stderr } = await kv4.run(args)
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })

  test('a CouchDB that is away is said in one line', async () => {
    const { code, stderr } = await kv4.run([
      'migrate',
      '--from',
      'http://admin:canary@127.0.0.1:1',
      '--to',
      'there',
    ])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^kv4: .*127\.0\.0\.1:1/)
    expect(stderr).not.toContain('canary')
    expect(stderr).not.toMatch(/\n\s+at /)
  })
})

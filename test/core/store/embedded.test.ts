import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BucketName } from '../../../core'
import { FORMAT_VERSION, checkInvariants, openEmbeddedStore } from '../../../core/store/embedded'
import type { EmbeddedStore } from '../../../core/store/embedded'
import { StoreKey } from '../../../core/store/embedded/layout'
import type { BucketStore } from '../../../core/store/store'
import { storeContract } from './contract'
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
  store as writeAll,
  version,
} from './contract/writes'

function fatal(error: Error): never {
  throw error
}

let directory: string
let store: EmbeddedStore
const open = async () => (store = await openEmbeddedStore({ directory, onFatal: fatal }))

storeContract('embedded', {
  make() {
    directory = mkdtempSync(join(tmpdir(), 'kv4-embedded-'))
    return open()
  },
  async reopen() {
    await store.close()
    return open()
  },
  async dispose() {
    expect(checkInvariants(store)).toEqual([])
    await store.collector.idle()
    await store.close()
    rmSync(directory, { recursive: true })
  },
})

describe('the embedded store', () => {
  let place: string
  const opened: EmbeddedStore[] = []
  const openAt = async (directory: string) => {
    const another = await openEmbeddedStore({ directory, onFatal: fatal, heartbeatMs: 50 })
    opened.push(another)
    return another
  }

  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), 'kv4-embedded-'))
  })
  afterEach(async () => {
    for (const each of opened.splice(0)) await each.close()
    rmSync(place, { recursive: true })
  })

  test('refuses a directory that this process has open, and names it and the process', async () => {
    const first = await openAt(place)
    const refused = { name: 'DataDirectoryError', code: 'data_dir_in_use', directory: place }
    await expect(openAt(place)).rejects.toMatchObject(refused)
    await expect(openAt(place)).rejects.toThrow(`${place} is in use`)
    await expect(openAt(place)).rejects.toThrow(`process ${process.pid} has it open`)
    // By another name, too.
    const link = place + '-link'
    symlinkSync(place, link)
    await expect(openAt(link)).rejects.toMatchObject({ code: 'data_dir_in_use' })
    rmSync(link)
    await first.close()
    opened.splice(0)
    await openAt(place)
  })

  test('refuses a directory that another process has open, until that is killed', async () => {
    const source = `require('./core/store/embedded').openEmbeddedStore({ directory: ${JSON.stringify(place)}, onFatal() {} })
      .then(() => { process.stdout.write('open'); setInterval(() => {}, 1000) })`
    const child = spawn(process.execPath, ['-r', './scripts/typescript.js', '-e', source], {
      cwd: join(__dirname, '..', '..', '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'exit')
    await once(child.stdout, 'data')
    await expect(openAt(place)).rejects.toMatchObject({ code: 'data_dir_in_use' })
    await expect(openAt(place)).rejects.toThrow(`process ${child.pid} has it open`)
    child.kill('SIGKILL')
    await ended
    await openAt(place)
  })

  test('one of several that start at the same moment gets the directory', async () => {
    const all = await Promise.allSettled(Array.from({ length: 5 }, () => openAt(place)))
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('opens a directory whose path is longer than a socket path may be', async () => {
    const long = join(place, 'd'.repeat(100), 'with.dots.mdb')
    await openAt(long)
    await expect(openAt(long)).rejects.toMatchObject({ code: 'data_dir_in_use' })
  })

  test('refuses data of a newer format, and data that is not its own', async () => {
    const first = await openAt(place)
    await first.environment.write([[StoreKey.format, Buffer.from(String(FORMAT_VERSION + 1))]])
    await first.close()
    await expect(openAt(place)).rejects.toMatchObject({ code: 'data_dir_newer' })
    await expect(openAt(place)).rejects.toThrow(`format ${FORMAT_VERSION + 1}`)

    const other = join(place, 'other')
    const foreign = await openAt(other)
    await foreign.environment.write([
      [StoreKey.format, undefined],
      [Buffer.from('somebody'), Buffer.from('else')],
    ])
    await foreign.close()
    await expect(openAt(other)).rejects.toMatchObject({ code: 'data_dir_unreadable' })
    opened.splice(0)
  })

  test('refuses a gap in the numbers', async () => {
    const { bucket } = await tenant(await openAt(place))
    const at = address('/a', 'k')
    expect(await bucket.commit([put(at, version(2))])).toEqual(['conflict'])
    expect(await bucket.commit([put(at, version(1)), put(at, version(3))])).toEqual(['stored', 'conflict'])
  })

  test('rewriting a current entry does not grow the feed', async () => {
    const opened = await openAt(place)
    const { bucket } = await tenant(opened)
    const at = address('/hosts', 'node1', SUBS)
    for (let n = 1; n <= 50; n++) await writeAll(bucket, [replace(at, n - 1, version(n))])
    await writeAll(bucket, [replace(at, 50, deletion(51))])
    await writeAll(bucket, [replace(at, 0, version(52))])
    let told = 0
    for await (const { changes } of bucket.changes('', { live: false })) told += changes.length
    expect(told).toBe(1)
    expect(checkInvariants(opened)).toEqual([])
  })

  test('the deletion of a current entry is told for a week, and then forgotten by the next ones', async () => {
    const opened = await openAt(place)
    const { bucket } = await tenant(opened)
    const at = (i: number) => address('/hosts', `node${i}`, SUBS)
    const day = 24 * 3600 * 1000
    const cycle = async (i: number, time: number) => {
      await writeAll(bucket, [replace(at(i), 0, { ...version(1), at: time })])
      await writeAll(bucket, [replace(at(i), 1, { ...deletion(2), at: time })])
    }
    const beginning = await bucket.cursor()
    await writeAll(bucket, [put(address('/a', 'k'), version(1))])
    const early = await bucket.cursor()
    for (let i = 0; i < 1200; i++)
      await bucket.commit([
        replace(at(i), 0, { ...version(1), at: T0 }),
        replace(at(i), 1, { ...deletion(2), at: T0 }),
      ])
    const told = async (from: string): Promise<number> => {
      let count = 0
      for await (const { changes } of bucket.changes(from, { live: false }))
        count += changes.filter(({ kind }) => kind === 'current').length
      return count
    }
    await cycle(7, T0 + 6 * day)
    expect(await told(early)).toBe(1200)
    expect(checkInvariants(opened)).toEqual([])

    const late = await bucket.cursor()
    await cycle(2000, T0 + 8 * day)
    await cycle(2001, T0 + 8 * day)
    expect(checkInvariants(opened)).toEqual([])
    // Of the first 1,200 that of node7 was made anew.
    expect(await told('')).toBe(3)
    expect(await told(beginning)).toBe(3)
    expect(await told(late)).toBe(2)
    await expect(told(early)).rejects.toMatchObject({ code: 'bad_cursor' })
    const records = [...opened.environment.keys({ start: Buffer.from([1]), end: Buffer.from([2]) })]
    expect(records.length).toBeLessThan(30)
  })

  test('a seq is not given out twice after the last of the feed was pruned', async () => {
    const at = address('/a', 'k', STATS)
    const first = await openAt(place)
    const { bucket, name } = await tenant(first)
    await writeAll(bucket, [append(at, sample(T0, 1)), append(at, sample(T0 + 1, 1))])
    const cursor = await bucket.cursor()
    await bucket.pruneSamples(at, T0 + 10, 100)
    await first.close()
    opened.splice(0)
    const again = await (await openAt(place)).open(name)
    await writeAll(again, [append(at, sample(T0 + 20, 5))])
    const told: unknown[] = []
    for await (const { changes } of again.changes(cursor, { live: false })) told.push(...changes)
    expect(told).toEqual([{ kind: 'series', address: at, sample: sample(T0 + 20, 5) }])
  })

  test('a cursor of a bucket that was dropped is refused by the one that has its name', async () => {
    const opened = await openAt(place)
    const { bucket, name } = await tenant(opened)
    await writeAll(bucket, [put(address('/a', 'k'), version(1))])
    const cursor = await bucket.cursor()
    await opened.drop(name)
    await opened.create(name)
    const again = await opened.open(name)
    const reading = async () => {
      for await (const _ of again.changes(cursor, { live: false }));
    }
    await expect(reading()).rejects.toMatchObject({ code: 'bad_cursor' })
  })

  test('what a dropped bucket held is collected, at the next start if need be', async () => {
    const first = await openAt(place)
    const { bucket, name } = await tenant(first)
    const other = await tenant(first)
    const writes = Array.from({ length: 3000 }, (_, i) => put(address('/a', `k${i}`), version(1)))
    await writeAll(bucket, writes)
    await writeAll(other.bucket, writes.slice(0, 10))
    await first.drop(name)
    await first.close()
    opened.splice(0)
    const again = await openAt(place)
    await again.collector.idle()
    expect(checkInvariants(again)).toEqual([])
    const left = [...again.environment.keys({ start: Buffer.from([1]), end: Buffer.from([2]) })]
    // Version, feed entry and key row of ten keys, a path and a layer.
    expect(left).toHaveLength(32)
    expect([...again.environment.keys({ start: StoreKey.garbage, end: Buffer.from([0, 0x68]) })]).toEqual([])
  })

  test('what the engine must never send is refused alone', async () => {
    const opened = await openAt(place)
    const { bucket } = await tenant(opened)
    const at = address('/a', 'k')
    const good = bucket.commit([put(at, version(1))])
    const bad = [
      [put(at, version(Number.NaN))],
      [put(at, version(1.5))],
      [put(address('/a', 'l'), version(1, 'v', { exp: Infinity }))],
      [append(address('/a', 's', STATS), sample(T0, 1, 'x'.repeat(256)))],
      [append(address('/a', 's', STATS), sample(Number.NaN, 1))],
    ].map((writes) => expect(bucket.commit(writes)).rejects.toThrow(RangeError))
    expect(await good).toEqual(['stored'])
    await Promise.all(bad)
    await writeAll(bucket, [put(at, version(2))])
    expect(checkInvariants(opened)).toEqual([])
  })

  test('a closed store refuses everything', async () => {
    const opened = await openAt(place)
    const { bucket, name } = await tenant(opened)
    await opened.close()
    const refused = { code: 'store_unavailable' }
    await expect(opened.ping()).rejects.toMatchObject(refused)
    await expect(opened.open(name)).rejects.toMatchObject(refused)
    await expect(opened.create(name)).rejects.toMatchObject(refused)
    await expect(bucket.heads([address('/a', 'k')], 'versioned')).rejects.toMatchObject(refused)
    await expect(bucket.commit([put(address('/a', 'k'), version(1))])).rejects.toMatchObject(refused)
  })
})

describe('the invariant scan', () => {
  let place: string
  let damaged: EmbeddedStore
  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'kv4-embedded-'))
    damaged = await openEmbeddedStore({ directory: place, onFatal: fatal })
    const { bucket } = await tenant(damaged)
    const at = address('/a', 'k')
    await writeAll(bucket, [
      put(at, version(1)),
      put(at, version(2, 'v', { exp: T0 })),
      put(at, version(3), true),
    ])
    await writeAll(bucket, [
      append(address('/a', 's', STATS), sample(T0, 5)),
      replace(address('/a', 'c', SUBS), 0, version(1, 'v', { exp: T0 })),
    ])
  })
  afterAll(async () => {
    await damaged.close()
    rmSync(place, { recursive: true })
  })

  test('sees the loss of any one record', async () => {
    expect(checkInvariants(damaged)).toEqual([])
    const records = [...damaged.environment.range({ start: Buffer.from([1]), end: Buffer.from([2]) })]
    expect(records.length).toBeGreaterThan(25)
    for (const { key, value } of records) {
      await damaged.environment.write([[key, undefined]])
      const problems = checkInvariants(damaged)
      await damaged.environment.write([[key, value]])
      if (problems.length === 0) throw new Error(`the loss of ${key.toString('latin1')} is not seen`)
    }
    expect(checkInvariants(damaged)).toEqual([])
  })
})

let tenants = 0
async function tenant(of: EmbeddedStore): Promise<{ name: BucketName; bucket: BucketStore }> {
  const name = BucketName.of(`tenant${++tenants}`)
  await of.create(name)
  return { name, bucket: await of.open(name) }
}

import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { BucketName } from '../../../core'
import { FORMAT_VERSION, checkInvariants, openEmbeddedStore } from '../../../core/store/embedded'
import { Environment } from '../../../core/store/embedded/environment'
import { StoreKey } from '../../../core/store/embedded/layout'
import { LogFile } from '../../../core/store/embedded/log-file'
import type { Batch } from '../../../core/store/embedded/log-file'
import { LoggedEnvironment } from '../../../core/store/embedded/logged-environment'
import type { LoggedOptions } from '../../../core/store/embedded/logged-environment'
import { address, put, store as writeAll, version } from './contract/writes'

const LOGS = ['kv4.log-0', 'kv4.log-1']

function fatal(error: Error): never {
  throw error
}

let place: string
let copies = 0

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'kv4-log-'))
})
afterEach(() => rmSync(place, { recursive: true }))

/** The directory as a process that is killed now leaves it. */
function killed(directory: string): string {
  const copy = join(place, `killed${++copies}`)
  cpSync(directory, copy, { recursive: true, filter: (file) => !file.endsWith('.sock') })
  return copy
}

describe('the log of the embedded store', () => {
  const name = BucketName.of('tenant')
  const open = (directory: string) => openEmbeddedStore({ directory, onFatal: fatal })

  async function versionsAt(directory: string): Promise<number | undefined> {
    const store = await open(directory)
    try {
      expect(checkInvariants(store)).toEqual([])
      const bucket = await store.open(name)
      const [head] = await bucket.heads([address('/a', 'k')], 'versioned')
      return head?.n
    } finally {
      await store.close()
    }
  }

  test('carries what was acknowledged through a crash, before LMDB has it', async () => {
    const data = join(place, 'data')
    const store = await open(data)
    await store.create(name)
    const bucket = await store.open(name)
    for (let n = 1; n <= 5; n++) {
      await writeAll(bucket, [put(address('/a', 'k'), version(n))])
      expect(await versionsAt(killed(data))).toBe(n)
    }
    await store.close()
    const without = killed(data)
    for (const log of LOGS) rmSync(join(without, log))
    // Closing has brought everything to LMDB.
    expect(await versionsAt(without)).toBe(5)
  })

  test('a log whose data is older is refused, one whose data is newer is passed over', async () => {
    const data = join(place, 'data')
    let store = await open(data)
    await store.create(name)
    await store.close()
    const old = killed(data)
    for (let n = 1; n <= 3; n++) {
      store = await open(data)
      await writeAll(await store.open(name), [put(address('/a', 'k'), version(n))])
      await store.close()
    }
    const [first, last] = [killed(data), killed(data)]
    for (const log of LOGS) {
      // Only the last batch is left in the log: between it and the old data two are missing.
      const bytes = readFileSync(join(data, log))
      writeFileSync(join(old, log), bytes)
      rmSync(join(first, log))
    }
    await expect(open(old)).rejects.toMatchObject({
      code: 'data_dir_unreadable',
      message: expect.stringContaining('its log goes on at batch') as string,
    })
    expect(await versionsAt(first)).toBe(3)
    expect(await versionsAt(last)).toBe(3)
  })

  test('data of format 1, which had no log, is taken over', async () => {
    const data = join(place, 'data')
    const environment = new Environment(data)
    await environment.write([[StoreKey.format, Buffer.from('1')]])
    await environment.close()
    await (await open(data)).close()
    const after = new Environment(data)
    expect(after.get(StoreKey.format)?.toString()).toBe(String(FORMAT_VERSION))
    await after.close()
  })
})

describe('a file of the log', () => {
  const batch = (seq: number, value = 'v'.repeat(seq)): Batch => ({
    seq,
    writes: [
      [Buffer.from(`key${seq}`), Buffer.from(value)],
      [Buffer.from('gone'), undefined],
      [Buffer.from('empty'), Buffer.alloc(0)],
    ],
  })

  async function written(path: string, batches: readonly Batch[]): Promise<LogFile> {
    const file = await LogFile.open(path)
    for (const each of batches) await file.append(each)
    return file
  }

  async function readAt(path: string): Promise<Batch[]> {
    const file = await LogFile.open(path)
    try {
      return await file.read()
    } finally {
      await file.close()
    }
  }

  test('gives back what was written, also what is larger than the room it makes', async () => {
    const path = join(place, 'log')
    const batches = [batch(7), batch(8, 'x'.repeat(3_000_000)), batch(9)]
    await (await written(path, batches)).close()
    const texts = (of: readonly Batch[]) =>
      of.map(({ seq, writes }) => [seq, ...writes.flat().map((part) => part?.toString('latin1'))])
    // Compared as text: jest compares large buffers byte by byte.
    expect(texts(await readAt(path))).toEqual(texts(batches))
    expect(await readAt(join(place, 'new'))).toEqual([])
  })

  test('ends in front of a batch that is torn or spoilt at any byte', async () => {
    const path = join(place, 'log')
    const file = await written(path, [batch(1), batch(2)])
    const start = file.position
    await file.append(batch(3))
    const end = file.position
    await file.close()
    const whole = readFileSync(path)
    for (let at = start; at < end; at++) {
      const spoilt = Buffer.from(whole)
      spoilt[at]! ^= 0x10
      writeFileSync(path, spoilt)
      expect((await readAt(path)).map(({ seq }) => seq)).toEqual([1, 2])
      writeFileSync(path, whole.subarray(0, at))
      expect((await readAt(path)).map(({ seq }) => seq)).toEqual([1, 2])
    }
    writeFileSync(path, whole.subarray(0, end))
    expect(await readAt(path)).toHaveLength(3)
  })

  test('written anew from its start it tells nothing of what was there before', async () => {
    const path = join(place, 'log')
    const file = await written(
      path,
      [1, 2, 3, 4].map((seq) => batch(seq, 'same')),
    )
    file.rewind()
    await file.append(batch(9, 'same'))
    await file.append(batch(10, 'same'))
    await file.close()
    expect((await readAt(path)).map(({ seq }) => seq)).toEqual([9, 10])
  })
})

describe('the environment behind its log', () => {
  const openAt = async (directory: string, options: Partial<LoggedOptions> = {}) =>
    LoggedEnvironment.open(new Environment(directory), directory, {
      onFailure: fatal,
      stallMs: 10_000,
      ...options,
    })

  test('a write is on disk and in view before LMDB has it', async () => {
    const data = join(place, 'data')
    const logged = await openAt(data, { applyAfterMs: 1e9 })
    const key = Buffer.from('key')
    await logged.write([[key, Buffer.from('value')]])
    expect(logged.get(key)?.toString()).toBe('value')
    const copy = killed(data)
    const alone = new Environment(copy)
    expect(alone.get(key)).toBeUndefined()
    await alone.close()
    const after = await openAt(copy)
    expect(after.get(key)?.toString()).toBe('value')
    await after.close()
    await logged.close()
  })

  test('a log that is full goes on in the other file, and both stay small', async () => {
    const data = join(place, 'data')
    const turnAt = 20_000
    const logged = await openAt(data, { applyAt: 10, applyAfterMs: 1, turnAt })
    const value = Buffer.alloc(1000)
    for (let i = 0; i < 400; i++) {
      await logged.write([[Buffer.from(`key${i}`), value]])
      if (i % 50 !== 49) continue
      const after = await openAt(killed(data))
      expect([...after.keys({ start: Buffer.from('key'), end: Buffer.from('kez') })]).toHaveLength(i + 1)
      await after.close()
    }
    // Room is made 64 KiB at a time.
    for (const log of LOGS) expect(statSync(join(data, log)).size).toBeLessThan(turnAt + 150_000)
    await logged.close()
  }, 30_000)

  test('who writes faster than it is applied is slowed down', async () => {
    const logged = await openAt(place, { applyAt: 1e9, applyAfterMs: 1e9 })
    const value = Buffer.alloc(8 * 1024 * 1024)
    for (let i = 0; i < 12; i++) await logged.write([[Buffer.from(`key${i}`), value]])
    // What waited was applied in between, or the log could not have been begun anew.
    const logs = readdirSync(place).filter((name) => name.startsWith('kv4.log'))
    for (const log of logs) expect(statSync(join(place, log)).size).toBeLessThan(64 * 1024 * 1024)
    await logged.close()
  }, 30_000)

  test('reads as one ordered map does, whatever is applied', async () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 3, max: 5 }).map((bytes) => Buffer.from(bytes))
    const command = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant('put' as const), key, value: fc.nat(9) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), key }) },
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constantFrom('range' as const, 'keys' as const, 'rangeBackward' as const),
          key,
          end: key,
          limit: fc.option(
            fc.nat(4).map((n) => n + 1),
            { nil: undefined },
          ),
        }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('get' as const, 'first' as const), key }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('wait' as const, 'reopen' as const) }) },
    )
    let runs = 0
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
        const directory = join(place, `run${++runs}`)
        const options = { applyAt: 5, applyAfterMs: 5, turnAt: 200 }
        let logged = await openAt(directory, options)
        const model = new Map<string, number>()
        const hex = (at: Buffer) => at.toString('hex')
        const rows = () => [...model].sort(([a], [b]) => (a < b ? -1 : 1))
        try {
          for (const each of commands)
            switch (each.do) {
              case 'put':
                await logged.write([[each.key, Buffer.from([each.value])]])
                model.set(hex(each.key), each.value)
                break
              case 'remove':
                await logged.write([[each.key, undefined]])
                model.delete(hex(each.key))
                break
              case 'get':
                expect(logged.get(each.key)?.[0]).toBe(model.get(hex(each.key)))
                break
              case 'first': {
                // The number of the last batch is no record of ours.
                const found = logged.firstKeyFrom(Buffer.concat([Buffer.from([1]), each.key]))
                const [first] = rows().find(([at]) => at >= '01' + hex(each.key)) ?? []
                expect(found && hex(found)).toBe(first)
                break
              }
              case 'wait':
                await new Promise((resolve) => setTimeout(resolve, 10))
                break
              case 'reopen':
                await logged.close()
                logged = await openAt(directory, options)
                break
              default: {
                const [start, end] = [each.key, each.end].sort((a, b) => a.compare(b)) as [Buffer, Buffer]
                if (start.equals(end) || start[0] === 0) break
                const within = rows().filter(([at]) => at >= hex(start) && at < hex(end))
                if (each.do === 'rangeBackward') within.reverse()
                const limited = within.slice(0, each.limit)
                const range = { start, end, ...(each.limit === undefined ? {} : { limit: each.limit }) }
                if (each.do === 'keys')
                  expect([...logged.keys(range)].map(hex)).toEqual(limited.map(([at]) => at))
                else
                  expect([...logged[each.do](range)].map((row) => [hex(row.key), row.value[0]])).toEqual(
                    limited,
                  )
              }
            }
        } finally {
          await logged.close()
          rmSync(directory, { recursive: true })
        }
      }),
      { numRuns: 60, endOnFailure: true },
    )
  }, 60_000)
})

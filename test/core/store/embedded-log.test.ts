import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { BucketName } from '../../../core'
import { FORMAT_VERSION, checkInvariants, openEmbeddedStore } from '../../../core/store/embedded'
import { Environment } from '../../../core/store/embedded/environment'
import type { Writes } from '../../../core/store/embedded/environment'
import { StoreKey } from '../../../core/store/embedded/layout'
import { LogFile } from '../../../core/store/embedded/log-file'
import type { Batch, LogContent } from '../../../core/store/embedded/log-file'
import { LoggedEnvironment } from '../../../core/store/embedded/logged-environment'
import type { LogPace } from '../../../core/store/embedded/logged-environment'
import { LOG_FILES } from '../../../core/store/embedded/write-ahead-log'
import { address, put, store as writeAll, version } from './contract/writes'

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
  })

  test('a log that does not go on where its data end is refused, as is one that is not there', async () => {
    const data = join(place, 'data')
    const write = async (directory: string, n: number, value = 'v') => {
      const store = await open(directory)
      await writeAll(await store.open(name), [put(address('/a', 'k'), version(n, value))])
      await store.close()
    }
    const store = await open(data)
    await store.create(name)
    await store.close()
    const old = killed(data)
    await write(data, 1)
    const other = killed(data)
    const refused = (detail: string) => ({
      code: 'data_dir_unreadable',
      message: expect.stringContaining(detail) as string,
    })
    const logsInto = (directory: string) => {
      for (const log of LOG_FILES) writeFileSync(join(directory, log), readFileSync(join(data, log)))
    }

    // Of a restored LMDB file the log brings forward what it has …
    logsInto(old)
    expect(await versionsAt(old)).toBe(1)
    // … which here is all but one batch.
    await write(data, 2)
    await write(data, 3)
    const gap = killed(old)
    logsInto(gap)
    await expect(open(gap)).rejects.toMatchObject(refused('does not follow'))
    // As many batches, but others.
    await write(other, 2, 'other')
    await write(data, 4)
    logsInto(other)
    await expect(open(other)).rejects.toMatchObject(refused('does not follow'))

    const without = killed(data)
    rmSync(join(without, LOG_FILES[1]))
    await expect(open(without)).rejects.toMatchObject(refused(`its log ${LOG_FILES[1]} is missing`))
    expect(await versionsAt(data)).toBe(4)
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
    let crc = 0
    for (const each of batches) crc = await file.append(each, crc)
    return file
  }

  async function readAt(path: string): Promise<LogContent> {
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
    expect(texts((await readAt(path)).batches)).toEqual(texts(batches))
    expect(await readAt(join(place, 'new'))).toEqual({ batches: [], stray: 0 })
  })

  const seqs = async (path: string) => (await readAt(path)).batches.map(({ seq }) => seq)

  test('ends in front of a batch that is torn or spoilt at any byte', async () => {
    const path = join(place, 'log')
    const file = await written(path, [batch(1), batch(2)])
    const start = file.position
    await file.append(batch(3), (await file.read()).batches[1]!.crc)
    const end = file.position
    await file.close()
    const whole = readFileSync(path)
    for (let at = start; at < end; at++) {
      const spoilt = Buffer.from(whole)
      spoilt[at]! ^= 0x10
      writeFileSync(path, spoilt)
      expect(await seqs(path)).toEqual([1, 2])
      writeFileSync(path, whole.subarray(0, at))
      expect(await seqs(path)).toEqual([1, 2])
    }
    writeFileSync(path, whole.subarray(0, end))
    expect(await seqs(path)).toEqual([1, 2, 3])
  })

  test('written anew from its start it tells nothing of what was there before', async () => {
    const path = join(place, 'log')
    // Of one length, so that the third of the old ones stands right behind the two new ones.
    const old = [11, 12, 13, 14].map((seq) => batch(seq, 'same'))
    const file = await written(path, old)
    await file.rewind()
    await file.append(batch(16, 'same'), await file.append(batch(15, 'same'), 0))
    await file.close()
    const { batches, stray } = await readAt(path)
    expect(batches.map(({ seq }) => seq)).toEqual([15, 16])
    expect(stray).toBe(14)
  })

  test('does not go on with a batch that was written behind another one', async () => {
    const path = join(place, 'log')
    const file = await written(path, [batch(1)])
    await file.append(batch(2), 1234)
    await file.close()
    expect(await seqs(path)).toEqual([1])
  })
})

describe('the environment behind its log', () => {
  const openAt = async (
    directory: string,
    pace: LogPace = {},
    environment = new Environment(directory),
    onFailure: (error: Error) => void = fatal,
  ) => LoggedEnvironment.open(environment, directory, { onFailure, stallMs: 10_000, pace })

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
    for (let i = 0; i < 3000; i++) {
      await logged.write([[Buffer.from(`key${i}`), value]])
      if (i % 300 !== 299) continue
      const after = await openAt(killed(data))
      expect([...after.keys({ start: Buffer.from('key'), end: Buffer.from('kez') })]).toHaveLength(i + 1)
      await after.close()
    }
    // Room is made 64 KiB at a time.
    for (const log of LOG_FILES) expect(statSync(join(data, log)).size).toBeLessThan(1_000_000)
    await logged.close()
  }, 30_000)

  test('who writes faster than it is applied is slowed down', async () => {
    const logged = await openAt(place, { applyAt: 1e9, applyAfterMs: 1e9 })
    const value = Buffer.alloc(8 * 1024 * 1024)
    for (let i = 0; i < 12; i++) await logged.write([[Buffer.from(`key${i}`), value]])
    // What waited was applied in between, or the log could not have been begun anew.
    for (const log of LOG_FILES) expect(statSync(join(place, log)).size).toBeLessThan(64 * 1024 * 1024)
    await logged.close()
  }, 30_000)

  /** Lets transactions through one by one. */
  class Gated extends Environment {
    #open: (() => void) | undefined
    failing: Error | undefined
    written = 0

    override async write(writes: Writes): Promise<void> {
      await new Promise<void>((resolve) => (this.#open = resolve))
      if (this.failing !== undefined) throw this.failing
      this.written++
      await super.write(writes)
    }

    async pass(): Promise<void> {
      while (!this.passed()) await new Promise((resolve) => setTimeout(resolve, 1))
    }

    /** Lets through who waits. false: nobody does. */
    passed(): boolean {
      if (this.#open === undefined) return false
      this.#open()
      this.#open = undefined
      return true
    }
  }

  const keysAt = (logged: LoggedEnvironment) => [
    ...logged.keys({ start: Buffer.from('key'), end: Buffer.from('kez') }),
  ]

  test('no file is begun anew while LMDB does not have what it holds', async () => {
    const data = join(place, 'data')
    const gated = new Gated(data)
    const logged = await openAt(data, { applyAt: 1, turnAt: 2000 }, gated)
    for (let i = 0; i < 100; i++) await logged.write([[Buffer.from(`key${i}`), Buffer.alloc(200)]])
    expect(gated.written).toBe(0)
    const after = await openAt(killed(data), { applyAt: 7 })
    expect(keysAt(after)).toHaveLength(100)
    await after.close()
    const closing = logged.close()
    const passing = setInterval(() => gated.passed(), 1)
    await closing
    clearInterval(passing)
  })

  test('what comes while LMDB is busy is brought to it without another write', async () => {
    const data = join(place, 'data')
    const gated = new Gated(data)
    const logged = await openAt(data, { applyAfterMs: 20 }, gated)
    await logged.write([[Buffer.from('key1'), Buffer.from('v')]])
    await new Promise((resolve) => setTimeout(resolve, 60))
    await logged.write([[Buffer.from('key2'), Buffer.from('v')]])
    await new Promise((resolve) => setTimeout(resolve, 60))
    await gated.pass()
    await gated.pass()
    while (gated.written < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    while (gated.get(Buffer.from('key2')) === undefined)
      await new Promise((resolve) => setTimeout(resolve, 5))
    await logged.close()
  })

  test('after LMDB has failed nothing is acknowledged, nothing goes to it, and what was is in the log', async () => {
    const data = join(place, 'data')
    const gated = new Gated(data)
    const told: string[] = []
    const logged = await openAt(data, { applyAt: 1 }, gated, ({ message }) => told.push(message))
    await logged.write([[Buffer.from('key1'), Buffer.from('v')]])
    gated.failing = new Error('no space')
    const meanwhile = logged.write([[Buffer.from('key2'), Buffer.from('v')]])
    await gated.pass()
    await meanwhile.catch((error: Error) => expect(error.message).toBe('no space'))
    while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    await expect(logged.write([[Buffer.from('key3'), Buffer.from('v')]])).rejects.toThrow('no space')
    await logged.close()
    expect(told).toEqual(['no space'])
    expect(gated.written).toBe(0)
    const after = await openAt(data)
    expect(keysAt(after).map(String)).toEqual(expect.arrayContaining(['key1']))
    expect(keysAt(after).map(String)).not.toContain('key3')
    await after.close()
  })

  test('a damaged batch with others behind it is no torn end', async () => {
    const data = join(place, 'data')
    const logged = await openAt(data, { applyAfterMs: 1e9 })
    for (let i = 0; i < 3; i++) await logged.write([[Buffer.from(`key${i}`), Buffer.from('value')]])
    const copy = killed(data)
    await logged.close()
    const path = join(copy, LOG_FILES[0])
    const bytes = readFileSync(path)
    bytes[bytes.indexOf('key1')]! ^= 1
    writeFileSync(path, bytes)
    await expect(openAt(copy)).rejects.toThrow('its log is damaged behind batch 1: there is a batch 3')
  })

  test('a record that LMDB would refuse does not come into the log', async () => {
    const data = join(place, 'data')
    const logged = await openAt(data)
    await expect(logged.write([[Buffer.alloc(1979, 1), Buffer.from('v')]])).rejects.toThrow(RangeError)
    await logged.close()
    const after = await openAt(data)
    await after.write([[Buffer.alloc(1978, 1), Buffer.from('v')]])
    await after.close()
    await (await openAt(data)).close()
  })

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

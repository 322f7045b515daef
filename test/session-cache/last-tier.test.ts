import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SessionCacheManager, startTier } from '../../session-cache'
import type { RunningTier } from '../../session-cache'
import { LastDownstream } from '../../session-cache/last-downstream'
import type { LastTier } from '../../session-cache/last-tier'
import { Kv4LastTier } from '../../session-cache/last-tier'
import type { Session } from '../../session-cache'
import type { Client } from '../client'
import { until } from '../eventually'
import type { Platform } from '../platform'
import { startPlatform } from '../platform'
import { endProcesses, startTierProcess } from './processes'
import { removeTableRooms, tableRoom } from './table-room'

let platform: Platform
let secret: string
let elena: Client
const closers: (() => Promise<void>)[] = []

beforeAll(async () => {
  platform = await startPlatform()
  const made = await platform.sys.ok<{ secret: string }>(
    platform.sys.put('/_acc/accounts', { k: 'elena', v: { email: 'elena@example.com' } }),
  )
  secret = made.secret
  elena = platform.as('elena', secret)
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  removeTableRooms()
})
afterAll(() => platform.close())

const kv4 = () => ({ url: platform.url, user: 'elena', secret, negative_ms: 300 })
const tier = () => new Kv4LastTier({ ...kv4(), timeout_ms: 3000 })

function manager(lru: object, line?: object): SessionCacheManager {
  const made = new SessionCacheManager({ manage_section: true, ...lru }, line as never)
  closers.push(() => made.close())
  return made
}

describe('KV4 as the last tier', () => {
  test('keeps a session with what is left of its life, finds it, forgets it', async () => {
    const last = tier()
    const exp = Date.now() + 60_000
    const session: Session = { key: 'k/1?&ü', value: '{"a":"}{"}', at: 5, exp }
    await last.keep(session)
    expect(await last.find(session.key)).toEqual(session)
    await last.keep({ ...session, value: null })
    expect(await last.find(session.key)).toBeUndefined()
    expect((await elena.get('/_sess/session-cache?depth=1')).body).toMatchObject({ v: [] })
    for (const odd of [
      'control \n character',
      'a/b/../c',
      '.',
      '..',
      '%2F',
      'ü'.repeat(256),
      '\ud800',
      'a b+c',
    ]) {
      await last.keep({ key: odd, value: 'v of ' + odd.length, at: 1, exp: 0 })
      expect(await last.find(odd)).toMatchObject({ key: odd, value: 'v of ' + odd.length })
    }
    // What has no end gets none from an older copy that had one.
    await last.keep({ key: 'for good', value: 'v', at: 1, exp: Date.now() + 800 })
    await last.keep({ key: 'for good', value: 'w', at: 2, exp: 0 })
    await last.keep({ key: 'short', value: 'v', at: 1, exp: Date.now() + 800 })
    expect(await last.find('short')).toBeDefined()
    await new Promise((resolve) => setTimeout(resolve, 1300))
    expect(await tier().find('short')).toBeUndefined()
    expect(await tier().find('for good')).toMatchObject({ value: 'w', exp: 0 })
    expect((await elena.get('/_sess/session-cache/short?k=session')).status).toBe(404)
  })

  test('is asked once by many who look at the same time, and not again for a while', async () => {
    const real = globalThis.fetch
    let calls = 0
    globalThis.fetch = (...args) => {
      calls++
      return real(...args)
    }
    try {
      const last = tier()
      await Promise.all(Array.from({ length: 50 }, () => last.find('nobody')))
      await last.find('nobody')
      expect(calls).toBe(1)
      await new Promise((resolve) => setTimeout(resolve, 350))
      await last.find('nobody')
      expect(calls).toBe(2)
    } finally {
      globalThis.fetch = real
    }
  })

  test('does not believe an answer that what was kept meanwhile has made old', async () => {
    const real = globalThis.fetch
    let hold: Promise<void> = Promise.resolve()
    globalThis.fetch = async (...args) => {
      const response = await real(...args)
      if (args[1]?.method === 'GET') await hold
      return response
    }
    try {
      const last = tier()
      let release: () => void = () => undefined
      hold = new Promise((resolve) => (release = resolve))
      const looking = last.find('crossing')
      await new Promise((resolve) => setTimeout(resolve, 100))
      const session = { key: 'crossing', value: 'v', at: 1, exp: 0 }
      await last.keep(session)
      release()
      expect(await looking).toBeUndefined()
      expect(await last.find('crossing')).toEqual(session)
    } finally {
      globalThis.fetch = real
    }
  })

  test('refuses a wrong secret with a clear error, and never says it', async () => {
    const last = new Kv4LastTier({ ...kv4(), secret: 'a-wrong-secret-of-elena', timeout_ms: 3000 })
    await expect(last.find('k')).rejects.toThrow(/401 unauthorized/)
    await expect(last.find('k')).rejects.not.toThrow(/a-wrong-secret/)
  })

  test('stands behind one box alone', async () => {
    const directory = tableRoom()
    const box = manager({ kv4: kv4(), cache: { directory, el_count: 10 } })
    for (let i = 0; i < 30; i++) await box.set('alone-' + i, 'value ' + i)
    for (let i = 0; i < 30; i++)
      await until(async () => (await box.get('alone-' + i)) === 'value ' + i, `alone-${i} comes back`)
    await box.destroy('alone-0')
    expect(await box.get('alone-0')).toBe(false)
    await until(
      async () => (await elena.get('/_sess/session-cache/alone-0?k=session')).status === 404,
      'it is gone in KV4 too',
    )
  })

  test('stands behind a relay: what leaves it comes back, also after all caches are gone', async () => {
    const start = async (room: string): Promise<RunningTier> => {
      const file = join(room, 'relay.conf')
      writeFileSync(
        file,
        JSON.stringify({
          edge_supported_relay: true,
          port: 0,
          address: '127.0.0.1',
          kv4: kv4(),
          path_types: { auths: { cache: { directory: room, el_count: 10 } } },
        }),
      )
      const relay = await startTier(file, () => undefined)
      closers.push(() => relay.close())
      return relay
    }
    const line = (relay: RunningTier) => ({ auth_path: 'auths', address: '127.0.0.1', port: relay.port })
    const room = tableRoom()
    const box = manager({ token_path: 'a', cache: { directory: room, el_count: 5 } }, line(await start(room)))
    for (let i = 0; i < 40; i++) await box.set('far-' + i, 'value ' + i)
    for (let i = 0; i < 40; i++)
      await until(async () => (await box.get('far-' + i)) === 'value ' + i, `far-${i} comes back`)

    const fresh = tableRoom()
    const other = manager({ token_path: 'b', cache: { directory: fresh } }, line(await start(fresh)))
    await until(async () => (await other.get('far-7')) === 'value 7', 'another site finds it')
    expect(await other.get('far-400')).toBe(false)
  })
})

describe('KV4 behind a relief server or a relay only', () => {
  afterEach(() => endProcesses())
  const inKv4 = async (key: string) => (await elena.get(`/_sess/session-cache/${key}?k=session`)).status

  test('takes what the sibling of the relay has nobody for, and what comes while there is no sibling', async () => {
    const room = tableRoom()
    const cache = { directory: room, token_path: './relay', el_count: 5 }
    const sibling = join(room, 'sibling.conf')
    writeFileSync(sibling, JSON.stringify({ half_edge: true, port: 0, address: '127.0.0.1', cache }))
    const relay = startTierProcess(room, 'relay.conf', {
      edge_supported_relay: true,
      port: 0,
      address: '127.0.0.1',
      kv4: kv4(),
      path_types: {
        auths: { relay: { proc_name: ['kv4', './sibling.conf'] }, cache: { ...cache, am_initializer: true } },
      },
    })
    const { pid } = await relay.said('listens', { tier: 'sibling' })
    const { port } = await relay.said('listens', { tier: 'relay' })
    const line = { auth_path: 'auths', address: '127.0.0.1', port }
    const box = manager({ token_path: 'a', cache: { directory: room, el_count: 5 } }, line)
    for (let i = 0; i < 20; i++) await box.set('nobody-' + i, 'value ' + i)
    for (let i = 0; i < 10; i++)
      await until(async () => (await inKv4('nobody-' + i)) === 200, `nobody-${i} is in KV4`)
    // It cannot be started again.
    rmSync(sibling)
    process.kill(pid as number, 'SIGKILL')
    await relay.said('the sibling ended and is started again')
    for (let i = 0; i < 20; i++) await box.set('later-' + i, 'value ' + i)
    for (let i = 0; i < 10; i++)
      await until(async () => (await inKv4('later-' + i)) === 200, `later-${i} is in KV4`)
  })

  test('takes what that server has no room for, and is asked and emptied through it', async () => {
    const room = tableRoom()
    const cache = { directory: room, token_path: './relay', el_count: 5 }
    writeFileSync(
      join(room, 'sibling.conf'),
      JSON.stringify({ half_edge: true, port: 0, address: '127.0.0.1', cache }),
    )
    const relay = startTierProcess(room, 'relay.conf', {
      edge_supported_relay: true,
      port: 0,
      address: '127.0.0.1',
      path_types: {
        auths: { relay: { proc_name: ['kv4', './sibling.conf'] }, cache: { ...cache, am_initializer: true } },
      },
    })
    const { port: back } = await relay.said('listens', { tier: 'sibling' })
    const { port } = await relay.said('listens', { tier: 'relay' })
    const relief = startTierProcess(room, 'relief.conf', {
      full_edge: true,
      kv4: kv4(),
      lru: { cache: { directory: room, token_path: './relief', el_count: 5 } },
      message_relay: { address: '127.0.0.1', port: back, name: 'one' },
    })
    await relief.said('connected')
    const box = manager(
      { token_path: 'a', cache: { directory: room, el_count: 5 } },
      { auth_path: 'auths', address: '127.0.0.1', port },
    )
    for (let i = 0; i < 40; i++) await box.set('deep-' + i, 'value ' + i)
    for (let i = 0; i < 40; i++)
      await until(async () => (await box.get('deep-' + i)) === 'value ' + i, `deep-${i} comes back`)
    expect(await inKv4('deep-3')).toBe(200)
    await box.destroy('deep-3')
    await until(async () => (await inKv4('deep-3')) === 404, 'it is gone in KV4 too')
    expect(await box.get('deep-3')).toBe(false)
  })
})

describe('what leaves the last cache', () => {
  const session = (key: string, at = 1): Session => ({ key, value: 'v' + at, at, exp: 0 })

  test('is tried again, is found meanwhile, and the newer one wins', async () => {
    const kept: Session[] = []
    let fails = 2
    const flaky: LastTier = {
      keep: async (each) => {
        if (fails-- > 0) throw new Error('not now')
        kept.push(each)
      },
      find: async () => undefined,
      remove: async () => undefined,
    }
    const downstream = new LastDownstream(flaky, () => undefined)
    downstream.out([session('a')])
    expect(await downstream.find('a')).toMatchObject({ value: 'v1' })
    downstream.out([session('a', 2)])
    downstream.out([session('a', 1)])
    await until(async () => kept.length > 0, 'it is kept')
    await downstream.close()
    expect(kept).toEqual([session('a', 2)])
  })

  test('is given up when KV4 is away for long, with a word in the log', async () => {
    const said: string[] = []
    const down: LastTier = {
      keep: () => Promise.reject(new Error('down')),
      find: () => Promise.reject(new Error('down')),
      remove: () => Promise.resolve(),
    }
    const downstream = new LastDownstream(down, (_, message) => said.push(message))
    downstream.out([session('a')])
    await downstream.close()
    expect(said).toContain('KV4 did not take a session')
    expect(await downstream.find('a')).toBeUndefined()
    expect(said).toContain('KV4 could not be asked')
  })
})

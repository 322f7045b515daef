import { setTimeout as wait } from 'node:timers/promises'
import { Kv4Error } from '../../core'
import { Registry } from '../../services/registry/registry'
import { type Platform, startPlatform } from '../platform'
import type { Client } from '../client'
import { eventually, until } from '../eventually'
import { Kv4 } from './kv4'
import { openRelay } from './relay'

let platform: Platform
let kv4: Kv4
let env: Record<string, string>
let elena: Client

beforeAll(async () => {
  platform = await startPlatform()
  kv4 = await Kv4.make()
  const { body } = await platform.sys.put<{ secret: string }>('/_acc/accounts', {
    k: 'elena',
    v: { email: 'elena@example.com' },
  })
  elena = platform.as('elena', body.v.secret)
  env = { KV4_URL: platform.url, KV4_USER: `elena:${body.v.secret}` }
})
afterAll(async () => {
  await kv4?.remove()
  await platform?.close()
})

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await kv4.run(args, env)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return stdout
}

test('services and sessions: a table for people, JSON for programs', async () => {
  await elena.put('/_reg/services', {
    k: 'web-1',
    v: { heartbeat_timeout: 60, tags: ['web'], metadata: { dc: 'dfw' } },
  })
  await elena.put('/_reg/services', { k: 'db-1', v: { heartbeat_timeout: 30 } })
  const session = await elena.ok(
    elena.put<{ id: string }>('/_reg/sessions', { v: { heartbeat_timeout: 60 } }),
  )
  await elena.put('/_reg/services', { k: 'child', v: { session_id: session.id } })
  const lines = (await ok('services')).trimEnd().split('\n')
  expect(lines[0]).toMatch(/^ID +SESSION +TIMEOUT +LAST SEEN +TAGS +METADATA$/)
  expect(lines.slice(1).map((line) => line.split(/ +/)[0])).toEqual(['child', 'db-1', 'web-1'])
  expect(lines[3]).toMatch(/^web-1 +- +60 s +- +web +dc=dfw$/)
  expect(JSON.parse(await ok('services', '--tag', 'web', '--json'))).toMatchObject([
    { id: 'web-1', tags: ['web'] },
  ])
  expect(await ok('sessions')).toMatch(new RegExp(`\n${session.id} +60 s +- +child\n$`))
  expect(JSON.parse(await ok('sessions', '--json'))).toEqual([
    {
      session: { id: session.id, heartbeat_timeout: 60, last_seen: null, metadata: {} },
      services: [{ id: 'child', session_id: session.id, tags: [], metadata: {} }],
    },
  ])
})

test('conf sets, gets, lists, remembers, removes', async () => {
  await ok('conf', 'set', '/production/cassandra/host', '10.0.0.1')
  await ok('conf', 'set', '/production/cassandra/host', '10.0.0.2')
  await ok('conf', 'set', 'bare', 'x\u001b[31m')
  expect(await ok('conf', 'get', '/production/cassandra/host')).toBe('10.0.0.2\n')
  expect(await ok('conf', 'list', '/production')).toMatch(
    /^ID +VALUE\n\/production\/cassandra\/host +10\.0\.0\.2\n$/,
  )
  // What somebody wrote does not paint the terminal of another.
  expect(await ok('conf')).not.toContain('\u001b')
  await ok('conf', 'remove', '/production/cassandra/host')
  expect(await ok('conf', 'history', '/production/cassandra/host')).toMatch(
    /elena +\(removed\)\n.*elena +10\.0\.0\.2\n.*elena +10\.0\.0\.1\n$/,
  )
  const { code, stderr } = await kv4.run(['conf', 'get', 'nothing'], env)
  expect([code, stderr]).toEqual([1, expect.stringContaining('kv4: not_found')])
})

test('conf as JSON: what was set, what it is, was at an instant, and has been', async () => {
  const id = '/json/port'
  const set = async (value: string) => JSON.parse(await ok('conf', 'set', id, value, '--json')) as unknown
  expect(await set('1')).toEqual({ id, value: '1' })
  const between = new Date(Date.now() + 1).toISOString()
  await wait(5)
  expect(await set('2')).toEqual({ id, value: '2' })
  expect(await ok('conf', 'get', id, '--json')).toBe('"2"\n')
  expect(await ok('conf', 'get', id, '--at', between)).toBe('1\n')
  await ok('conf', 'remove', id)
  const rows = JSON.parse(await ok('conf', 'history', id, '--json')) as [number, string, string | null][]
  expect(rows.map(([, by, value]) => [by, value])).toEqual([
    ['elena', null],
    ['elena', '2'],
    ['elena', '1'],
  ])
  for (const [at] of rows) expect(Math.abs(at - Date.now() / 1000)).toBeLessThan(60)
})

test('conf takes each id that it lists', async () => {
  const ids = ['/name', '/name//with/slashes', 'name']
  for (const id of ids) await elena.ok(elena.put('/_conf', { k: id, v: `value of ${id}` }))
  const listed = JSON.parse(await ok('conf', '--json')) as { id: string }[]
  expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining(ids))
  for (const id of ids) expect(await ok('conf', 'get', id)).toBe(`value of ${id}\n`)
  await ok('conf', 'set', '/name', 'new')
  await ok('conf', 'remove', '/name//with/slashes')
  expect(JSON.parse(await ok('conf', '--json'))).toEqual(
    expect.arrayContaining([
      { id: '/name', value: 'new' },
      { id: 'name', value: 'value of name' },
    ]),
  )
})

test('events, and events that go on', async () => {
  const all = (await ok('events', '--json'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { id: string; type: string })
  expect(all.length).toBeGreaterThan(5)
  expect(await ok('events', '--type', 'service.join')).toMatch(/^\S+Z {2}service\.join +web-1\n/)
  const running = kv4.start(['events', '--follow', '--after', all.at(-1)!.id], env)
  await wait(1_500)
  await elena.put('/_conf', { k: 'news', v: 'one' })
  await eventually(() => expect(running.stdout()).toContain('news: (none) → one'))
  running.child.kill('SIGTERM')
  await running.ended
})

test('events that go on wait for the next one, however short a wait for an answer is', async () => {
  const last = (await ok('events', '--json')).trimEnd().split('\n').at(-1)!
  const { id } = JSON.parse(last) as { id: string }
  const running = kv4.start(['events', '--follow', '--after', id, '--timeout', '0.5'], env)
  await wait(5_000)
  await elena.put('/_conf', { k: 'patient', v: 'one' })
  await wait(1_000)
  expect(running.stdout()).toContain('patient: (none) → one')
  running.child.kill('SIGTERM')
  await running.ended
}, 15_000)

test('events that go on come back by themselves, and miss and double nothing', async () => {
  const relay = await openRelay(platform.url)
  const { events } = Registry.of(platform.context)
  const put = (v: string) => elena.ok(elena.put('/_conf', { k: 'followed', v }))
  await put('before')
  const last = (await ok('events', '--json')).trimEnd().split('\n').at(-1)!
  const { id } = JSON.parse(last) as { id: string }
  const args = ['events', '--follow', '--json', '--after', id, '--type', 'configuration_value.update']
  const running = kv4.start(args, { ...env, KV4_URL: relay.url })
  const values = () =>
    running
      .stdout()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { payload: { new_value: string } }).payload.new_value)
  try {
    await put('one')
    await eventually(() => expect(values()).toEqual(['one']))
    const polls = jest.spyOn(events, 'await')
    await put('begin')
    // It has to be cut while a poll waits.
    const waits = () => {
      const poll = polls.mock.results.at(-1)?.value as Promise<unknown> | undefined
      return Promise.race([poll?.then(() => false), wait(200, true)])
    }
    await until(async () => values().length === 2 && (await waits()))
    relay.cut()
    await put('two')
    await eventually(() => expect(values()).toEqual(['one', 'begin', 'two']))
    expect(running.stderr()).toMatch(/^kv4: cannot connect to \S+: .*; again in 1 s\n$/)
    // A store that is away passes, too.
    await until(waits)
    polls.mockRejectedValueOnce(new Kv4Error('store_unavailable'))
    await put('three')
    await put('four')
    await eventually(() => expect(values()).toEqual(['one', 'begin', 'two', 'three', 'four']))
    expect(running.stderr()).toMatch(/\nkv4: store_unavailable: .*\n.*\nkv4: again in 1 s\n$/)
    // What does not pass ends it.
    await until(waits)
    polls.mockRejectedValueOnce(new Kv4Error('forbidden'))
    await put('five')
    const { code, stderr } = await running.ended
    expect([code, stderr]).toEqual([1, expect.stringContaining('kv4: forbidden: ')])
    expect(values().at(-1)).toBe('five')
  } finally {
    jest.restoreAllMocks()
    running.child.kill('SIGKILL')
    relay.close()
  }
}, 60_000)

test('events that go on end when nobody reads them any more', async () => {
  const running = kv4.start(['events', '--follow'], env)
  await new Promise((resolve) => running.child.stdout!.once('data', resolve))
  running.child.stdout!.destroy()
  await elena.put('/_conf', { k: 'unread', v: 'one' })
  const { code, stderr } = await running.ended
  expect([code, stderr]).toEqual([141, ''])
}, 15_000)

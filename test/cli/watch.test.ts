import { startPlatform, type Platform } from '../platform'
import type { Client } from '../client'
import { Kv4, type Running } from './kv4'
import { openRelay } from './relay'

let platform: Platform
let kv4: Kv4
let elena: Client
let env: Record<string, string>

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

const lines = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)

async function printed(running: Running, count: number): Promise<void> {
  const deadline = Date.now() + 15_000
  while (lines(running.stdout()).length < count) {
    if (Date.now() > deadline) throw new Error(`${running.stdout()}\n${running.stderr()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('prints a line for each change, from a cursor on, and ends after so many', async () => {
  for (let i = 0; i < 3; i++) await elena.post('/_data/a/b', { k: 'x', v: i })
  const { code, stdout } = await kv4.run(['watch', '/_data/a', '--since', '0', '--count', '3', '--prev'], env)
  expect(code).toBe(0)
  const all = lines(stdout)
  expect(all.map(({ type, path, k, v }) => [type, path, k, v])).toEqual([
    ['create', '/a/b', 'x', 0],
    ['update', '/a/b', 'x', 1],
    ['update', '/a/b', 'x', 2],
  ])
  expect(all[1]).toMatchObject({ prev: { v: 0 } })
  const rest = await kv4.run(
    ['watch', '/_data/a/b', '-q', 'k=x', '--since', String(all[0]!['cursor']), '--count', '2'],
    env,
  )
  expect(lines(rest.stdout).map(({ v }) => v)).toEqual([1, 2])
})

test('comes back by itself when the connection is cut, and misses nothing', async () => {
  const relay = await openRelay(platform.url)
  const watching = kv4.start(['watch', '/_data/cut', '--since', '0', '--count', '3'], {
    ...env,
    KV4_URL: relay.url,
  })
  try {
    await elena.post('/_data/cut', { k: 'x', v: 1 })
    await printed(watching, 1)
    relay.cut()
    await elena.post('/_data/cut', { k: 'x', v: 2 })
    await printed(watching, 2)
    await elena.post('/_data/cut', { k: 'x', v: 3 })
    const { code, stdout, stderr } = await watching.ended
    expect([code, lines(stdout).map(({ v }) => v)]).toEqual([0, [1, 2, 3]])
    expect(stderr).toMatch(/^kv4: .*; again in 0\.5 s$/m)
  } finally {
    watching.child.kill('SIGKILL')
    relay.close()
  }
})

test('ends at Ctrl-C, and says what is wrong in a line', async () => {
  const watching = kv4.start(['watch', '/_data/idle', '--since', '0'], env)
  await elena.post('/_data/idle', { k: 'x', v: 1 })
  await printed(watching, 1)
  watching.child.kill('SIGINT')
  expect((await watching.ended).code).toBe(0)
  const refused = await kv4.run(['watch', '/_data/x', '--since', 'nonsense'], env)
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(/^kv4: bad_cursor: /)
  const stranger = await kv4.run(['watch', '/_data/x'], { ...env, KV4_USER: 'elena:wrong' })
  expect([stranger.code, stranger.stdout]).toEqual([1, ''])
  expect(stranger.stderr).toMatch(/^kv4: unauthorized: /)
})

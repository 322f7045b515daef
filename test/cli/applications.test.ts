import { setTimeout as wait } from 'node:timers/promises'
import { type Platform, startPlatform } from '../platform'
import { Kv4 } from './kv4'

let platform: Platform
let kv4: Kv4
let env: Record<string, string>

beforeAll(async () => {
  platform = await startPlatform()
  kv4 = await Kv4.make()
  const { body } = await platform.sys.put<{ secret: string }>('/_acc/accounts', {
    k: 'elena',
    v: { email: 'elena@example.com' },
  })
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

const lines = (text: string): readonly string[] => text.trimEnd().split('\n')

test('apps sets, gets, lists, remembers, removes', async () => {
  await ok('apps', 'set', 'dm', '{"config": {"workers": 4}}')
  await ok('apps', 'set', 'dm', '{"config": {"workers": 8}}')
  await ok('apps', 'set', 'hostile', '{"config": "x\\u001b[31m"}')
  expect(JSON.parse(await ok('apps', 'get', 'dm', '--json'))).toMatchObject({
    name: 'dm',
    config: { workers: 8 },
  })
  expect(JSON.parse(await ok('apps', 'get', 'dm'))).toMatchObject({ config: { workers: 8 } })
  const listed = await ok('apps')
  expect(lines(listed)[0]).toMatch(/^NAME +UPDATED +CONFIG$/)
  expect(lines(listed)[1]).toMatch(/^dm +\d{4}-\d\d-\d\dT\S+Z +\{"workers":8\}$/)
  expect(listed).not.toContain('\u001b')
  expect(JSON.parse(await ok('apps', 'list', '--json'))).toHaveLength(2)
  await ok('apps', 'remove', 'dm')
  const past = lines(await ok('apps', 'history', 'dm'))
  expect(past).toHaveLength(4)
  expect(past[1]).toMatch(/ elena +\(removed\)$/)
  expect(past[3]).toContain('"workers":4')
  const gone = await kv4.run(['apps', 'get', 'dm'], env)
  expect([gone.code, gone.stdout]).toEqual([1, ''])
  expect(gone.stderr).toContain('not_found')
})

test('hosts shows services, their hosts, who is dead and who leads', async () => {
  await ok('hosts', 'set', 'web/h1', '{"endpoints": ["http://h1/"], "master": true}')
  await ok('hosts', 'set', 'web/h2', '{"endpoints": ["http://h2/"], "master": true, "lapses_after": 0.2}')
  await ok('hosts', 'set', 'web/h3', '{"endpoints": [], "lapses_after": 600}')
  await wait(250)
  expect(await ok('hosts')).toBe('SERVICE\nweb\n')
  const rows = lines(await ok('hosts', 'list', 'web')).map((line) => line.split(/ {2,}/))
  expect(rows.map(([host, state, master]) => [host, state, master])).toEqual([
    ['HOST', 'STATE', 'MASTER'],
    ['h1', '-', 'yes'],
    ['h2', 'dead', 'yes'],
    ['h3', 'alive', '-'],
  ])
  expect(JSON.parse(await ok('hosts', 'list', 'web', '--master', '--json'))).toMatchObject([{ name: 'h1' }])
  expect(JSON.parse(await ok('hosts', 'get', 'web/h2', '--json'))).toMatchObject({ dead: true })
  await ok('hosts', 'remove', 'web/h3')
  expect(lines(await ok('hosts', 'history', 'web/h3'))).toHaveLength(3)
})

test('what is no JSON, and what is no host, is wrong usage', async () => {
  for (const args of [
    ['apps', 'set', 'dm', '{config'],
    ['hosts', 'set', 'web', '{"endpoints":1}'],
    ['hosts', 'get', 'a/b/c'],
  ]) {
    const { code, stdout, stderr } = await kv4.run(args, env)
    expect([args, code, stdout]).toEqual([args, 2, ''])
    expect(stderr).toMatch(/^kv4: [^\n]+\n/)
  }
})

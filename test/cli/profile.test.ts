import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Kv4 } from './kv4'

let kv4: Kv4
/** Authorization headers that arrived. */
let seen: (string | undefined)[] = []
const servers = [0, 1].map(() =>
  createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end('{"v":[],"s":"ok"}')
  }),
)
let urls: string[]

beforeAll(async () => {
  urls = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    }),
  )
})
afterAll(() => servers.forEach((server) => server.close()))
beforeEach(async () => {
  kv4 = await Kv4.make()
  seen = []
})
afterEach(() => kv4.remove())

const FILE = '.kv4/profiles.json'
const basic = (login: string) => 'Basic ' + Buffer.from(login).toString('base64')

async function ok(args: readonly string[], env?: Record<string, string>): Promise<string> {
  const { code, stdout, stderr } = await kv4.run(args, env)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return stdout
}

test('the first profile is the default; others are named by --profile or KV4_PROFILE', async () => {
  await ok(['profile', 'set', 'one', '--url', urls[0]!, '--user', 'elena:first'])
  await ok(['profile', 'set', 'two', '--url', urls[1]!, '--user', 'elena#lily:!second'])
  await ok(['get', '/_ds'])
  await ok(['get', '/_ds', '--profile', 'two'])
  await ok(['get', '/_ds'], { KV4_PROFILE: 'two' })
  expect(seen).toEqual(['elena:first', 'elena#lily:!second', 'elena#lily:!second'].map(basic))
})

test('a named profile wins over the environment, the environment over the default', async () => {
  await ok(['profile', 'set', 'one', '--url', urls[0]!, '--user', 'elena:profile'])
  const env = { KV4_URL: urls[1]!, KV4_USER: 'elena:environment' }
  await ok(['get', '/_ds'], env)
  await ok(['get', '/_ds', '--profile', 'one'], env)
  expect(seen).toEqual(['elena:environment', 'elena:profile'].map(basic))
})

test("a profile's credential goes to no other server", async () => {
  await ok(['profile', 'set', 'one', '--url', urls[0]!, '--user', 'elena:profile'])
  await ok(['get', '/_ds', '--url', urls[1]!])
  await ok(['get', '/_ds', '--profile', 'one', '--url', urls[1]!])
  await ok(['get', '/_ds'], { KV4_URL: urls[1]! })
  expect(seen).toEqual([undefined, undefined, undefined])
})

test('the file is for its owner alone, and is not read while it is open to others', async () => {
  await ok(['profile', 'set', 'one', '--url', urls[0]!, '--user', 'elena:secret'])
  expect(statSync(kv4.file(FILE)).mode & 0o777).toBe(0o600)
  expect(statSync(kv4.file('.kv4')).mode & 0o777).toBe(0o700)
  chmodSync(kv4.file(FILE), 0o644)
  const { code, stderr } = await kv4.run(['get', '/_ds'])
  expect(code).toBe(2)
  expect(stderr).toContain('chmod 600')
  expect(seen).toEqual([])
})

test('list shows who, never the secret; remove forgets', async () => {
  await ok(['profile', 'set', 'one', '--url', urls[0]!, '--user', 'elena:canary'])
  await ok(['profile', 'set', 'two', '--url', urls[1]!])
  expect(await ok(['profile', 'list'])).toBe(`* one\t${urls[0]}\telena\n  two\t${urls[1]}\t(nobody)\n`)
  await ok(['profile', 'set', 'two', '--url', urls[1]!, '--default'])
  await ok(['profile', 'remove', 'one'])
  expect(await ok(['profile', 'list'])).toBe(`* two\t${urls[1]}\t(nobody)\n`)
  expect(readFileSync(kv4.file(FILE), 'utf8')).not.toContain('canary')
  expect((await kv4.run(['profile', 'remove', 'one'])).code).toBe(2)
})

test.each(['', '../x', 'a b', '-x'.padEnd(70, 'x')])('%j cannot name a profile', async (name) => {
  expect((await kv4.run(['profile', 'set', '--', name])).code).toBe(2)
})

test('a file that is something else is refused, not overwritten', async () => {
  await ok(['profile', 'set', 'one', '--url', urls[0]!])
  writeFileSync(kv4.file(FILE), '{"profiles": 3}')
  const { code, stderr } = await kv4.run(['profile', 'set', 'two'])
  expect(code).toBe(2)
  expect(stderr).toContain('is not a list of profiles')
  expect(readFileSync(kv4.file(FILE), 'utf8')).toBe('{"profiles": 3}')
})

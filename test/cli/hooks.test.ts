import { eventually } from '../eventually'
import { type Platform, startPlatform } from '../platform'
import { Receiver, answer, ok as answersOk } from '../services/hooks/receiver'
import { Kv4 } from './kv4'

let platform: Platform
let receiver: Receiver
let kv4: Kv4
let env: Record<string, string>

beforeAll(async () => {
  platform = await startPlatform({
    settings: { KV4_HOOKS_ALLOW: '127.0.0.0/8', KV4_HOOKS_RETRIES_MS: '20' },
  })
  receiver = await Receiver.start()
  kv4 = await Kv4.make()
  env = { KV4_URL: platform.url, KV4_USER: `${platform.sys.user}:${platform.sys.password}` }
})
afterAll(async () => {
  await kv4?.remove()
  await platform?.close()
  await receiver?.close()
})

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await kv4.run(['hooks', ...args], env)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return stdout
}

const lines = (text: string): readonly string[] => text.trimEnd().split('\n')
const asked = async (...args: string[]) =>
  JSON.parse(await ok(...args, '--json')) as Readonly<Record<string, unknown>>
const write = (v: number) => platform.sys.ok(platform.sys.put('/_data/rooms', { k: 'x', v }))

test('hooks registers, lists, shows, replays, resends, disables, rotates and removes', async () => {
  const made = await asked('set', '/rooms/audit', JSON.stringify({ endpoint: receiver.url }))
  expect(made).toMatchObject({
    k: 'audit',
    path: '/rooms',
    secret: expect.stringMatching(/^whsec_/) as string,
  })
  await ok('set', 'all', JSON.stringify({ endpoint: receiver.url, layer: '*sess' }))
  const [titles, ...rows] = lines(await ok())
  expect(titles).toMatch(/^HOOK +STATE +LAYER +ENDPOINT$/)
  expect(rows.map((row) => row.split(/ +/).slice(0, 3))).toEqual([
    ['/all', '-', '*sess'],
    ['/rooms/audit', '-', '*data'],
  ])
  expect(JSON.parse(await ok('list', 'rooms', '--json'))).toHaveLength(1)

  await write(1)
  await eventually(() => expect(receiver.received).toHaveLength(1))
  await ok('replay', '/rooms/audit', '--from', '2020-01-01')
  await eventually(() => expect(receiver.received).toHaveLength(2))

  receiver.answering = answer(500)
  await write(2)
  await eventually(async () =>
    expect(await asked('get', '/rooms/audit')).toMatchObject({ status: { dead: 1 } }),
  )
  expect(lines(await ok('dead', '/rooms/audit'))[1]).toMatch(/^msg_\S+ +\d{4}-\S+Z +2 +500$/)
  receiver.answering = answersOk
  await ok('resend', '/rooms/audit')
  await eventually(async () => expect(await ok('dead', '/rooms/audit', '--json')).toBe('[]\n'))

  await ok('disable', '/rooms/audit')
  expect(await ok('list', 'rooms')).toContain('disabled')
  expect(await asked('enable', '/rooms/audit')).not.toHaveProperty('disabled')
  const rotated = await asked('rotate', '/rooms/audit')
  expect([rotated.secret === made.secret, rotated.secret]).toEqual([false, expect.stringMatching(/^whsec_/)])
  await ok('remove', '/rooms/audit')
  const gone = await kv4.run(['hooks', 'get', '/rooms/audit'], env)
  expect([gone.code, gone.stdout]).toEqual([1, ''])
  expect(gone.stderr).toContain('not_found')
}, 120_000)

test('what is no JSON, and a replay of no interval, is wrong usage', async () => {
  for (const args of [
    ['set', 'a', '{endpoint'],
    ['replay', 'a'],
  ]) {
    const { code, stdout, stderr } = await kv4.run(['hooks', ...args], env)
    expect([args, code, stdout]).toEqual([args, 2, ''])
    expect(stderr).toMatch(/^kv4: [^\n]+\n/)
  }
})

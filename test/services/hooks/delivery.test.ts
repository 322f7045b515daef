import { Client } from '../../client'
import { makeAccount } from '../../server/external/world'
import { startPlatform, type Platform } from '../../platform'
import { Receiver, answer, eventually, hang, ok, reset, type Answering } from './receiver'

let platform: Platform
let elena: Client
const receivers: Receiver[] = []
let accounts = 0

beforeAll(async () => {
  platform = await startPlatform({
    settings: {
      KV4_HOOKS_ALLOW: '127.0.0.0/8',
      KV4_HOOKS_RETRIES_MS: '50,50,100,200',
      KV4_HOOKS_TIMEOUT_MS: '300',
    },
  })
})
afterAll(() => platform.close())
beforeEach(async () => {
  const name = `elena${++accounts}`
  elena = platform.as(name, await makeAccount(platform.sys, name))
})
afterEach(async () => {
  await Promise.all(receivers.splice(0).map((receiver) => receiver.close()))
})

async function receive(answering?: Answering): Promise<Receiver> {
  const receiver = await Receiver.start(answering)
  receivers.push(receiver)
  return receiver
}

const hook = (endpoint: string, more: object = {}, k = 'h', path = '/a') =>
  elena.ok(elena.put<Record<string, unknown>>(`/_hooks${path}`, { k, v: { endpoint, ...more } }))
const put = (k: string, v: unknown, path = '/a') => elena.ok(elena.put(`/_data${path}`, { k, v }))
const status = async (k = 'h', path = '/a') =>
  await elena.ok(elena.get<{ status: Record<string, any>; disabled?: unknown }>(`/_hooks${path}?k=${k}`)) // eslint-disable-line @typescript-eslint/no-explicit-any

it('tells of what happens from the registration on, at the path and below', async () => {
  const receiver = await receive()
  await put('before', 1)
  await hook(receiver.url)
  await put('k', { n: 1 })
  await put('k', { n: 2 })
  await elena.ok(elena.delete('/_data/a?k=k'))
  await put('deep', 'x', '/a/b/c')
  await put('k', 'elsewhere', '/ab')
  await eventually(() => expect(receiver.received).toHaveLength(4))
  expect(receiver.changes).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ type: 'create', path: '/a', k: 'k', layer: '*data', v: { n: 1 } }),
      expect.objectContaining({ type: 'update', k: 'k', v: { n: 2 } }),
      expect.objectContaining({ type: 'create', path: '/a/b/c', k: 'deep', v: 'x' }),
    ]),
  )
  const ofK = receiver.changes.filter(({ k }) => k === 'k')
  expect(ofK.map(({ type }) => type)).toEqual(['create', 'update', 'delete'])
  expect(ofK[2]).not.toHaveProperty('v')
  await eventually(async () =>
    expect((await status()).status).toMatchObject({
      delivered: 4,
      backlog: 0,
      last: { ok: true, status: 204 },
    }),
  )
})

it('tries again what was refused, hung or reset, in order per key and without delaying other keys', async () => {
  const failures: Answering[] = [answer(500), hang, reset, answer(302, { location: 'http://127.0.0.1:1/' })]
  const receiver = await receive((received, response, request) => {
    const { k, v } = (JSON.parse(received.body) as { data: { k: string; v: number } }).data
    if (k === 'bad' && v === 1 && failures.length > 0) failures.shift()!(received, response, request)
    else ok(received, response, request)
  })
  await hook(receiver.url)
  await put('bad', 1)
  await put('bad', 2)
  await put('good', 1)
  await put('bad', 3)
  await eventually(() => expect(receiver.received).toHaveLength(8))
  const order = receiver.changes.map(({ k, v }) => `${String(k)}${String(v)}`)
  expect(order.filter((name) => name.startsWith('bad'))).toEqual([
    'bad1',
    'bad1',
    'bad1',
    'bad1',
    'bad1',
    'bad2',
    'bad3',
  ])
  expect(order.indexOf('good1')).toBeLessThan(order.indexOf('bad2'))
  const ids = new Set(
    receiver.received.filter((_, i) => order[i] === 'bad1').map(({ headers }) => headers['webhook-id']),
  )
  expect(ids.size).toBe(1)
})

import { setTimeout as wait } from 'node:timers/promises'
import { ask } from '../../server/world'
import { RegistryClient, SYS, fault, loggedIn, openWorld } from './world'
import type { Reply, World } from './world'

/** What an account may have, and how often it may ask, by the compatible door: contract §11. */

let world: World
let port: number
let names = 0

beforeAll(async () => {
  world = await openWorld()
  port = world.server.port
})
afterAll(() => world.close())

const account = (): Promise<RegistryClient> => loggedIn(port, `farm-${++names}`)

describe('limits', () => {
  test('are answered in the contract’s shape and changed by $sys', async () => {
    const client = await account()
    const shown = (await client.get('/limits')).json
    expect(shown).toEqual({
      resource: { session: 100, service: 200, configuration_value: 1000 },
      rate: { '/.*': { limit: 500000, used: 1, window: '24.0 hours' } },
    })
    const body = { k: client.user, v: { resource: { service: 1 }, rate: { limit: 5 } } }
    expect((await client.native('PUT', '/_reg/limits', body)).status).toBe(403)
    expect((await ask(port, 'PUT', '/_reg/limits', { as: SYS, body })).status).toBe(200)
    expect((await client.post('/services', { id: 'first', heartbeat_timeout: 60 })).status).toBe(201)
    expect(fault(await client.post('/services', { id: 'second', heartbeat_timeout: 60 }))).toEqual([
      400,
      'limitReached',
      'Resource limit has been reached',
      'Limit for resource service has been reached. Maximum allowed objects: 1',
    ])
    for (let i = 0; i < 3; i++) await client.get('/limits')
    const over = await client.get('/limits')
    expect(fault(over).slice(0, 3)).toEqual([400, 'rateLimitReached', 'Rate limit has been reached.'])
    expect(Number(over.headers['x-ratelimit-reply-after'])).toBeGreaterThan(0)
  })
})

test('a sub-account has limits of its own', async () => {
  const client = await account()
  const made = await client.native('PUT', '/_acc/accounts', { k: 'lily', v: { email: 'l@example.com' } })
  const sub = new RegistryClient(port, `${client.user}#lily`, made.json.v.secret as string)
  await sub.login()
  const body = { k: sub.user, v: { resource: { service: 1 }, rate: { limit: 50, window: 3 } } }
  expect((await client.native('PUT', '/_reg/limits', body)).status).toBe(403)
  expect((await ask(port, 'PUT', '/_reg/limits', { as: SYS, body })).status).toBe(200)
  expect((await sub.get('/limits')).json).toMatchObject({
    resource: { service: 1, session: 100 },
    rate: { '/.*': { limit: 50, window: '0.00083 hours' } },
  })
  expect((await client.get('/limits')).json).toMatchObject({ resource: { service: 200 } })
  expect((await sub.post('/services', { id: 'one', heartbeat_timeout: 60 })).status).toBe(201)
  expect(fault(await sub.post('/services', { id: 'two', heartbeat_timeout: 60 }))[1]).toBe('limitReached')
  for (const id of ['one', 'two'])
    expect((await client.post('/services', { id, heartbeat_timeout: 60 })).status).toBe(201)
})

describe('limits under many requests at once', () => {
  test('no more is made than there is room for, and what room there is is used', async () => {
    const client = await account()
    const limit = (resource: object) =>
      ask(port, 'PUT', '/_reg/limits', { as: SYS, body: { k: client.user, v: { resource } } })
    await limit({ service: 3, session: 2, configuration_value: 4 })
    const many = <Made>(make: (i: number) => Promise<Made>) =>
      Promise.all(Array.from({ length: 20 }, (_, i) => make(i)))
    const statuses = (replies: readonly Reply[]) => replies.map(({ status }) => status).sort()
    const services = await many((i) => client.post('/services', { id: `svc-${i}`, heartbeat_timeout: 60 }))
    expect(statuses(services)).toEqual([...Array<number>(3).fill(201), ...Array<number>(17).fill(400)])
    expect(fault(services.find(({ status }) => status === 400)!)[1]).toBe('limitReached')
    const sessions = await many(() => client.post('/sessions', { heartbeat_timeout: 60 }))
    expect(statuses(sessions)).toEqual([...Array<number>(2).fill(201), ...Array<number>(18).fill(400)])
    const values = await many((i) => client.put(`/configuration/value-${i}`, { value: 'v' }))
    expect(statuses(values)).toEqual([...Array<number>(4).fill(204), ...Array<number>(16).fill(400)])
    // What fails gives its place back: of one id only one is made.
    await limit({ service: 5 })
    const same = await many(() => client.post('/services', { id: 'same', heartbeat_timeout: 60 }))
    expect(statuses(same)).toEqual([201, ...Array<number>(19).fill(400)])
    expect((await client.post('/services', { id: 'fifth', heartbeat_timeout: 60 })).status).toBe(201)
    expect((await client.get('/services')).json.values).toHaveLength(5)
  })

  test('a window is no longer than it can be counted', async () => {
    const client = await account()
    const set = (window: number) =>
      ask(port, 'PUT', '/_reg/limits', {
        as: SYS,
        body: { k: client.user, v: { rate: { limit: 2, window } } },
      })
    expect((await set(30 * 24 * 3600)).json.d).toMatchObject({ key: 'window' })
    expect((await set(24 * 24 * 3600)).status).toBe(200)
    for (const status of [200, 200, 400]) {
      await wait(20)
      expect((await client.get('/limits')).status).toBe(status)
    }
  })
})

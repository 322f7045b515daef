// Bodies of another system's wire are looked into as they come.
/* eslint-disable @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-argument */
import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { BucketName, Key, addressIn } from '../../../core'
import { PLACES } from '../../../services/registry/places'
import { ask } from '../../server/world'
import { RegistryClient, SYS, fault, loggedIn, newAccount, openWorld } from './world'
import type { World } from './world'

/** The identity endpoint of the published clients, and who is let in by its tokens: contract §2. */

let world: World
let port: number
let names = 0

beforeAll(async () => {
  world = await openWorld()
  port = world.server.port
})
afterAll(() => world.close())

const account = (): Promise<RegistryClient> => loggedIn(port, `farm-${++names}`)

describe('the identity endpoint', () => {
  test('gives each client what it reads, with and without the slash at the end', async () => {
    const client = await newAccount(port, 'identity')
    for (const path of ['/v2.0/tokens', '/v2.0/tokens/']) {
      const { status, json } = await client.login(path)
      expect(status).toBe(200)
      const { token, serviceCatalog, user } = json.access
      // Java: numbers of 32 bits in both, an offset that is not Z.
      expect(Number(token.tenant.id)).toBeLessThan(2 ** 31)
      expect(token.tenant.name).toBe(token.tenant.id)
      // Its milliseconds are seconds to Java; its hours are, to python, those of python's own zone.
      expect(token.expires).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000-01:00$/)
      expect(Date.parse(token.expires) - Date.now()).toBeGreaterThan(23 * 3600_000)
      // node: the tenant of cloudServers; python and ruby: the last segment of the URL.
      for (const name of ['cloudServers', 'cloudMonitoring']) {
        const [endpoint] = serviceCatalog.find((entry: { name: string }) => entry.name === name).endpoints
        expect(endpoint.tenantId).toBe(token.tenant.id)
        expect(endpoint.publicURL).toBe(`${world.server.url}/v1.0/${token.tenant.id}`)
      }
      expect(user.roles).toEqual([])
    }
  })

  test('refuses who does not belong here', async () => {
    const wrong = await new RegistryClient(port, 'identity', 'x'.repeat(40)).login()
    expect(wrong.status).toBe(401)
    expect((await ask(port, 'POST', '/v2.0/tokens', { body: {} })).status).toBe(401)
    expect((await ask(port, 'POST', '/v2.0/tokens', { body: '{"a' })).status).toBe(400)
  })

  test('keeps the number of an account, and gives a sub-account its own', async () => {
    const client = await account()
    const first = client.tenant
    await client.login()
    expect(client.tenant).toBe(first)
    const made = await client.native('PUT', '/_acc/accounts', {
      k: 'lily',
      v: { email: 'lily-c@example.com' },
    })
    const sub = new RegistryClient(port, `${client.user}#lily`, made.json.v.secret as string)
    expect((await sub.login()).status).toBe(200)
    expect(sub.tenant).not.toBe(first)
    await sub.post('/services', { id: 'hers', heartbeat_timeout: 60 })
    expect((await client.get('/services')).json.values).toEqual([])
    expect((await sub.get('/services')).json.values).toMatchObject([{ id: 'hers' }])
  })

  test('a token ends with the account, at once, and stands nowhere in the store', async () => {
    const client = await account()
    expect((await client.get('/services')).status).toBe(200)
    const names = (await readdir(world.directory, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    )
    expect(names.length).toBeGreaterThan(0)
    for (const { parentPath, name } of names) {
      const bytes = await readFile(join(parentPath, name))
      expect(bytes.includes(client.token)).toBe(false)
      expect(bytes.includes(client.secret)).toBe(false)
    }
    const off = await ask(port, 'POST', '/_acc/accounts', {
      as: SYS,
      body: { k: client.user, v: { active: false } },
    })
    expect(off.status).toBe(200)
    expect(fault(await client.get('/services'))).toEqual([
      401,
      'unauthorizedError',
      'forbidden',
      'Invalid or expired authentication token',
    ])
  })

  test('who comes with an old token guesses nothing: ten of them lock nobody out', async () => {
    const client = await account()
    const own = { as: SYS, body: { k: client.user, v: { email: `${client.user}@example.com` } } }
    expect((await ask(port, 'DELETE', `/_acc/accounts?k=${client.user}`, { as: SYS })).status).toBe(200)
    const { json } = await ask(port, 'PUT', '/_acc/accounts', own)
    for (let i = 0; i < 12; i++) expect((await client.get('/services')).status).toBe(401)
    const renewed = new RegistryClient(port, client.user, json.v.secret)
    expect((await renewed.login()).status).toBe(200)
    expect((await renewed.get('/services')).status).toBe(200)
  })

  test('who logs in again after a token has ended gets another one', async () => {
    const client = await account()
    const ended = client.token
    for (const active of [false, true]) {
      const body = { k: client.user, v: { active } }
      expect((await ask(port, 'POST', '/_acc/accounts', { as: SYS, body })).status).toBe(200)
      expect((await client.get('/services')).status).toBe(401)
    }
    await client.login()
    expect(client.token).not.toBe(ended)
    expect((await client.get('/services')).status).toBe(200)
    // A living one is the same for each start of a client.
    const living = client.token
    await client.login()
    expect(client.token).toBe(living)
  })

  test('a token ends with its time, or when it is taken away, though it was used before', async () => {
    const system = world.server.engine.bucket(BucketName.system)
    const addressOf = ({ token }: RegistryClient) =>
      addressIn(PLACES.tokens, Key.parse(createHash('sha256').update(token).digest('hex')))
    const [late, removed] = [await account(), await account()]
    for (const client of [late, removed]) expect((await client.get('/services')).status).toBe(200)
    const { v } = (await system.get(addressOf(late)))!
    await system.put(addressOf(late), v, { by: '$sys', ttl: 300 })
    await system.remove(addressOf(removed), { by: '$sys' })
    expect((await removed.get('/services')).status).toBe(401)
    expect((await late.get('/services')).status).toBe(200)
    await wait(400)
    expect((await late.get('/services')).status).toBe(401)
  })
})

describe('authentication', () => {
  test.each([
    ['no tenant', '/v1.0/services', {}, 'No tenant id provided'],
    ['no token', '/v1.0/7777/services', {}, 'No authentication token provided'],
    [
      'a wrong token',
      '/v1.0/7777/services',
      { 'X-Auth-Token': 'x' },
      'Invalid or expired authentication token',
    ],
    ['a query that is none', '/v1.0/7777/services?limit=%zz', {}, 'No authentication token provided'],
    ['an unknown page', '/v1.0/7777/nothing', {}, 'No authentication token provided'],
  ])('refuses %s in the words that clients know', async (_what, path, headers, details) => {
    const reply = await ask(port, 'GET', path, { headers })
    expect(fault(reply)).toEqual([401, 'unauthorizedError', 'forbidden', details])
    expect(reply.headers['www-authenticate']).toBe(`Keystone uri="${world.server.url}/v2.0"`)
    // On every reply.
    expect(reply.headers).toMatchObject({ 'x-ratelimit-limit': '500000', 'x-ratelimit-used': '0' })
  })

  test('takes the tenant from the path or a header, the token from a header or the query', async () => {
    const { tenant, token } = await account()
    const get = (path: string, headers: Record<string, string>) => ask(port, 'GET', path, { headers })
    expect((await get(`/v1.0/${tenant}/services?x-auth-token=${token}`, {})).status).toBe(200)
    expect((await get('/v1.0/services', { 'X-Tenant-Id': tenant, 'X-Auth-Token': token })).status).toBe(200)
    // Another account's number is no door to it.
    const other = await account()
    expect((await get(`/v1.0/${other.tenant}/services`, { 'X-Auth-Token': token })).status).toBe(401)
  })

  test('a client that retries once after 401 with a fresh token goes on', async () => {
    const client = await account()
    client.token = 'stale'
    expect((await client.get('/services')).status).toBe(401)
    await client.login()
    expect((await client.get('/services')).status).toBe(200)
  })
})

// Bodies of another system's wire are looked into as they come.
/* eslint-disable @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-return */
import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { BucketName, Key, addressIn } from '../../../core'
import { PLACES } from '../../../services/registry/places'
import { Registry } from '../../../services/registry/registry'
import { SYS, RegistryClient, newAccount, openWorld } from './world'
import type { Reply, World } from './world'
import { ask } from '../../server/world'

let world: World
let port: number
let names = 0

beforeAll(async () => {
  world = await openWorld()
  port = world.server.port
})
afterAll(() => world.close())

/** An account with a token of its own. */
async function account(): Promise<RegistryClient> {
  const client = await newAccount(port, `farm-${++names}`)
  await client.login()
  return client
}

const V1 = /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const TYPES =
  'service.join,service.remove,service.timeout,configuration_value.update,configuration_value.remove'

function types(reply: Reply): string[] {
  return reply.json.values.map(({ type }: { type: string }) => type)
}

/** The fields that python indexes, and what they say. */
function fault(reply: Reply): readonly [status: number, type: string, message: string, details: unknown] {
  const { type, code, message, details, txnId, ...rest } = reply.json
  expect(code).toBe(reply.status)
  expect(txnId).toMatch(/^\.rh-.{4}\.h-.+\.ts-\d{13}\.v-/)
  expect(rest).toEqual({})
  return [reply.status, type, message, details]
}

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

describe('every reply', () => {
  test('is indented JSON with a length, an id and the rate', async () => {
    const client = await account()
    const { headers, text } = await client.get('/limits')
    expect(headers['content-type']).toBe('application/json; charset=UTF-8')
    expect(headers['content-length']).toBe(String(Buffer.byteLength(text)))
    expect(headers['x-response-id']).toBeDefined()
    expect(text).toContain('\n    "resource": {')
    expect(headers).toMatchObject({
      'x-ratelimit-path-regex': '/.*',
      'x-ratelimit-limit': '500000',
      'x-ratelimit-used': '1',
      'x-ratelimit-window': '24.0 hours',
      'x-ratelimit-reply-after': '0',
    })
  })

  test('wrong verbs and unknown pages are the same 404', async () => {
    const client = await account()
    for (const [method, path] of [
      ['GET', '/nothing'],
      ['DELETE', '/services'],
      ['DELETE', '/sessions/seABCDEFGH'],
      ['PATCH', '/services/abc'],
      ['PROPFIND', '/services'],
    ] as const) {
      expect(fault(await client.call(method, path))).toEqual([
        404,
        'notFoundError',
        'The page cannot be found.',
        { requested_path: `/v1.0/${client.tenant}${path}` },
      ])
      // Who asks comes first.
      expect((await ask(port, method, `/v1.0/${client.tenant}${path}`)).status).toBe(401)
    }
  })

  test('what goes wrong inside is a fault without a word of it', async () => {
    const client = await account()
    const { services } = Registry.of(world.server.context)
    const list = jest.spyOn(services, 'list').mockRejectedValueOnce(new Error('a secret of the store'))
    const reply = await client.get('/services')
    list.mockRestore()
    expect(fault(reply)).toEqual([500, 'internalError', 'An unexpected error has occurred', ''])
    expect(reply.headers['x-ratelimit-used']).toBe('1')
    expect((await client.get('/services')).status).toBe(200)
  })

  test('judges bodies: type, form, size, encoding', async () => {
    const client = await account()
    const typed = await client.get('/services', { 'Content-Type': 'foo/bar' })
    expect(fault(typed)[2]).toBe('Unsupported content type: foo/bar')
    expect((await client.get('/services', { 'Content-Type': 'application/json;charset=x' })).status).toBe(200)
    expect(fault(await client.post('/services', '{"id"'))[2]).toMatch(/^Failed to parse request body: /)
    expect(fault(await client.post('/services', Buffer.from([0x22, 0xff, 0x22])))[2]).toMatch(
      /^Failed to parse/,
    )
    const large = await client.post('/services', JSON.stringify({ id: 'x'.repeat(5000) }))
    expect([large.status, large.text, large.headers.connection]).toEqual([413, '', 'close'])
    for (const method of ['GET', 'DELETE']) {
      const unread = await client.call(method, '/services/abc', { body: 'x'.repeat(5000) })
      expect([method, unread.status, unread.text]).toEqual([method, 413, ''])
      expect((await client.call(method, '/services/abc', { body: 'x'.repeat(4999) })).status).toBe(404)
    }
    expect(fault(await client.get('/services/%zz'))).toEqual([
      400,
      'badRequest',
      'URI malformed',
      'URI malformed',
    ])
  })
})

describe('services that stand alone (G2)', () => {
  test('the life of one, as node and python see it', async () => {
    const client = await account()
    const created = await client.post('/services', {
      id: 'my-service.1',
      heartbeat_timeout: 30,
      tags: ['web', 'www'],
      metadata: { region: 'dfw' },
      unknown: 1,
    })
    expect(created.status).toBe(201)
    expect(created.json).toEqual({ token: expect.stringMatching(V1) })
    expect(Number(created.headers['content-length'])).toBeGreaterThan(0)
    expect(created.headers.location!.split('/')[6]).toBe('my-service.1')
    // The token says when it ends.
    const deadline = Number(
      (BigInt(
        '0x' +
          created.json.token.slice(15, 18) +
          created.json.token.slice(9, 13) +
          created.json.token.slice(0, 8),
      ) -
        122192928000000000n) /
        10000n,
    )
    expect(Math.abs(deadline - Date.now() - 30_000)).toBeLessThan(2_000)

    expect((await client.get('/services/my-service.1')).json).toEqual({
      id: 'my-service.1',
      heartbeat_timeout: 30,
      tags: ['web', 'www'],
      metadata: { region: 'dfw' },
      last_seen: null,
    })

    const first = created.json.token
    const beat = await client.call('POST', '/services/my-service.1/heartbeat', {
      body: { token: first },
      headers: { Connection: 'keep-alive' },
    })
    expect(beat.status).toBe(200)
    expect(beat.headers.connection).toBe('keep-alive')
    expect(beat.json.token).toMatch(V1)
    expect(beat.json.token).not.toBe(first)
    // Single use.
    expect(fault(await client.post('/services/my-service.1/heartbeat', { token: first }))).toEqual([
      404,
      'notFoundError',
      'object does not exist',
      `Object "HeartbeatMarker" with key "${first}" does not exist`,
    ])
    expect((await client.post('/services/my-service.1/heartbeat', { token: beat.json.token })).status).toBe(
      200,
    )
    expect((await client.get('/services/my-service.1')).json.last_seen).toBeGreaterThan(Date.now() - 5_000)

    const updated = await client.put('/services/my-service.1', { tags: ['other'], id: 'ignored' })
    expect([updated.status, updated.text]).toEqual([204, ''])
    expect(updated.headers.location!.split('/').at(-1)).toBe('my-service.1')
    expect((await client.get('/services/my-service.1')).json).toMatchObject({
      tags: ['other'],
      metadata: { region: 'dfw' },
      heartbeat_timeout: 30,
    })

    expect((await client.delete('/services/my-service.1')).status).toBe(204)
    expect(fault(await client.get('/services/my-service.1'))).toEqual([
      404,
      'notFoundError',
      'object does not exist',
      'Object "Service" with key "my-service.1" does not exist',
    ])
    const feed = await client.get('/events')
    expect(types(feed)).toEqual(['service.join', 'service.remove'])
    expect(feed.json.values[0].payload).toEqual({
      id: 'my-service.1',
      heartbeat_timeout: 30,
      tags: ['web', 'www'],
      metadata: { region: 'dfw' },
    })
  })

  test('a heartbeat ends the connection of a client that asks for it', async () => {
    const client = await account()
    const { json } = await client.post('/services', { id: 'closer', heartbeat_timeout: 30 })
    const body = JSON.stringify(json)
    const head = [
      `POST /v1.0/${client.tenant}/services/closer/heartbeat HTTP/1.1`,
      'Host: registry',
      'Connection: close',
      `X-Auth-Token: ${client.token}`,
      `Content-Length: ${body.length}`,
    ]
    // What comes until the connection ends.
    const said = await world.raw(head.join('\r\n') + '\r\n\r\n' + body)
    expect(said).toMatch(/^HTTP\/1\.1 200 /)
    expect(said.match(/^connection: .*$/gim)).toEqual(['Connection: close'])
  })

  test('an id that is taken, in the type that register() retries on', async () => {
    const client = await account()
    const body = { id: 'taken', heartbeat_timeout: 30 }
    await client.post('/services', body)
    const text = 'Service with id taken already exists.'
    expect(fault(await client.post('/services', body))).toEqual([400, 'serviceWithThisIdExists', text, text])
  })

  test.each([
    [{}, 'id', 'Missing required key (id)'],
    [{ id: 5 }, 'id', 'Not a string'],
    [{ id: 'ab' }, 'id', 'String is not in range (3..65)'],
    [{ id: 'x'.repeat(66) }, 'id', 'String is not in range (3..65)'],
    [{ id: 'with blank' }, 'id', 'Invalid characters'],
    [{ id: 'abc' }, 'heartbeat_timeout', 'Missing required key (heartbeat_timeout)'],
    [{ id: 'abc', heartbeat_timeout: 2 }, 'heartbeat_timeout', 'Value out of range (3..120)'],
    [{ id: 'abc', heartbeat_timeout: 121 }, 'heartbeat_timeout', 'Value out of range (3..120)'],
    [{ id: 'abc', heartbeat_timeout: 30, tags: 'x' }, 'tags', 'Not an array'],
    [{ id: 'abc', heartbeat_timeout: 30, metadata: [] }, 'metadata', 'Not a hash'],
    [
      {
        id: 'abc',
        heartbeat_timeout: 30,
        metadata: Object.fromEntries([...Array(21).keys()].map((i) => [`k${i}`, 'v'])),
      },
      'metadata',
      'Object needs to have between 0 and 20 items',
    ],
    [
      { id: 'abc', heartbeat_timeout: 30, metadata: { a: '' } },
      'metadata',
      'String is not in range (1..255)',
    ],
  ])('validates %j', async (body, key, details) => {
    const client = await shared()
    expect(fault(await client.post('/services', body))).toEqual([
      400,
      'badRequest',
      `Validation error for key '${key}'`,
      details,
    ])
  })

  const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 'v']))
  const inRange = (least: number, most: number) => `String is not in range (${least}..${most})`
  test.each([
    ['service', 'tags', Array(10).fill('x'.repeat(55)), undefined],
    ['service', 'tags', Array(11).fill('x'), 'Object needs to have between 0 and 10 items'],
    ['service', 'tags', ['x'.repeat(56)], inRange(1, 55)],
    ['service', 'tags', [''], inRange(1, 55)],
    ['service', 'tags', [5], 'Not a string'],
    ['service', 'metadata', pairs(20), undefined],
    ['service', 'metadata', { ['k'.repeat(255)]: 'v'.repeat(255) }, undefined],
    ['service', 'metadata', { ['k'.repeat(256)]: 'v' }, inRange(1, 255)],
    ['service', 'metadata', { k: 'v'.repeat(256) }, inRange(1, 255)],
    ['service', 'metadata', { k: 5 }, 'Not a string'],
    ['service', 'heartbeat_timeout', 3, undefined],
    ['service', 'heartbeat_timeout', 120, undefined],
    ['service', 'heartbeat_timeout', '30', 'Not an integer'],
    ['service', 'session_id', 'x'.repeat(256), inRange(1, 255)],
    ['session', 'metadata', pairs(20), undefined],
    ['session', 'metadata', pairs(21), 'Object needs to have between 0 and 20 items'],
    ['session', 'metadata', { ['k'.repeat(255)]: 'v'.repeat(255) }, undefined],
    ['session', 'metadata', { k: 'v'.repeat(256) }, inRange(1, 255)],
    ['session', 'heartbeat_timeout', 3, undefined],
    ['session', 'heartbeat_timeout', 120, undefined],
    ['session', 'heartbeat_timeout', 2, 'Value out of range (3..120)'],
    ['session', 'heartbeat_timeout', 121, 'Value out of range (3..120)'],
    ['session', 'heartbeat_timeout', undefined, 'Missing required key (heartbeat_timeout)'],
  ])('of a %s, %s is held to its rule (%#)', async (kind, key, value, details) => {
    const client = await shared()
    const path = kind === 'service' ? '/services' : '/sessions'
    const id = `limit-${++names}`
    const reply = await client.post(path, { id, heartbeat_timeout: 60, [key]: value })
    if (details !== undefined) {
      expect(fault(reply).slice(2)).toEqual([`Validation error for key '${key}'`, details])
      return
    }
    expect(reply.status).toBe(201)
    const made = reply.headers.location!.split('/').at(-1)!
    expect((await client.get(`${path}/${made}`)).json[key]).toEqual(value)
    // A PUT is held to the same.
    expect((await client.put(`${path}/${made}`, { [key]: value })).status).toBe(204)
  })

  test('a heartbeat needs a UUID, a known service and its token', async () => {
    const client = await shared()
    expect(fault(await client.post('/services/nope/heartbeat', { token: 'x' }))[3]).toBe('Invalid UUID')
    const token = '58e0a7d7-eebc-11d8-9669-0800200c9a66'
    expect(fault(await client.post('/services/nope/heartbeat', { token }))[3]).toBe(
      'Object "Service" with key "nope" does not exist',
    )
    expect(fault(await client.get('/services/a%20b'))[2]).toBe(
      "Invalid value for 'serviceId' query string parameter",
    )
  })

  test('pages by inclusive markers, and the link to the next page works', async () => {
    const client = await account()
    for (const id of ['svc-c', 'svc-a', 'svc-b', 'svc-A'])
      await client.post('/services', { id, heartbeat_timeout: 60, tags: id === 'svc-b' ? ['odd'] : ['even'] })
    const first = (await client.get('/services?limit=2')).json
    expect(first.values.map(({ id }: { id: string }) => id)).toEqual(['svc-A', 'svc-a'])
    expect(first.metadata).toMatchObject({ count: 2, limit: 2, marker: null, next_marker: 'svc-b' })
    const href = new URL(first.metadata.next_href)
    const second = (
      await ask(port, 'GET', href.pathname + href.search, { headers: { 'X-Auth-Token': client.token } })
    ).json
    expect(second.values.map(({ id }: { id: string }) => id)).toEqual(['svc-b', 'svc-c'])
    expect(second.metadata).toEqual({
      count: 2,
      limit: 2,
      marker: 'svc-b',
      next_marker: null,
      next_href: null,
    })
    // Java asks with an empty query.
    expect((await client.get('/services?')).json.metadata).toMatchObject({ count: 4, limit: 100 })
    const tagged = (await client.get('/services?tag=even&limit=2')).json.metadata
    expect(tagged.next_marker).toBe('svc-c')
    expect(new URL(tagged.next_href).search).toBe('?tag=even&limit=2&marker=svc-c')
    for (const tag of ['', "'", '%0d%0a', 'a:b'])
      expect(fault(await client.get(`/services?tag=${tag}`))[2]).toBe(
        "Invalid value for 'tag' query string parameter",
      )
    expect(fault(await client.get('/services?limit=x'))).toEqual([
      400,
      'invalidLimit',
      'Invalid limit',
      'Limit must be a number',
    ])
    for (const limit of [0, 1001, -1])
      expect(fault(await client.get(`/services?limit=${limit}`))[3]).toBe(
        `Invalid limit ${limit}. Minimum limit is 1 and maximum limit is 1000.`,
      )
    expect((await client.get('/services?limit=1000')).json.metadata.limit).toBe(1000)
    expect(fault(await client.get("/services?marker='"))[2]).toBe(
      "Invalid value for 'marker' query string parameter",
    )
  })

  test('one that falls silent is never listed after its time, and its timeout is in the feed once', async () => {
    const client = await account()
    await client.post('/services', { id: 'silent', heartbeat_timeout: 3 })
    await client.post('/services', { id: 'steady', heartbeat_timeout: 30 })
    await wait(3_010)
    expect((await client.get('/services')).json.values.map(({ id }: { id: string }) => id)).toEqual([
      'steady',
    ])
    expect(types(await client.get('/events'))).toEqual(['service.join', 'service.join', 'service.timeout'])
    // Its id is free again.
    expect((await client.post('/services', { id: 'silent', heartbeat_timeout: 3 })).status).toBe(201)
    expect(types(await client.get('/events'))).toHaveLength(4)
  })

  test('a late heartbeat counts when nobody has looked; the sweep comes by itself', async () => {
    const client = await account()
    let { token } = (await client.post('/services', { id: 'late', heartbeat_timeout: 3 })).json
    await wait(3_300)
    const beat = await client.post('/services/late/heartbeat', { token })
    expect(beat.status).toBe(200)
    ;({ token } = beat.json)
    expect((await client.get('/services/late')).status).toBe(200)
    await wait(5_000)
    // Nobody looked, and yet its time is over.
    expect(fault(await client.post('/services/late/heartbeat', { token }))[3]).toBe(
      'Object "Service" with key "late" does not exist',
    )
    expect(types(await client.get('/events'))).toEqual(['service.join', 'service.timeout'])
  })
})

let sharedClient: Promise<RegistryClient> | undefined
function shared(): Promise<RegistryClient> {
  return (sharedClient ??= account())
}

describe('sessions and their services (G1)', () => {
  test('the life of one, as the first client sees it', async () => {
    const client = await account()
    const created = await client.post('/sessions', { heartbeat_timeout: 5, metadata: { k: 'v' } })
    expect(created.status).toBe(201)
    const id = created.headers.location!.split('/').at(-1)!
    expect(id).toMatch(/^se[A-Za-z0-9]{8}$/)
    expect(created.json.token).toMatch(V1)
    expect((await client.get(`/sessions/${id}`)).json).toEqual({
      id,
      heartbeat_timeout: 5,
      metadata: { k: 'v' },
      last_seen: null,
    })
    const beat = await client.post(`/sessions/${id}/heartbeat`, { token: created.json.token })
    expect(beat.status).toBe(200)
    expect((await client.post(`/sessions/${id}/heartbeat`, { token: created.json.token })).status).toBe(404)
    expect((await client.get(`/sessions/${id}`)).json).toMatchObject({
      heartbeat_timeout: 5,
      metadata: { k: 'v' },
    })
    expect((await client.put(`/sessions/${id}`, { metadata: { k: 'w' } })).headers.location).toMatch(
      new RegExp(`/sessions/${id}$`),
    )

    const joined = await client.post('/services', { id: 'one', session_id: id, tags: ['t'] })
    expect(joined.status).toBe(201)
    expect(joined.json.token).toBeUndefined()
    expect(joined.headers.location!.split('/').at(-1)).toBe('one')
    await client.post('/services', { id: 'two', session_id: id })
    expect((await client.get('/services/one')).json).toEqual({
      id: 'one',
      session_id: id,
      tags: ['t'],
      metadata: {},
    })
    expect((await client.get('/sessions')).json.values).toMatchObject([{ id, metadata: { k: 'w' } }])
    expect((await client.get('/views/overview')).json.values).toMatchObject([
      { session: { id }, services: [{ id: 'one' }, { id: 'two' }] },
    ])
    expect(fault(await client.post('/services', { id: 'stray', session_id: 'seNOTTHERE' }))[3]).toBe(
      'Object "Session" with key "seNOTTHERE" does not exist',
    )

    // Both generations side by side: this one is not the session's.
    await client.post('/services', { id: 'three', heartbeat_timeout: 60 })
    await wait(7_000)
    const feed = await client.get('/events')
    expect(types(feed)).toEqual(['service.join', 'service.join', 'service.join', 'services.timeout'])
    expect(feed.json.values[3].payload).toEqual([
      { id: 'one', session_id: id, tags: ['t'], metadata: {} },
      { id: 'two', session_id: id, tags: [], metadata: {} },
    ])
    // G1's own type, which the list of valid ones in G2's refusal does not name.
    expect(types(await client.get('/events?type=services.timeout'))).toEqual(['services.timeout'])
    expect((await client.get('/services')).json.values).toMatchObject([{ id: 'three' }])
    expect((await client.get(`/sessions/${id}`)).status).toBe(404)
  }, 20_000)

  test('a service stays in its session, whatever is put', async () => {
    const client = await account()
    const open = async () =>
      (await client.post('/sessions', { heartbeat_timeout: 60 })).headers.location!.split('/').at(-1)!
    const [first, second] = [await open(), await open()]
    await client.post('/services', { id: 'one', session_id: first })
    expect((await client.put('/services/one', { session_id: second, tags: ['t'] })).status).toBe(204)
    expect((await client.get('/services/one')).json).toMatchObject({ session_id: first, tags: ['t'] })
  })

  test('a session has no end but its silence, and its services can leave', async () => {
    const client = await account()
    const { headers } = await client.post('/sessions', { heartbeat_timeout: 60 })
    const id = headers.location!.split('/').at(-1)!
    await client.post('/services', { id: 'leaver', session_id: id })
    expect((await client.delete('/services/leaver')).status).toBe(204)
    expect((await client.delete(`/sessions/${id}`)).status).toBe(404)
    expect(types(await client.get('/events'))).toEqual(['service.join', 'service.remove'])
  })
})

describe('configuration', () => {
  test('node and python put two slashes, java one; it is the same value', async () => {
    const client = await account()
    const put = await client.put('/configuration//production/cassandra/listen_ip', { value: '127.0.0.1' })
    expect(put.status).toBe(204)
    expect(put.headers.location!.split('/').at(-1)).toBe('listen_ip')
    const id = '/production/cassandra/listen_ip'
    for (const path of [`/configuration/${id}`, `/configuration${id}`])
      expect((await client.get(path)).json).toEqual({ id, value: '127.0.0.1' })
    await client.put('/configuration/a-ns/conf1', { value: 'java' })
    expect((await client.get('/configuration//a-ns/conf1')).json).toEqual({
      id: '/a-ns/conf1',
      value: 'java',
    })
    await client.put('/configuration/bare.name', { value: 'x' })
    expect((await client.get('/configuration/bare.name')).json.id).toBe('bare.name')
    expect((await client.delete(`/configuration/${id}`)).status).toBe(204)
    expect(fault(await client.get(`/configuration/${id}`))[3]).toBe(
      `Object "ConfigurationValue" with key "${id}" does not exist`,
    )
  })

  test('a slash at the end names a namespace: every id that begins so', async () => {
    const client = await account()
    for (const id of [
      '/production/cassandra',
      '/production/cassandra2',
      '/production/cassandra/listen_ip',
      'other',
    ])
      await client.put(`/configuration/${id}`, { value: 'v' })
    const listed = (await client.get('/configuration/production/cassandra/')).json
    expect(listed.values.map(({ id }: { id: string }) => id)).toEqual([
      '/production/cassandra',
      '/production/cassandra/listen_ip',
      '/production/cassandra2',
    ])
    const page = (await client.get('/configuration/production/cassandra/?limit=1')).json.metadata
    expect(page.next_marker).toBe('/production/cassandra/listen_ip')
    const next = (await client.get(`/configuration/production/cassandra/?limit=1&marker=${page.next_marker}`))
      .json
    expect(next.values).toMatchObject([{ id: '/production/cassandra/listen_ip' }])
    expect((await client.get('/configuration')).json.values.map(({ id }: { id: string }) => id)).toEqual([
      '/production/cassandra',
      '/production/cassandra/listen_ip',
      '/production/cassandra2',
      'other',
    ])
    for (const method of ['GET', 'DELETE'])
      expect(fault(await client.call(method, '/configuration/production'))[3]).toBe(
        'Object "ConfigurationValue" with key "production" does not exist',
      )
    expect((await client.get('/configuration')).json.values).toHaveLength(4)
  })

  test('events tell old and new; what changes nothing is no event', async () => {
    const client = await account()
    await client.put('/configuration/port', { value: '1' })
    await client.put('/configuration/port', { value: '1' })
    await client.put('/configuration/port', { value: '2' })
    await client.delete('/configuration/port')
    const { values } = (await client.get('/events')).json
    expect(values.map(({ type, payload }: { type: string; payload: unknown }) => [type, payload])).toEqual([
      ['configuration_value.update', { configuration_value_id: 'port', old_value: null, new_value: '1' }],
      ['configuration_value.update', { configuration_value_id: 'port', old_value: '1', new_value: '2' }],
      ['configuration_value.remove', { configuration_value_id: 'port', old_value: '2' }],
    ])
  })

  test.each(['/production.foo/test', '/', 'ab', '/ab', 'a%20b', '/x/y'])('refuses the id %s', async (id) => {
    const client = await shared()
    expect(fault(await client.put(`/configuration/${id}`, { value: 'v' }))[2]).toBe(
      "Invalid value for 'configurationId' query string parameter",
    )
  })

  test('takes ids and values of any length that their rules allow', async () => {
    const client = await account()
    // 9 × 51 + 41 = 500, and one more.
    const id = `/${'n'.repeat(50)}`.repeat(9) + `/${'k'.repeat(40)}`
    for (const each of [id, 'abc', '/abc/xyz']) {
      expect((await client.put(`/configuration/${each}`, { value: 'v'.repeat(1024) })).status).toBe(204)
      expect((await client.get(`/configuration/${each}`)).json).toEqual({ id: each, value: 'v'.repeat(1024) })
    }
    expect(fault(await client.put(`/configuration/${id}k`, { value: 'v' }))[2]).toBe(
      "Invalid value for 'configurationId' query string parameter",
    )
    expect(fault(await client.put('/configuration/abc', { value: 'v'.repeat(1025) }))[3]).toBe(
      'String is not in range (1..1024)',
    )
  })

  test('validates values', async () => {
    const client = await shared()
    expect(fault(await client.put('/configuration/abc', {}))[3]).toBe('Missing required key (value)')
    expect(fault(await client.put('/configuration/abc', { value: '' }))[3]).toBe(
      'String is not in range (1..1024)',
    )
  })
})

describe('the feed', () => {
  test('markers are inclusive, the order is stable, the type is filtered after the page is cut', async () => {
    const client = await account()
    for (let i = 0; i < 5; i++) await client.put('/configuration/count', { value: String(i) })
    await client.post('/services', { id: 'svc', heartbeat_timeout: 60 })
    const all = (await client.get('/events')).json
    expect(all.values).toHaveLength(6)
    expect(all.metadata).toMatchObject({ count: 6, marker: null, next_marker: null, next_href: null })
    const marker = all.values[2].id
    expect(marker).toMatch(V1)
    const rest = (await client.get(`/events?marker=${marker}`)).json
    expect(rest.values).toEqual(all.values.slice(2))
    expect(rest.metadata.marker).toBeNull()
    const page = (await client.get('/events?limit=2&type=service.join')).json
    expect(page.values).toEqual([])
    expect(page.metadata.next_marker).toBe(all.values[2].id)
    const followed = []
    for (let next: string | null = '', n = 0; next !== null && n < 10; n++) {
      const { values, metadata }: { values: unknown[]; metadata: { next_marker: string | null } } = (
        await client.get(`/events?limit=4${next && '&marker=' + next}`)
      ).json
      followed.push(...values)
      next = metadata.next_marker
    }
    expect(followed).toEqual(all.values)
    const times = all.values.map(({ timestamp }: { timestamp: number }) => timestamp)
    expect(times).toEqual([...times].sort((a, b) => a - b))
  })

  test('refuses markers and types in the words that clients know', async () => {
    const client = await shared()
    expect(fault(await client.get('/events?marker=abc'))).toEqual([
      400,
      'badRequest',
      'Invalid UUID',
      'Invalid UUID',
    ])
    const future = 'from parameter must be smaller than the current time'
    expect(fault(await client.get('/events?marker=00000000-0000-1fff-8000-000000000000'))).toEqual([
      400,
      'badRequest',
      future,
      future,
    ])
    const past = 'from parameter must be greater than or equal to the account creation date'
    expect(fault(await client.get('/events?marker=58e0a7d7-eebc-11d8-9669-0800200c9a66'))[2]).toBe(past)
    expect(fault(await client.get('/events?type=x'))[2]).toBe(`Invalid type: x. Valid types are: ${TYPES}`)
  })
})

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

test('sessions and their overview come in pages, as services do', async () => {
  type Item = { readonly id: string; readonly session: { readonly id: string } }
  const client = await account()
  const ids: string[] = []
  for (let i = 0; i < 5; i++)
    ids.push((await client.post('/sessions', { heartbeat_timeout: 60 })).headers.location!.split('/').at(-1)!)
  ids.sort()
  for (const [path, idOf] of [
    ['/sessions', ({ id }: Item) => id],
    ['/views/overview', ({ session }: Item) => session.id],
  ] as const) {
    const found: string[] = []
    let next = `${path}?limit=2`
    for (let pages = 1; ; pages++) {
      const { values, metadata } = (await client.get(next)).json
      expect(metadata).toMatchObject({ count: values.length, limit: 2 })
      found.push(...values.map(idOf))
      if (metadata.next_marker === null) {
        expect([pages, metadata.next_href]).toEqual([3, null])
        break
      }
      next = metadata.next_href.slice(metadata.next_href.indexOf(path))
    }
    expect(found).toEqual(ids)
  }
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

describe('what attackers put where names belong', () => {
  test.each([
    '../kv4_$elena_data/x',
    '..%2F..%2Fkv4_%24elena_data',
    'x_local/../../kv4_$elena_data/secret',
    '_design/kv4',
    '_all_docs',
    'x%00y',
    'x%0d%0aHost:%20evil',
    '%ff%fe',
    '%c0%ae%c0%ae',
    '__proto__',
    'constructor',
    '^k2:*acc',
    '%E2%80%AE',
    '%',
    'x'.repeat(2000),
    'aaa/'.repeat(64) + 'bbb',
    '/'.repeat(50),
  ])('%j is refused or a name like any other', async (name) => {
    const client = await shared()
    const replies = await Promise.all([
      client.get(`/services/${name}`),
      client.put(`/services/${name}`, { tags: [] }),
      client.delete(`/services/${name}`),
      client.post(`/services/${name}/heartbeat`, { token: '58e0a7d7-eebc-11d8-9669-0800200c9a66' }),
      client.get(`/sessions/${name}`),
      client.get(`/configuration/${name}`),
      client.put(`/configuration/${name}`, { value: 'x' }),
      client.get(`/configuration/${name}/`),
      client.get(`/services?tag=${name}`),
      client.get(`/services?marker=${name}`),
      client.get(`/events?marker=${name}`),
      client.get(`/events?type=${name}`),
      client.get(`/services?limit=${name}`),
      ask(port, 'GET', `/v1.0/${name}/services`, { headers: { 'X-Auth-Token': client.token } }),
    ])
    for (const { status } of replies) expect([200, 204, 400, 401, 404]).toContain(status)
  })

  test('hostile bodies are refused or taken as they are', async () => {
    const client = await shared()
    for (const body of [
      '[]',
      'null',
      '5',
      '"x"',
      '{"id":{"toString":1}}',
      '{"id":["abc"]}',
      '{"__proto__":{"id":"polluted"}}',
      '{"id":"proto-meta","heartbeat_timeout":60,"metadata":{"__proto__":"x"}}',
      '{"id":"deep-one","heartbeat_timeout":60,"metadata":' + '['.repeat(2000) + ']'.repeat(2000) + '}',
      '{"id":"surrogate","heartbeat_timeout":60,"tags":["\\ud800"]}',
      '{"id":"number","heartbeat_timeout":1e400}',
    ])
      expect(fault(await client.post('/services', body))[0]).toBe(400)
    expect(({} as { id?: string }).id).toBeUndefined()
  })
})

// Bodies of another system's wire are looked into as they come.
/* eslint-disable @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-return */
import { setTimeout as wait } from 'node:timers/promises'
import { Registry } from '../../../services/registry/registry'
import { fault, loggedIn, openWorld } from './world'
import type { RegistryClient, Reply, World } from './world'
import { ask } from '../../server/world'

let world: World
let port: number
let names = 0

beforeAll(async () => {
  world = await openWorld()
  port = world.server.port
})
afterAll(() => world.close())

const account = (): Promise<RegistryClient> => loggedIn(port, `farm-${++names}`)

const V1 = /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const TYPES =
  'service.join,service.remove,service.timeout,configuration_value.update,configuration_value.remove'

function types(reply: Reply): string[] {
  return reply.json.values.map(({ type }: { type: string }) => type)
}

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

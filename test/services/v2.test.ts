import { CallerVerifier } from '../../service'
import { register, startHost, type TestHost } from '../server/external/world'
import { ask, type Answer } from '../server/world'
import { Peer } from './subs/peer'
import { openSignalWorld, type SignalWorld } from './subs/world'

/** The HTTP API of V2 and V1: every form in which their clients say things. */

let world: SignalWorld
let credentials: Readonly<Record<string, string>>
beforeAll(async () => {
  world = await openSignalWorld({
    KV4_PUBLIC_WS_URL: 'wss://signal.example.com/ws',
    KV4_SERVICE_ALLOW: '127.0.0.0/8',
    KV4_SERVICE_TIMEOUT_MS: '600',
    KV4_TRUST_PROXY: '127.0.0.1',
  })
  credentials = { ident: 'elena', secret: world.elena.password }
})
afterAll(() => world.close())

interface Call {
  readonly method: string
  readonly path: string
  readonly body?: string
  readonly type?: string
}

async function call({ method, path, body, type }: Call): Promise<Answer> {
  return ask(Number(new URL(world.platform.url).port), method, path, {
    ...(body !== undefined && { body }),
    headers: {
      ...(body !== undefined && { 'Content-Length': String(Buffer.byteLength(body)) }),
      ...(type !== undefined && { 'Content-Type': type }),
    },
  })
}

const form = (parameters: Readonly<Record<string, string>>) => new URLSearchParams(parameters).toString()
const FORM = 'application/x-www-form-urlencoded'

/** A call with its parameters as PHP and Python send them. */
async function said(method: string, path: string, parameters: Readonly<Record<string, string>> = {}) {
  const body = form({ ...credentials, ...parameters })
  const { status, json } = await call({ method, path, body, type: FORM })
  expect(status).toBe(200)
  const { s, p, d, e } = json as { s: number; p: string; d: unknown; e: string | null }
  expect(Object.keys(json as object)).toEqual(['s', 'p', 'd', 'e'])
  expect(p).toBe(path)
  if (e !== null) expect(d).toBeNull()
  return e === null ? d : `${s} ${e}`
}

const ROOM = { domain: 'www.example.com', application: 'default', room: 'lobby' }

test('domains, applications and rooms are made, listed and removed, by both names of each call', async () => {
  expect(await said('GET', '/domain')).toEqual([])
  expect(await said('POST', '/application', { domain: ROOM.domain, application: 'x' })).toBe('404 no_domain')
  expect(await said('POST', '/domain', { domain: ROOM.domain })).toEqual({})
  expect(await said('POST', '/addDomain', { domain: ROOM.domain })).toBe('409 domain_exists')
  expect(await said('GET', '/listDomains')).toEqual([ROOM.domain])
  expect(await said('POST', '/room', ROOM)).toBe('404 no_application')
  expect(await said('POST', '/addApplication', ROOM)).toEqual({})
  expect(await said('POST', '/application', ROOM)).toBe('409 application_exists')
  expect(await said('POST', '/addRoom', ROOM)).toEqual({})
  expect(await said('POST', '/room', ROOM)).toBe('409 room_exists')
  expect(await said('POST', '/room', { ...ROOM, room: 'other' })).toEqual({})
  expect(await said('GET', '/room', ROOM)).toEqual(['lobby', 'other'])
  expect(await said('GET', '/listRooms', ROOM)).toEqual(['lobby', 'other'])
  expect(await said('GET', '/listApplications', ROOM)).toEqual(['default'])
  expect(await said('DELETE', '/room', { ...ROOM, room: 'other' })).toEqual({})
  expect(await said('DELETE', '/room', { ...ROOM, room: 'other' })).toBe('404 no_room')
  const { elena } = world
  expect(await elena.ok(elena.get<string[]>('/_ns/www.example.com'))).toEqual([
    'www.example.com',
    'www.example.com/default',
    'www.example.com/default/lobby',
  ])
  expect(await said('POST', '/domain', { domain: 'gone.example.com' })).toEqual({})
  expect(await said('POST', '/application', { domain: 'gone.example.com', application: 'a' })).toEqual({})
  expect(await said('DELETE', '/domain', { domain: 'gone.example.com' })).toEqual({})
  expect(await said('GET', '/domain')).toEqual([ROOM.domain])
})

test.each<[string, string, Readonly<Record<string, string>>, string]>([
  ['POST', '/domain', { domain: 'not a domain' }, '400 bad_domain_format'],
  ['POST', '/domain', { domain: '../x' }, '400 bad_domain_format'],
  ['POST', '/application', { ...ROOM, application: '1st' }, '400 bad_app_format'],
  ['POST', '/room', { ...ROOM, room: 'a/b' }, '400 bad_room_format'],
  ['POST', '/domain', {}, '404 no_domain'],
  ['GET', '/room', { domain: 'www.example.com' }, '404 no_application'],
  ['POST', '/signal/token', { ...ROOM, domain: 'nowhere.com' }, '404 no_domain'],
  ['POST', '/signal/token', { ...ROOM, room: 'nowhere' }, '404 no_room'],
  ['POST', '/signal/token', { ...ROOM, username: '__sys__' }, '400 bad_key'],
  ['POST', '/signal/token', { ...ROOM, expire: 'soon' }, '400 bad_request'],
  ['POST', '/ice', { ...ROOM, username: 'bob' }, '503 service_unavailable'],
  ['GET', '/getIceServers', { ...ROOM, timeout: '30' }, '503 service_unavailable'],
  ['GET', '/domain', { secret: 'wrong-secret' }, '401 unauthorized'],
  ['GET', '/domain', { ident: 'nobody' }, '401 unauthorized'],
  ['GET', '/domain', { ident: 'elena:x' }, '401 unauthorized'],
  ['GET', '/signal/nothing', {}, '404 not_found'],
  ['PUT', '/domain', {}, '405 method_not_allowed'],
])('%s %s with %j answers %s', async (method, path, parameters, expected) => {
  expect(await said(method, path, parameters)).toBe(expected)
})

describe('a token', () => {
  const forms: readonly (readonly [string, (parameters: Readonly<Record<string, string>>) => Call])[] = [
    ['a form', (p) => ({ method: 'POST', path: '/signal/token', body: form(p), type: FORM })],
    [
      'a form that calls itself JSON (xsdk)',
      (p) => ({ method: 'POST', path: '/signal/token', body: form(p), type: 'application/json' }),
    ],
    [
      'a form in the body of a GET (Python)',
      (p) => ({ method: 'GET', path: '/getToken', body: form(p), type: FORM }),
    ],
    [
      'JSON',
      (p) => ({
        method: 'POST',
        path: '/getToken',
        body: JSON.stringify({ ...p, secure: true }),
        type: 'application/json',
      }),
    ],
    [
      'JSON in the body of a GET (Node)',
      (p) => ({ method: 'GET', path: '/signal/token/', body: JSON.stringify(p) }),
    ],
    ['a query', (p) => ({ method: 'GET', path: `/signal/token?${form(p)}` })],
    [
      'a query beside a body',
      (p) => ({
        method: 'POST',
        path: `/getToken?${form({ room: 'nowhere', ident: 'x' })}`,
        body: form(p),
        type: FORM,
      }),
    ],
  ]
  test.each(forms)('is given to who asks in %s, and opens the socket', async (_what, make) => {
    const { status, json, headers } = await call(make({ ...credentials, ...ROOM, username: 'bob' }))
    expect([status, json]).toEqual([
      200,
      { s: 200, p: expect.any(String), d: { token: expect.any(String) }, e: null },
    ])
    expect(headers['access-control-allow-origin']).toBe('*')
    const { token } = (json as { d: { token: string } }).d
    expect(token).toMatch(/^[A-Za-z0-9._-]+$/)
    const bob = await Peer.in(world.url(token, 'v2'))
    expect(bob.take()).toEqual([
      '{"t":"u","m":{"f":"/www.example.com/default/lobby/__sys__","o":"peers"},"p":{"users":["bob"]}}',
    ])
    await bob.close()
  })

  test('without a user name is for a random one', async () => {
    const { token } = (await said('POST', '/getToken', ROOM)) as { token: string }
    const somebody = await Peer.in(world.url(token, 'ws'))
    expect((JSON.parse(somebody.take()[0]!) as { message: { users: string[] } }).message.users).toEqual([
      expect.stringMatching(/^[0-9a-f-]{36}$/),
    ])
    await somebody.close()
  })
})

describe('ICE servers, with a host of _turn', () => {
  const SERVERS = {
    iceServers: [
      { url: 'stun:turn.example.com' },
      { username: 'u', url: 'turn:turn.example.com:80?transport=udp', credential: 'c' },
    ],
  }
  let turn: TestHost
  let verifier: CallerVerifier
  let answer: { readonly status: number; readonly text: string; readonly isWhole?: boolean }
  const dripping: NodeJS.Timeout[] = []
  const told: unknown[] = []

  beforeAll(async () => {
    turn = await startHost((request, response) => {
      const { account, path } = verifier.verify(request)
      told.push([request.method, request.url, account, path])
      request.resume()
      if (answer.status === 0) return
      response.writeHead(answer.status, { 'content-type': 'application/json' })
      if (answer.isWhole === false) dripping.push(setInterval(() => response.write(' '), 50))
      else response.end(answer.text)
    })
    const key = await register(world.platform, { host: 'turn1', prefix: '_turn', url: turn.url })
    verifier = new CallerVerifier(key)
  })
  beforeEach(() => {
    answer = { status: 200, text: JSON.stringify({ v: SERVERS, s: 'ok' }) }
    told.length = 0
  })
  afterEach(() => dripping.splice(0).forEach((each) => clearInterval(each)))
  afterAll(() => turn.close())

  test('are what it answers, asked in the room for the user', async () => {
    const path = '/www.example.com/default/lobby'
    expect(await said('POST', '/ice', { ...ROOM, username: 'bob', timeout: '30' })).toEqual(SERVERS)
    expect(await said('GET', '/getIceServers', ROOM)).toEqual(SERVERS)
    expect(told).toEqual([
      ['PUT', `/_turn${path}?k=bob&expire=30`, 'elena', path],
      ['PUT', `/_turn${path}?expire=60`, 'elena', path],
    ])
    expect(await said('POST', '/ice', { ...ROOM, room: 'nowhere' })).toBe('404 no_room')
    expect(await said('POST', '/ice', { ...ROOM, timeout: 'soon' })).toBe('400 bad_request')
    expect(told).toHaveLength(2)
  })

  test.each([
    ['an error that callers may see', 400, '{"v":"bad_key","s":"error"}', '400 bad_key'],
    ['that the platform is not let in', 401, '{"v":"unauthorized","s":"error"}', '502 service_failed'],
    ['a word of its own', 400, '{"v":"constructor","s":"error"}', '502 service_failed'],
    ['success that says nothing', 200, '{"s":"ok"}', '502 service_failed'],
    ['success with an error status', 500, '{"v":{},"s":"ok"}', '502 service_failed'],
    ['no JSON', 200, '<html>', '502 service_failed'],
    ['more than is read', 200, JSON.stringify({ v: 'x'.repeat(1024 * 1024), s: 'ok' }), '502 service_failed'],
  ])('are refused when it answers %s', async (_what, status, text, expected) => {
    answer = { status, text }
    expect(await said('POST', '/ice', ROOM)).toBe(expected)
    expect(told).toHaveLength(1)
  })

  test.each([
    ['says nothing', { status: 0, text: '' }],
    ['never ends what it says', { status: 200, text: '', isWhole: false }],
  ])('are given up when it %s', async (_what, given) => {
    answer = given
    const began = Date.now()
    expect(await said('POST', '/ice', ROOM)).toBe('502 service_failed')
    expect(Date.now() - began).toBeGreaterThanOrEqual(590)
    expect(told).toHaveLength(1)
  })

  test('are not asked for where the caller is banned', async () => {
    const { elena } = world
    const at = '/_auth/www.example.com/default/lobby'
    await elena.ok(elena.put(at, { k: '203.0.113.9' }))
    const query = form({ ...credentials, ...ROOM })
    const { json } = await ask(Number(new URL(world.platform.url).port), 'GET', `/ice?${query}`, {
      headers: { 'X-Forwarded-For': '203.0.113.9' },
    })
    expect(json).toEqual({ s: 403, p: '/ice', d: null, e: 'forbidden' })
    expect(told).toEqual([])
  })

  test('are unavailable when it has gone', async () => {
    await turn.close()
    expect(await said('POST', '/ice', ROOM)).toBe('503 service_unavailable')
  })
})

test('what is denied an address at a path of the tree is denied it here, as by the envelope', async () => {
  const { elena } = world
  for (const path of ['denied.com', 'denied.com/app', 'denied.com/app/room', 'open.com'])
    await elena.post(`/_ns/${path}`)
  await elena.ok(elena.put('/_auth/denied.com/app', { k: '203.0.113.9' }))
  const port = Number(new URL(world.platform.url).port)
  const told = async (method: string, at: string, parameters: Readonly<Record<string, string>>) => {
    const query = form({ ...credentials, ...parameters })
    const headers = { 'X-Forwarded-For': '203.0.113.9' }
    return ((await ask(port, method, `${at}?${query}`, { headers })).json as { e: string | null }).e
  }
  const app = { domain: 'denied.com', application: 'app' }
  for (const [method, at, parameters] of [
    ['GET', '/signal/token', { ...app, room: 'room' }],
    ['POST', '/getToken', { ...app, room: 'room' }],
    ['POST', '/room', { ...app, room: 'new' }],
    ['POST', '/addRoom', { ...app, room: 'room' }],
    ['DELETE', '/room', { ...app, room: 'room' }],
    ['DELETE', '/room', { ...app, room: 'none' }],
    ['GET', '/room', app],
    ['POST', '/application', app],
    ['DELETE', '/application', app],
  ] as const)
    expect([method, at, await told(method, at, parameters)]).toEqual([method, at, 'forbidden'])
  expect(await told('GET', '/application', { domain: 'denied.com' })).toBeNull()
  expect(await told('POST', '/application', { domain: 'open.com', application: 'app' })).toBeNull()
  expect(await elena.ok(elena.get<string[]>('/_ns/denied.com'))).toEqual([
    'denied.com',
    'denied.com/app',
    'denied.com/app/room',
  ])
})

test.each([
  ['GET', '/signal/list?secure=1'],
  ['POST', '/wsList'],
])('%s %s tells anybody the host', async (method, path) => {
  const { json } = await call({ method, path })
  expect(json).toEqual({
    s: 200,
    p: path.split('?')[0],
    d: { value: 'wss://signal.example.com/ws' },
    e: null,
  })
})

test.each([
  ['a body that is not UTF-8', { method: 'POST', path: '/domain', body: '%ff', type: FORM }],
  ['JSON that is no object', { method: 'POST', path: '/domain', body: '[1]' }],
  [
    'too many parameters',
    { method: 'GET', path: '/domain?' + Array.from({ length: 70 }, (_, i) => `p${i}=1`).join('&') },
  ],
  [
    'names of JavaScript',
    { method: 'POST', path: '/domain', body: '{"__proto__":{"ident":"elena"},"constructor":"x"}' },
  ],
])('refuses %s', async (_what, request) => {
  const { status, json } = await call(request)
  expect([status, (json as { e: string }).e]).toEqual([
    200,
    expect.stringMatching(/^(bad_request|unauthorized)$/),
  ])
})

test('refuses a body without end, and ends the connection', async () => {
  const { json, headers } = await call({
    method: 'POST',
    path: '/domain',
    body: 'x='.padEnd(70_000, 'x'),
    type: FORM,
  })
  expect(json).toMatchObject({ s: 413, e: 'body_too_large' })
  expect(headers.connection).toBe('close')
})

test('answers the question that browsers ask before', async () => {
  const { status, headers } = await call({ method: 'OPTIONS', path: '/signal/token' })
  expect(status).toBe(200)
  expect(headers['access-control-allow-headers']).toContain('X-Requested-With')
  expect(headers['access-control-allow-methods']).toContain('DELETE')
})

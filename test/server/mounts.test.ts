import { setTimeout as wait } from 'node:timers/promises'
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { isKv4Error } from '../../core'
import { BindingError } from '../../server/binder'
import { bindMounts } from '../../server/mounts'
import { statusOf } from '../../server/status'
import { Reply, route } from '../../services/module'
import type { Service, StreamEvent } from '../../services/module'
import type { Mount, MountReply, MountRequest, MountRoute } from '../../services/mount'
import { until } from '../eventually'
import { SYS_SECRET, openWorld } from './world'
import type { World } from './world'

const SYS = `$sys:${SYS_SECRET}`

function text(status: number, body: unknown, headers: MountReply['headers'] = []): MountReply {
  return { status, headers: [['Content-Type', 'text/plain'], ...headers], body: JSON.stringify(body) }
}

/** Set when a stream's source has been released. */
let released = 0

async function* ticks(signal: AbortSignal): AsyncGenerator<string, void, undefined> {
  try {
    for (let i = 0; !signal.aborted; i++) {
      yield `tick ${i}\n`
      await wait(5)
    }
  } finally {
    released++
  }
}

const FLOOD = 'x'.repeat(64 * 1024)
let flooded = 0
/** Set while /old/parts waits. */
let goOn: (() => void) | undefined

const routes: readonly MountRoute[] = [
  {
    methods: ['GET', 'POST'],
    pattern: /^\/old\/echo\/(.*)$/,
    access: 'public',
    summary: 'What was sent.',
    async run(request, [, rest]) {
      const { method, rawPath, rawQuery, origin, remoteAddress } = request
      const body = (await request.body()).toString('latin1')
      return text(200, { method, rawPath, rest, rawQuery, origin, remoteAddress, body }, [
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
      ])
    },
  },
  {
    methods: ['PUT'],
    pattern: /^\/old\/mine$/,
    access: 'account',
    summary: 'Who is asking.',
    run: async ({ principal, bucket }) => text(201, { login: principal.login, bucket: bucket.name }),
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/held$/,
    access: 'holder',
    summary: 'Holders only.',
    run: async () => text(200, 'held'),
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/form\/([^/]+)\/(.+)$/,
    access: 'public',
    summary: 'A credential that came by another way.',
    async run(request, [, user, password]) {
      const principal = await request.authenticate(decodeURIComponent(user!), decodeURIComponent(password!))
      return text(200, request.bucketOf(principal).name)
    },
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/nobody$/,
    access: 'public',
    summary: 'Asks for a principal that nobody gave.',
    run: async (request) => text(200, request.principal),
  },
  {
    methods: ['DELETE'],
    pattern: /^\/old\/empty$/,
    access: 'public',
    summary: 'Nothing.',
    run: async () => ({ status: 204 }),
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/bare$/,
    access: 'public',
    summary: 'A status alone.',
    run: async () => ({ status: 202 }),
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/thrower$/,
    access: 'public',
    summary: 'Throws before it gives a promise.',
    run: () => {
      throw new Error('a secret detail')
    },
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/order$/,
    access: 'public',
    summary: 'By GET, and so by HEAD.',
    run: async () => ({ status: 200, headers: [['X-By', 'GET']] }),
  },
  {
    methods: ['HEAD'],
    pattern: /^\/old\/order$/,
    access: 'public',
    summary: 'Comes too late.',
    run: async () => ({ status: 200, headers: [['X-By', 'HEAD']] }),
  },
  {
    methods: ['*'],
    pattern: /^\/old\/order$/,
    access: 'public',
    summary: 'By any method else.',
    run: async ({ method }) => ({ status: 200, headers: [['X-By', `* as ${method}`]] }),
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/ticks$/,
    access: 'public',
    summary: 'A stream.',
    run: async ({ signal }) => ({ status: 200, body: ticks(signal) }),
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/parts$/,
    access: 'public',
    summary: 'Two parts, the second when told.',
    run: async () => ({
      status: 200,
      body: (async function* () {
        yield '{"a":1'
        await new Promise<void>((resolve) => (goOn = resolve))
        yield ',"b":2}'
      })(),
    }),
  },
  {
    methods: ['GET'],
    pattern: /^\/old\/flood$/,
    access: 'public',
    summary: 'More than anybody reads.',
    run: async ({ signal }) => ({
      status: 200,
      body: (async function* () {
        while (!signal.aborted) {
          flooded++
          yield FLOOD
        }
      })(),
    }),
  },
]

function refuse(error: unknown, { method }: MountRequest): MountReply {
  const code = isKv4Error(error) ? error.code : 'internal'
  return text(
    statusOf(code),
    { fault: code, method },
    code === 'unauthorized' ? [['WWW-Authenticate', 'Old']] : [],
  )
}

const old: Mount = { name: 'old', segments: ['old', 'old.2'], routes, maxBody: 100, refuse }

let streamReleased = 0

/** A service that answers with events: its stream and a mount's use the same way out. */
function clock(): Service {
  return {
    name: 'clock',
    prefix: '_clock',
    layers: [],
    routes: [
      route({
        method: 'GET',
        access: 'account',
        summary: 'Events.',
        async run({ wantsEvents, lastEventId, signal, path }) {
          if (!wantsEvents) return 'no stream'
          async function* events(): AsyncGenerator<StreamEvent, void, undefined> {
            try {
              for (let i = Number(lastEventId ?? 0) + 1; !signal.aborted; i++) {
                if (path === '/broken' && i === 2) throw new Error('a secret detail')
                yield { id: String(i), event: 'tick', data: { i, text: 'a\nb' } }
                await wait(5)
              }
            } finally {
              streamReleased++
            }
          }
          return new Reply(null, { stream: events() })
        },
      }),
    ],
  }
}

let world: World
beforeAll(async () => {
  world = await openWorld({}, { mounts: [() => old], services: [() => clock()] })
})
afterAll(() => world.close())

describe('a mount', () => {
  test('sees the target as it was sent: double slashes, escapes and the query are its own affair', async () => {
    const { status, json, headers } = await world.ask('GET', '/old/echo//a%2Fb/../c%zz/?x=1&x=2&')
    expect(status).toBe(200)
    expect(json).toMatchObject({
      rawPath: '/old/echo//a%2Fb/../c%zz/',
      rest: '/a%2Fb/../c%zz/',
      rawQuery: 'x=1&x=2&',
      origin: world.server.url,
      remoteAddress: '127.0.0.1',
    })
    expect(headers['set-cookie']).toEqual(['a=1', 'b=2'])
  })

  test.each([
    ['GET', 'GET'],
    ['HEAD', 'GET'],
    ['PATCH', '* as PATCH'],
    ['OPTIONS', '* as OPTIONS'],
    ['PROPFIND', '* as PROPFIND'],
  ])('answers %s by the first of its routes that takes it', async (method, by) => {
    for (let i = 0; i < 2; i++) expect((await world.ask(method, '/old/order')).headers['x-by']).toBe(by)
  })

  test('answers in its own form what throws before there is a promise', async () => {
    const { status, json } = await world.ask('GET', '/old/thrower')
    expect([status, json]).toEqual([500, { fault: 'internal', method: 'GET' }])
  })

  test('answers each of its segments and no other', async () => {
    expect((await world.ask('GET', '/old.2/x')).json).toEqual({ fault: 'not_found', method: 'GET' })
    expect((await world.ask('GET', '/older/echo/')).json).toMatchObject({ v: 'not_found', s: 'error' })
    expect((await world.ask('GET', '/old?x')).json).toMatchObject({ fault: 'not_found' })
  })

  test('takes a body of any type and none', async () => {
    const { json } = await world.ask('POST', '/old/echo/', {
      body: Buffer.from([0, 255, 10]),
      headers: { 'Content-Type': 'foo/bar' },
    })
    expect(json.body).toBe('\x00\xff\n')
    expect((await world.ask('POST', '/old/echo/')).json.body).toBe('')
  })

  test('refuses a body beyond its limit in its own form, declared or chunked, and ends the connection', async () => {
    const declared = await world.ask('POST', '/old/echo/', { body: 'x'.repeat(101) })
    expect(declared).toMatchObject({ status: 413, json: { fault: 'body_too_large' } })
    expect(declared.headers.connection).toBe('close')
    const chunked = await world.raw(
      'POST /old/echo/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n' +
        `65\r\n${'x'.repeat(101)}\r\n0\r\n\r\n`,
    )
    expect(chunked).toMatch(/^HTTP\/1\.1 413 /)
  })

  test('has its access rules enforced and is told of refusals', async () => {
    const none = await world.ask('PUT', '/old/mine')
    expect(none).toMatchObject({ status: 401, json: { fault: 'unauthorized' } })
    expect(none.headers['www-authenticate']).toBe('Old')
    expect((await world.ask('PUT', '/old/mine', { as: '$sys:wrong' })).status).toBe(401)
    expect((await world.ask('PUT', '/old/mine', { as: SYS })).json).toEqual({ login: '$sys', bucket: '$sys' })
    expect((await world.ask('GET', '/old/held', { as: SYS })).json).toBe('held')
    expect((await world.ask('GET', '/old/held')).status).toBe(401)
  })

  test('verifies a credential that came by another way', async () => {
    const secret = encodeURIComponent(SYS_SECRET)
    expect((await world.ask('GET', `/old/form/$sys/${secret}`)).json).toBe('$sys')
    expect((await world.ask('GET', '/old/form/$sys/wrong')).json).toMatchObject({ fault: 'unauthorized' })
    // Not another reading of `$sys` and a password with a colon.
    expect((await world.ask('GET', `/old/form/$sys%3Aa/${secret}`)).json).toMatchObject({
      fault: 'unauthorized',
    })
  })

  test('tells a wrong method from an unknown URL', async () => {
    expect((await world.ask('PATCH', '/old/mine')).json).toEqual({
      fault: 'method_not_allowed',
      method: 'PATCH',
    })
    expect((await world.ask('OPTIONS', '/old/mine')).json).toMatchObject({ fault: 'method_not_allowed' })
    expect((await world.ask('GET', '/old/none')).json).toMatchObject({ fault: 'not_found' })
  })

  test('says its length always, but where there can be none', async () => {
    expect((await world.ask('GET', '/old/echo/')).headers['content-length']).toMatch(/^[1-9]/)
    expect((await world.ask('GET', '/old/bare')).headers['content-length']).toBe('0')
    expect((await world.ask('DELETE', '/old/empty')).headers['content-length']).toBeUndefined()
    const head = await world.ask('HEAD', '/old/echo/')
    expect(head).toMatchObject({ status: 200, text: '' })
    expect(head.headers['content-length']).toMatch(/^[1-9]/)
  })

  test('hides what went wrong inside, and logs it', async () => {
    const { json } = await world.ask('GET', '/old/nobody')
    expect(json).toEqual({ fault: 'internal', method: 'GET' })
    expect(world.logged()).toContain('a public route asked who is calling')
  })

  test('takes the origin from the Host that the client named, unless it is none', async () => {
    const named = await world.ask('GET', '/old/echo/', { headers: { Host: 'kv4.example:8080' } })
    expect(named.json.origin).toBe('http://kv4.example:8080')
    // Nobody in front is trusted here.
    const forged = await world.ask('GET', '/old/echo/', {
      headers: { Host: 'a/b', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'evil.example' },
    })
    expect(forged.json.origin).toBe(world.server.url)
  })
})

/** An answer that goes on. */
function openStream(
  path: string,
  headers: Record<string, string> = {},
  { server } = world,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port: server.port, path, agent: false, headers },
      resolve,
    )
    request.on('error', reject)
    request.end()
  })
}

async function read(response: IncomingMessage, enough: (text: string) => boolean): Promise<string> {
  let all = ''
  for await (const chunk of response.setEncoding('utf8')) {
    all += chunk as string
    if (enough(all)) break
  }
  return all
}

const BASIC = 'Basic ' + Buffer.from(SYS).toString('base64')
const EVENTS = { Accept: 'text/event-stream', Authorization: BASIC }

describe('an answer that goes on', () => {
  test('is sent as it comes, and its source is released when the caller goes', async () => {
    const before = released
    const response = await openStream('/old/ticks')
    expect(await read(response, (all) => all.includes('tick 3'))).toContain('tick 0\ntick 1\n')
    response.destroy()
    await until(() => released === before + 1)
  })

  test('goes no faster than its caller reads', async () => {
    const response = await openStream('/old/flood')
    response.pause()
    await until(() => flooded > 0)
    await wait(200)
    const stalled = flooded
    await wait(200)
    expect(flooded).toBe(stalled)
    // What node and the kernel hold, not what memory allows.
    expect(stalled * FLOOD.length).toBeLessThan(64 * 1024 * 1024)
    response.destroy()
  })

  test('of a service is server-sent events, resumed by Last-Event-ID', async () => {
    const before = streamReleased
    const response = await openStream('/_clock', { ...EVENTS, 'Last-Event-ID': '6' })
    expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8')
    const all = await read(response, (sofar) => sofar.includes('id: 8'))
    expect(all).toContain('retry: 1000\n\nid: 7\nevent: tick\ndata: {"i":7,"text":"a\\nb"}\n\n')
    response.destroy()
    await until(() => streamReleased === before + 1)
  })

  test('is for those who ask for it', async () => {
    expect((await world.ask('GET', '/_clock', { as: SYS })).json).toEqual({ v: 'no stream', s: 'ok' })
    expect((await openStream('/_clock', { Accept: 'text/event-stream' })).statusCode).toBe(401)
  })

  test('tells an error on the way as an event, without what is not the caller’s business', async () => {
    const all = await read(await openStream('/_clock/broken', EVENTS), () => false)
    expect(all).toMatch(/event: error\ndata: \{"v":"internal","s":"error"\}\n\n$/)
    expect(world.logged()).toContain('a stream failed')
  })

  test('of a service ends when the server drains', async () => {
    const other = await openWorld({}, { services: [() => clock()] })
    const all = read(await openStream('/_clock', EVENTS, other), () => false)
    const start = performance.now()
    await other.close()
    expect(performance.now() - start).toBeLessThan(3_000)
    expect(await all).toContain('id: 1\n')
  })

  test('of a mount comes to its end when the server drains', async () => {
    const other = await openWorld({}, { mounts: [() => old], services: [] })
    goOn = undefined
    const all = read(await openStream('/old/parts', {}, other), () => false)
    await until(() => goOn !== undefined)
    const closed = other.close()
    await wait(200)
    goOn!()
    expect(await all).toBe('{"a":1,"b":2}')
    await closed
  })

  test('of a mount is cut when the drain takes too long', async () => {
    const other = await openWorld({ KV4_DRAIN_MS: '200' }, { mounts: [() => old], services: [] })
    goOn = undefined
    const all = read(await openStream('/old/parts', {}, other), () => false)
    const refused = expect(all).rejects.toMatchObject({ code: 'ECONNRESET' })
    await until(() => goOn !== undefined)
    await other.close()
    await refused
    goOn!()
  })
})

describe('the binder of mounts', () => {
  const platform = {} as Omit<Parameters<typeof bindMounts>[0], 'mounts'>
  const good = routes[0]!
  test.each<[string, readonly Partial<Mount>[], RegExp]>([
    ['two of one name', [{}, { segments: ['x'] }], /two mounts are called/],
    ['two that want one segment', [{}, { name: 'b' }], /segment old is wanted by old and by b/],
    ['no segment', [{ segments: [] }], /no segments/],
    ['a segment of the platform', [{ segments: ['healthz'] }], /cannot be/],
    ["a service's prefix", [{ segments: ['_data'] }], /cannot be/],
    ['a route without a rule', [{ routes: [{ ...good, access: undefined as never }] }], /no access rule/],
    ['a route without methods', [{ routes: [{ ...good, methods: [] }] }], /no methods/],
    ['a pattern with a memory', [{ routes: [{ ...good, pattern: /x/g }] }], /stateless/],
  ])('refuses %s', (_what, mounts, problem) => {
    const bound = () => bindMounts({ ...platform, mounts: mounts.map((mount) => ({ ...old, ...mount })) })
    expect(bound).toThrow(BindingError)
    expect(bound).toThrow(problem)
  })
})

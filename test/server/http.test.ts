import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { CATALOGUE } from '../../core'
import type { ErrorCode } from '../../core'
import { statusOf } from '../../server/status'
import { CATALOG } from '../../services/catalog'
import { until } from '../eventually'
import { probe, waiting } from './probe'
import { SYS_SECRET, basic, openWorld } from './world'
import type { World } from './world'

const sys = '$sys:' + SYS_SECRET
let world: World

beforeAll(async () => {
  world = await openWorld({}, { services: [...CATALOG, probe] })
})
afterAll(() => world.close())

const ask: World['ask'] = (...asked) => world.ask(...asked)

describe('the envelope', () => {
  test('of a value', async () => {
    const { status, json, headers } = await ask('DELETE', '/_probe/x', { as: sys })
    expect(status).toBe(200)
    expect(json).toEqual({ v: 3, s: 'ok' })
    expect(headers['content-type']).toBe('application/json; charset=utf-8')
  })

  test('of a reply: created, the next page, ready text', async () => {
    const put = await ask('PUT', '/_probe', { as: sys, body: { a: 1 } })
    expect(put.status).toBe(201)
    expect(put.json).toMatchObject({ s: 'ok', next: 'more', v: { body: { a: 1 } } })
    expect((await ask('GET', '/_probe/text')).text).toBe('{"v":{"as":"it is"},"s":"ok"}')
  })

  test('of errors: code and public fields, nothing else', async () => {
    const { status, json } = await ask('GET', '/_probe/fail?how=locked')
    expect(status).toBe(409)
    expect(json).toEqual({ v: 'locked', s: 'error', d: { hint: 'public' } })
  })

  test.each(['bug', 'text'])(
    'a failure that nobody meant (%s) is internal and tells nothing',
    async (how) => {
      const { status, json, headers } = await ask('GET', '/_probe/fail?how=' + how)
      expect(status).toBe(500)
      expect(json).toEqual({ v: 'internal', s: 'error' })
      const line = world
        .logged()
        .split('\n')
        .find((text) => text.includes(String(headers['x-request-id'])) && text.includes('"level":"error"'))
      expect(line).toContain('canary-internal')
    },
  )

  test('unauthorized has one form, whatever the cause', async () => {
    const forms = await Promise.all([
      ask('GET', '/_data/x'),
      ask('GET', '/_data/x', { as: '$sys:wrong-secret-0123456789' }),
      ask('GET', '/_data/x', { as: 'nobody:wrong-secret-0123456789' }),
      ask('GET', '/_data/x', { headers: { Authorization: 'Bearer x' } }),
      ask('GET', '/_data/x', { headers: { Authorization: 'Basic ???' } }),
      ask('GET', '/_probe/fail?how=secret'),
    ])
    for (const { status, text, headers } of forms) {
      expect(status).toBe(401)
      expect(text).toBe('{"v":"unauthorized","s":"error"}')
      expect(headers['www-authenticate']).toMatch(/^Basic realm=/)
    }
  })

  test('says when to come back', async () => {
    expect((await ask('GET', '/_probe/fail?how=overloaded')).headers['retry-after']).toBe('3')
    const away = await ask('GET', '/_probe/fail?how=store_unavailable')
    expect([away.status, away.headers['retry-after']]).toEqual([503, '1'])
  })

  test('has a status for every code', () => {
    for (const code of Object.keys(CATALOGUE) as ErrorCode[])
      expect(statusOf(code)).toBeGreaterThanOrEqual(400)
  })
})

describe('always200', () => {
  let old: World
  beforeAll(async () => {
    old = await openWorld({ KV4_STATUS: 'always200' }, { services: [...CATALOG, probe] })
  })
  afterAll(() => old.close())

  test('answers 200 with JSON for everything', async () => {
    const answers = await Promise.all([
      old.ask('GET', '/_data/x?k=1', { as: sys }),
      old.ask('GET', '/_data/x?k=1'),
      old.ask('GET', '/_nothing', { as: sys }),
      old.ask('PUT', '/_probe', { as: sys, body: '{' }),
      old.ask('PUT', '/_probe', { as: sys, body: {} }),
      old.ask('POST', '/_probe/open', { as: sys }),
      old.ask('GET', '/_probe/fail?how=bug'),
      old.ask('GET', '/_data/../x', { as: sys }),
      old.ask('GET', '/_probe', { as: sys, headers: { 'If-None-Match': '"v1"' } }),
    ])
    expect(answers.map(({ status, json }) => [status, json.s === 'ok' ? 'ok' : String(json.v)])).toEqual([
      [200, 'not_found'],
      [200, 'unauthorized'],
      [200, 'not_found'],
      [200, 'bad_json'],
      [200, 'ok'],
      [200, 'method_not_allowed'],
      [200, 'internal'],
      [200, 'bad_segment'],
      [200, 'ok'],
    ])
    // A browser would ask its user for a password.
    for (const { headers } of answers) expect(headers['www-authenticate']).toBeUndefined()
  })
})

describe('headers', () => {
  test('are safe ones on every answer, and have the length', async () => {
    for (const path of ['/_probe/open', '/_nothing', '/_data/x', '/healthz']) {
      const { headers, text } = await ask('GET', path)
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'",
        'content-length': String(Buffer.byteLength(text)),
      })
      expect(headers['x-powered-by']).toBeUndefined()
      expect(headers['access-control-allow-origin']).toBeUndefined()
    }
  })

  test('the request id is the caller’s when it is sane', async () => {
    const id = async (sent?: string) =>
      (await ask('GET', '/healthz', sent === undefined ? {} : { headers: { 'X-Request-Id': sent } })).headers[
        'x-request-id'
      ]
    expect(await id('abc-1.2_~')).toBe('abc-1.2_~')
    expect(await id('x'.repeat(65))).not.toContain('xxx')
    expect(await id('"<a>"')).not.toContain('<')
    expect(await id()).not.toBe(await id())
  })

  test('a page of another origin may read answers and ask before it sends', async () => {
    const headers = { Origin: 'https://app.example' }
    const get = await ask('GET', '/_probe', { as: sys, headers })
    expect(get.headers['access-control-allow-origin']).toBe('*')
    expect(get.headers['access-control-expose-headers']).toContain('ETag')
    const refused = await ask('GET', '/_probe', { headers })
    expect([refused.status, refused.headers['access-control-allow-origin']]).toEqual([401, '*'])

    const preflight = await ask('OPTIONS', '/_data/a/path', {
      headers: {
        ...headers,
        'Access-Control-Request-Method': 'PUT',
        'Access-Control-Request-Headers': 'authorization,content-type,x-requested-with',
      },
    })
    expect(preflight.status).toBe(200)
    expect(preflight.json).toEqual({ s: 'ok' })
    expect(preflight.headers['access-control-allow-origin']).toBe('*')
    for (const name of ['Authorization', 'Content-Type', 'X-Requested-With'])
      expect(preflight.headers['access-control-allow-headers']).toContain(name)
    for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS'])
      expect(preflight.headers['access-control-allow-methods']).toContain(method)
    expect(preflight.headers['access-control-allow-credentials']).toBeUndefined()
  })

  test('HEAD is GET without the body', async () => {
    const get = await ask('GET', '/_probe/head?n=1', { as: sys })
    const head = await ask('HEAD', '/_probe/head?n=1', { as: sys })
    expect(head.status).toBe(200)
    expect(head.text).toBe('')
    expect(head.headers['content-length']).toBe(get.headers['content-length'])
    expect(head.headers['etag']).toBe('"v1"')
    expect((await ask('HEAD', '/_probe/head')).status).toBe(401)
  })

  test('a version that the caller knows is not sent again', async () => {
    const known = (tags: string, method = 'GET') =>
      ask(method, '/_probe', { as: sys, headers: { 'If-None-Match': tags } })
    for (const tags of ['"v1"', 'W/"v1"', '"v0", "v1"', '*']) {
      const { status, text, headers } = await known(tags)
      expect([status, text, headers['etag']]).toEqual([304, '', '"v1"'])
      expect(headers['content-length']).toBeUndefined()
    }
    expect((await known('"v1"', 'HEAD')).status).toBe(304)
    expect((await known('"v2"')).status).toBe(200)
    expect((await known('v1')).json.v).toBe('bad_request')
  })

  test('If-Match reaches the service as a version tag', async () => {
    const put = (tag: string) => ask('PUT', '/_probe', { as: sys, body: {}, headers: { 'If-Match': tag } })
    expect((await put('"v1"')).json.v.ifMatch).toBe('v1')
    expect((await put('*')).json.v.ifMatch).toBe('*')
    expect((await put('W/"v1"')).status).toBe(412)
    expect((await put('"v1","v2"')).status).toBe(400)
    expect((await put('nonsense')).status).toBe(400)
  })
})

describe('requests', () => {
  test('path and query are decoded once', async () => {
    const { json } = await ask('GET', '//_probe//a%20b///%C3%A9/?x=1%202&y=a+b&y=c', { as: sys })
    expect(json.v).toMatchObject({
      path: '/a b/é',
      query: { x: '1 2', y: 'c' },
      login: '$sys',
      bucket: '$sys',
    })
  })

  test.each([
    ['GET', '/_nothing', 404, 'not_found'],
    ['GET', '/', 404, 'not_found'],
    ['GET', '/_probe/a%2Fb', 400, 'bad_segment'],
    ['GET', '/_probe/%zz', 400, 'bad_request'],
    ['GET', '/_probe?n=x', 400, 'bad_range'],
    ['GET', '/_probe?' + 'a&'.repeat(33), 400, 'bad_request'],
    ['GET', '/_probe/fail', 400, 'bad_request'],
    ['POST', '/_probe/a', 405, 'method_not_allowed'],
    ['PATCH', '/_probe/a', 405, 'method_not_allowed'],
    ['TRACE', '/_probe/a', 405, 'method_not_allowed'],
    ['GET', '/_probe/wait', 405, 'method_not_allowed'],
  ])('%s %s', async (method, path, status, code) => {
    const answer = await ask(method, path, { as: sys })
    expect([answer.status, answer.json.v, answer.json.s]).toEqual([status, code, 'error'])
  })

  test('a wrong method hears which are right', async () => {
    expect((await ask('POST', '/_probe/a')).headers['allow']).toBe('GET, PUT, DELETE, HEAD, OPTIONS')
    expect((await ask('GET', '/_probe/wait')).headers['allow']).toBe('POST, OPTIONS')
  })

  test('what a schema refuses is named, without the value', async () => {
    const { status, json } = await ask('PUT', '/_probe', { as: sys, body: { strict: 1 } })
    expect(status).toBe(400)
    expect(json).toEqual({ v: 'bad_request', s: 'error', d: { path: 'body.strict', reason: 'is not text' } })
  })

  test('bodyless writes come in four forms that are one', async () => {
    const forms = [
      {},
      { body: 'null' },
      { body: '{}' },
      { body: '', headers: { 'Content-Type': 'application/json; charset=utf-8' } },
      { body: '', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } },
    ]
    for (const form of forms) {
      const { status, json } = await ask('PUT', '/_probe', { as: sys, ...form })
      expect([status, json.v.body]).toEqual([201, {}])
    }
  })

  test.each([
    ['application/json', 201],
    ['application/json; charset=utf-8', 201],
    ['Application/JSON;charset="UTF-8"', 201],
    ['application/json;charset=utf8', 201],
    ['application/json; charset=latin1', 415],
    ['text/plain', 415],
    ['application/x-www-form-urlencoded', 415],
    ['application/jsonp', 415],
    ['multipart/form-data; boundary=x', 415],
  ])('a body of type %s', async (type, status) => {
    const answer = await ask('PUT', '/_probe', {
      as: sys,
      body: '{"a":1}',
      headers: { 'Content-Type': type },
    })
    expect(answer.status).toBe(status)
  })

  test('a body without a type is JSON', async () => {
    const { headers } = await rawPut('', '{"a":1}')
    expect(headers).toMatch(/^HTTP\/1.1 201/)
  })

  test('a compressed body is not read', async () => {
    const { status, json } = await ask('PUT', '/_probe', {
      as: sys,
      body: '{}',
      headers: { 'Content-Encoding': 'gzip' },
    })
    expect([status, json.v]).toEqual([415, 'unsupported_media_type'])
  })

  test('a body has 1 MiB, with a length or without', async () => {
    const fits = JSON.stringify({ a: 'x'.repeat(1024 * 1024 - 8) })
    expect(Buffer.byteLength(fits)).toBe(1024 * 1024)
    expect((await ask('PUT', '/_probe', { as: sys, body: fits })).status).toBe(201)
    const over = await ask('PUT', '/_probe', { as: sys, body: fits + ' ' })
    expect([over.status, over.json.v, over.headers.connection]).toEqual([413, 'body_too_large', 'close'])
    const chunked = await world.raw(
      `PUT /_probe HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(sys)}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `${(1024 * 1024 + 1).toString(16)}\r\n${'x'.repeat(1024 * 1024 + 1)}\r\n0\r\n\r\n`,
    )
    expect(chunked).toMatch(/^HTTP\/1.1 413/)
    expect(chunked).toContain('body_too_large')
  })

  describe.each(['rest', 'always200'])('a body without an end is not read, under KV4_STATUS=%s,', (mode) => {
    let other: World
    beforeAll(async () => {
      other = await openWorld({ KV4_STATUS: mode }, { services: [probe] })
    })
    afterAll(() => other.close())

    test.each([
      ['where nobody is let in', 'PUT /_probe', 401],
      ['where it is too large', `PUT /_probe HTTP/1.1\r\nAuthorization: ${basic(sys)}`, 413],
      ['where the route takes none', `DELETE /_probe HTTP/1.1\r\nAuthorization: ${basic(sys)}`, 200],
      ['where there is no such service', 'PUT /nothing', 404],
    ])('%s', async (_title, line, status) => {
      const head = line.includes('\r\n') ? line : `${line} HTTP/1.1`
      for (const [length, piece] of [
        ['Content-Length: 1000000000000', 'x'.repeat(65_536)],
        ['Transfer-Encoding: chunked', `10000\r\n${'x'.repeat(65_536)}\r\n`],
      ] as const) {
        const text = await sendForever(other.server.port, `${head}\r\nHost: x\r\n${length}\r\n\r\n`, piece)
        expect(text).toMatch(new RegExp(`^HTTP/1.1 ${mode === 'rest' ? status : 200} `))
        expect(text).toContain('\r\nConnection: close\r\n')
      }
    })
  })

  test('a body in pieces is put together', async () => {
    const body = '{"text":"é' + 'x'.repeat(70_000) + '"}'
    const bytes = Buffer.from(body)
    const socket = connect(world.server.port, '127.0.0.1')
    const text = new Promise<string>((resolve) => {
      let got = ''
      socket.on('data', (chunk) => {
        got += String(chunk)
        if (got.endsWith('"next":"more"}')) resolve(got)
      })
    })
    socket.write(
      `PUT /_probe HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(sys)}\r\nContent-Length: ${bytes.length}\r\n\r\n`,
    )
    for (let i = 0; i < bytes.length; i += 9_973) {
      socket.write(bytes.subarray(i, i + 9_973))
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    expect(await text).toContain(body)
    socket.destroy()
  })

  test('the body is asked for only after the credential was good', async () => {
    const head = (as: string) =>
      `PUT /_probe HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(as)}\r\nExpect: 100-continue\r\n` +
      'Content-Type: application/json\r\nConnection: close\r\nContent-Length: 2\r\n\r\n'
    expect(await world.raw(head(sys) + '{}')).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 201/)
    expect(await world.raw(head('$sys:wrong-secret-0123456789') + '{}')).toMatch(/^HTTP\/1.1 401/)
  })

  test('keeps connections, several requests on one', async () => {
    const one = `GET /_probe/open HTTP/1.1\r\nHost: x\r\n\r\n`
    const text = await world.raw(one + one + one.replace('Host', 'Connection: close\r\nHost'))
    expect(text.match(/HTTP\/1.1 200 OK/g)).toHaveLength(3)
  })

  test('a route hears when its caller has gone', async () => {
    const socket = connect(world.server.port, '127.0.0.1')
    delete waiting.signal
    socket.write(
      `POST /_probe/wait HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(sys)}\r\nContent-Length: 0\r\n\r\n`,
    )
    await until(() => waiting.signal !== undefined)
    expect(waiting.signal!.aborted).toBe(false)
    socket.destroy()
    await until(() => waiting.signal!.aborted)
    waiting.release!()
  })
})

describe('bytes that are not a request', () => {
  test.each([
    ['no HTTP', 'hello\r\n\r\n', /^HTTP\/1.1 400/],
    [
      'two lengths',
      'PUT /_probe HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
      /400/,
    ],
    [
      'length and chunks (smuggling)',
      'PUT /_probe HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      /400/,
    ],
    ['a large header', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(9000)}\r\n\r\n`, /^HTTP\/1.1 431/],
    ['no host', 'GET /_probe/open HTTP/1.1\r\n\r\n', /^HTTP\/1.1 400/],
    ['another server’s URL', 'GET http://x/_probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /400/],
  ])('%s', async (_title, bytes, expected) => {
    expect(await world.raw(bytes)).toMatch(expected)
    expect((await ask('GET', '/healthz')).status).toBe(200)
  })

  test.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['HTTP/2', 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'],
  ])('do not hold the connection, though the other side does not end it: %s', async (_title, bytes) => {
    const accepted = new Promise<Socket>((resolve) => {
      const hear = (message: unknown) => {
        unsubscribe('net.server.socket', hear)
        resolve((message as { readonly socket: Socket }).socket)
      }
      subscribe('net.server.socket', hear)
    })
    const socket = connect({ port: world.server.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.resume().write(bytes)
    try {
      const other = await accepted
      await until(() => other.destroyed)
    } finally {
      socket.destroy()
    }
  })
})

describe('access', () => {
  beforeAll(async () => {
    const body = (k: string, secret: string) => ({ k, v: { email: `${k}@example.com`, secret } })
    await ask('PUT', '/_acc/accounts', { as: sys, body: body('elena', 'elenas-secret-0123456789') })
    await ask('PUT', '/_acc/accounts', {
      as: 'elena:elenas-secret-0123456789',
      body: body('lily', 'lilys-secret-01234567890'),
    })
  })

  test.each([
    ['/_probe/open', [200, 200, 200, 200]],
    ['/_probe', [401, 200, 200, 200]],
    ['/_probe/holder', [401, 403, 200, 200]],
    ['/_probe/system', [401, 403, 403, 200]],
    ['/_probe/nosy', [500, 500, 500, 500]],
  ])('%s for nobody, a sub-account, a primary, $sys', async (path, expected) => {
    const sub = 'elena#lily:lilys-secret-01234567890'
    const statuses: number[] = []
    for (const as of [undefined, sub, 'elena:elenas-secret-0123456789', sys])
      statuses.push((await ask('GET', path, as === undefined ? {} : { as })).status)
    expect(statuses).toEqual(expected)
  })
})

describe('health', () => {
  test('is told to anybody', async () => {
    for (const path of ['/healthz', '/readyz']) {
      const { status, json } = await ask('GET', path)
      expect([status, json]).toEqual([200, { v: 'ok', s: 'ok' }])
    }
    expect((await ask('HEAD', '/readyz')).status).toBe(200)
    expect((await ask('POST', '/readyz')).status).toBe(404)
  })
})

async function rawPut(headers: string, body: string): Promise<{ headers: string; body: string }> {
  const text = await world.raw(
    `PUT /_probe HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(sys)}\r\n${headers}Connection: close\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  const [head = '', rest = ''] = text.split('\r\n\r\n')
  return { headers: head, body: rest }
}

/** Goes on sending, whatever is answered, until the connection is closed; what was answered. */
async function sendForever(port: number, head: string, piece: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let text = ''
  socket.on('data', (chunk) => (text += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.write(head)
  // Behind the reads of each turn, so that what came before the end is not lost to a write that finds it.
  const sending = setInterval(() => setImmediate(() => socket.write(piece)), 5)
  await closed
  clearInterval(sending)
  return text
}

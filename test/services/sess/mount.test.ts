import { once } from 'node:events'
import { connect } from 'node:net'
import { startPlatform, type Platform } from '../../platform'
import type { Client } from '../../client'

/** Contract, sessionator.md, replayed: what goes over the wire is compared as it goes. */

let platform: Platform
let api: Client
beforeAll(async () => {
  platform = await startPlatform({
    settings: { KV4_MOUNT_LOGINS: 'sessionator=$sys:a-secret-for-the-tests' },
  })
  api = platform.sys
})
afterAll(() => platform.close())

interface Raw {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** As a client that knows of no library sends it: nothing is added, normalised or decoded. */
async function raw(
  method: string,
  target: string,
  sent: { type?: string | null; body?: string } = {},
): Promise<Raw> {
  const { type = sent.body === undefined ? null : 'application/json', body } = sent
  const socket = connect({ port: Number(new URL(platform.url).port), host: '127.0.0.1' })
  socket.write(
    `${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n` +
      (type === null ? '' : `Content-Type: ${type}\r\n`) +
      (body === undefined ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`) +
      `\r\n${body ?? ''}`,
  )
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  await once(socket, 'close')
  const text = Buffer.concat(chunks).toString('utf8')
  const end = text.indexOf('\r\n\r\n')
  const [line = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = new Map(
    lines.map((header) => {
      const colon = header.indexOf(':')
      return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()] as const
    }),
  )
  return { status: Number(line.split(' ')[1]), headers, body: text.slice(end + 4) }
}

const said = async (...asked: Parameters<typeof raw>) => {
  const { status, body } = await raw(...asked)
  return `${status} ${body}`
}

let sessions = 0
const fresh = () => `user-${++sessions}`
const MODIFIED = /"_modified":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"/
/** With the instant, which differs each time, as `T`. */
const timeless = (text: string) => text.replace(new RegExp(MODIFIED, 'g'), '"_modified":"T"')

const NOT_FOUND = '404 {"statusCode":404,"error":"Not Found","message":"Not Found"}'

test('the integration script of the original', async () => {
  const json = { type: 'application/json' }
  const [session, lastSeen, lastVisit] = ['', '/lastSeen', '/lastVisit'].map(
    (rest) => `/v1/sessions/user-1337${rest}`,
  )
  const empty = { ...json, body: '' }
  await raw('DELETE', session!, json)
  expect(await said('GET', session!, json)).toBe('200 {"_session":"user-1337","_namespaces":[]}')
  expect(await said('GET', lastVisit!, json)).toBe('404 {"error":"not_found"}')
  const put = await said('PUT', lastSeen!, { ...json, body: '{ "when": "2017-03-26T15:25:25Z" }' })
  expect(timeless(put)).toBe(
    '200 {"when":"2017-03-26T15:25:25Z","_session":"user-1337","_namespace":"lastSeen","_modified":"T"}',
  )
  expect(await said('GET', session!, json)).toBe('200 {"_session":"user-1337","_namespaces":["lastSeen"]}')
  expect(await said('GET', lastSeen!, json)).toBe(put)
  expect(await said('DELETE', lastSeen!, empty)).toBe('200 {"success":true}')
  expect(await said('DELETE', lastSeen!, empty)).toBe('404 {"error":"not_found"}')
})

describe('a document', () => {
  test('has what is added in the places of the client’s own members, or behind them', async () => {
    const at = `/v1/sessions/${fresh()}/ns`
    const before = Date.now()
    const body = '{"b":1,"_modified":"mine","_session":7,"a":{"_session":"kept"}}'
    const answer = await raw('PUT', at, { body })
    const written = Date.parse(MODIFIED.exec(answer.body)![1]!)
    expect(written).toBeGreaterThanOrEqual(before)
    expect(written).toBeLessThanOrEqual(Date.now())
    expect(timeless(answer.body)).toBe(
      `{"b":1,"_modified":"T","_session":"user-${sessions}","a":{"_session":"kept"},"_namespace":"ns"}`,
    )
    expect((await raw('GET', at)).body).toBe(answer.body)
  })

  test('may be a form, or JSON without a type or of a type of its own', async () => {
    const at = `/v1/sessions/${fresh()}/ns`
    const put = async (body: string, type: string | null) => timeless(await said('PUT', at, { body, type }))
    const rest = `"_session":"user-${sessions}","_namespace":"ns","_modified":"T"}`
    expect(await put('a=1&b=x+y&b=%26&__proto__=p', 'application/x-www-form-urlencoded')).toBe(
      `200 {"a":"1","b":["x y","&"],"__proto__":"p",${rest}`,
    )
    expect(await put('{"a":1}', null)).toBe(`200 {"a":1,${rest}`)
    expect(await put('{"a":1}', 'application/json; charset=utf-8')).toBe(`200 {"a":1,${rest}`)
    expect(await put('{"a":1}', 'application/vnd.api+json')).toBe(`200 {"a":1,${rest}`)
  })

  test('is replaced as a whole, the last one wins', async () => {
    const at = `/v1/sessions/${fresh()}/ns`
    await raw('PUT', at, { body: '{"a":1}' })
    await raw('PUT', at, { body: '{"b":2}' })
    expect(timeless((await raw('GET', at)).body)).toBe(
      `{"b":2,"_session":"user-${sessions}","_namespace":"ns","_modified":"T"}`,
    )
  })
})

describe('several namespaces', () => {
  let id = ''
  const put = (ns: string) => raw('PUT', `/v1/sessions/${id}/${ns}`, { body: `{"is":"${ns}"}` })
  const doc = (ns: string) => `"${ns}":{"is":"${ns}","_session":"${id}","_namespace":"${ns}","_modified":"T"}`
  const asked = async (query: string) => timeless(await said('GET', `/v1/sessions/${id}?${query}`))
  beforeAll(async () => {
    id = fresh()
    for (const ns of ['a', 'b', 'c']) await put(ns)
  })

  test.each([
    ['namespaces=c&namespaces=a', ['c', 'a']],
    ['namespaces=b', ['b']],
    ['namespaces=', []],
    ['namespaces=&namespaces=a', ['a']],
    ['namespaces=nothing&namespaces=b', ['b']],
    ['namespaces=a&namespaces=a', ['a']],
    ['other=1', []],
  ])('by %s: their documents come first, then all names', async (query, names) => {
    const rest = `"_session":"${id}","_namespaces":["a","b","c"]}`
    expect(await asked(query)).toBe('200 {' + [...names.map(doc), rest].join(','))
  })

  test('of a session that nobody knows are none', async () => {
    expect(await said('GET', '/v1/sessions/nobody?namespaces=a')).toBe(
      '200 {"_session":"nobody","_namespaces":[]}',
    )
  })
})

test('documents of a MiB each are sent while they are read, as they would be as a whole', async () => {
  const id = fresh()
  const text = 'x😀'.repeat(200_000)
  const names = ['b', '10', '_session', 'a', '9', ...Array.from({ length: 30 }, (_, i) => `n${i}`)]
  for (const name of names)
    await raw('PUT', `/v1/sessions/${id}/${name}`, { body: JSON.stringify({ text, name }) })
  const query = ['none', ...names].map((name) => `namespaces=${name}`).join('&')
  const answer = await fetch(`${platform.url}/v1/sessions/${id}?${query}`)
  expect(answer.headers.get('content-length')).toBeNull()
  const sent = await answer.text()
  const read = JSON.parse(sent) as Record<string, unknown>
  expect(sent).toBe(JSON.stringify(read))
  expect(Object.keys(read)).toEqual(['9', '10', 'b', '_session', 'a', ...names.slice(5), '_namespaces'])
  expect([read._session, read._namespaces]).toEqual([id, [...names].sort()])
  expect(read.n29).toMatchObject({ text, name: 'n29', _session: id, _namespace: 'n29' })
})

test('a session goes with its last namespace, or as a whole', async () => {
  const id = fresh()
  const at = `/v1/sessions/${id}`
  expect(await said('DELETE', at)).toBe('404 {"error":"invalid_session"}')
  for (const ns of ['a', 'b']) await raw('PUT', `${at}/${ns}`, { body: '{}' })
  expect(await said('DELETE', at, { body: '' })).toBe('200 {"removed":1}')
  expect(await said('DELETE', at)).toBe('404 {"error":"invalid_session"}')
  await raw('PUT', `${at}/a`, { body: '{}' })
  expect(await said('DELETE', `${at}/a`)).toBe('200 {"success":true}')
  expect(await said('DELETE', at)).toBe('404 {"error":"invalid_session"}')
})

describe('what is refused', () => {
  const ROOT = '400 {"error":"root_must_be_object"}'
  const BAD = (message: string) => `400 {"statusCode":400,"error":"Bad Request","message":"${message}"}`
  const PAYLOAD = BAD('Invalid request payload JSON format')
  const UNSUPPORTED =
    '415 {"statusCode":415,"error":"Unsupported Media Type","message":"Unsupported Media Type"}'
  test.each([
    ['[1]', 'application/json', ROOT],
    ['"text"', 'application/json', ROOT],
    ['7', 'application/json', ROOT],
    ['{"a":1}', 'text/plain', ROOT],
    ['{"a":1}', 'application/octet-stream', ROOT],
    ['null', 'application/json', ROOT],
    ['', 'application/json', ROOT],
    ['{"a":', 'application/json', PAYLOAD],
    ['{"a":1,"a":2}', 'application/json', PAYLOAD],
    ['{"__proto__":{"x":1}}', 'application/json', PAYLOAD],
    ['{"a":1}', 'application/xml', UNSUPPORTED],
    ['x', 'multipart/form-data; boundary=x', UNSUPPORTED],
    ['{"a":1}', 'nonsense', BAD('Invalid content-type header')],
  ])('%s as %s', async (body, type, answer) => {
    expect(await said('PUT', '/v1/sessions/refused/ns', { body, type })).toBe(answer)
    expect(await said('GET', '/v1/sessions/refused')).toBe('200 {"_session":"refused","_namespaces":[]}')
  })

  test('a body of more than a MiB', async () => {
    const body = JSON.stringify({ a: 'x'.repeat(1024 * 1024) })
    const message = 'Payload content length greater than maximum allowed: 1048576'
    expect(await said('PUT', '/v1/sessions/refused/ns', { body })).toBe(BAD(message))
  })

  test.each([
    ['POST', '/v1/sessions/x/y'],
    ['PATCH', '/v1/sessions/x/y'],
    ['PUT', '/v1/sessions/x'],
    ['POST', '/v1/sessions'],
    ['GET', '/v1/sessions'],
    ['GET', '/v1/sessions/'],
    ['GET', '/v1/sessions/x/'],
    ['GET', '/v1/sessions/x/y/'],
    ['GET', '/v1/sessions/x/y/z'],
    ['GET', '/v1'],
    ['GET', '/v1/other'],
    ['OPTIONS', '/v1/sessions/x'],
  ])('%s %s, as unknown, never as a wrong method', async (method, target) => {
    expect(await said(method, target)).toBe(NOT_FOUND)
  })

  test('ids that are no UTF-8, or longer than a path', async () => {
    expect(await said('GET', '/v1/sessions/%ff')).toBe(BAD('Bad Request'))
    expect(await said('GET', `/v1/sessions/${'x'.repeat(1_100)}`)).toBe(BAD('Bad Request'))
    expect(await said('GET', `/v1/sessions/x/${'y'.repeat(513)}`)).toBe('404 {"error":"not_found"}')
  })

  test('what a schema does not take', async () => {
    await api.ok(
      api.put('/_sess/_schemas', {
        k: 'team.mount.v1',
        v: { type: 'object', properties: { n: { type: 'integer' } } },
      }),
    )
    const at = '/v1/sessions/schema/team.mount.v1'
    expect(await said('PUT', at, { body: '{"n":"x"}' })).toBe('400 {"error":"invalid"}')
    const { body } = await raw('PUT', at, { body: '{"n":1}' })
    // What was read may be written back.
    expect((await raw('PUT', at, { body })).status).toBe(200)
  })
})

test('headers are those of the original, and HEAD has them too', async () => {
  const id = fresh()
  await raw('PUT', `/v1/sessions/${id}/ns`, { body: '{}' })
  for (const at of [`/v1/sessions/${id}`, `/v1/sessions/${id}/ns`]) {
    const [get, head] = [await raw('GET', at), await raw('HEAD', at)]
    expect([head.status, head.body]).toEqual([200, ''])
    for (const { headers } of [get, head]) {
      expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
      expect(headers.get('cache-control')).toBe('no-cache')
      expect(headers.get('content-length')).toBe(String(Buffer.byteLength(get.body)))
    }
  }
  expect((await raw('HEAD', `/v1/sessions/${id}/nothing`)).status).toBe(404)
})

describe('ids', () => {
  test('are decoded, whatever is in them, and each is another session', async () => {
    const ids = [
      'a/b',
      'a//b',
      '/a/b',
      'a/b/',
      '.',
      '..',
      'a/../b',
      '%',
      '%2E',
      'a%b',
      '_schemas',
      '_settings',
      '%5Fschemas',
      '\u0001',
      'ü 😀',
      'x'.repeat(255),
      'x'.repeat(256),
      'x'.repeat(600),
      'x'.repeat(254) + '%/' + 'x',
      '%/%',
      '//',
      '%25',
    ]
    for (const [i, id] of ids.entries())
      expect((await raw('PUT', `/v1/sessions/${encodeURIComponent(id)}/n${i}`, { body: '{}' })).status).toBe(
        200,
      )
    for (const [i, id] of ids.entries()) {
      const { body } = await raw('GET', `/v1/sessions/${encodeURIComponent(id)}`)
      expect(JSON.parse(body)).toEqual({ _session: id, _namespaces: [`n${i}`] })
    }
  })

  test('that are paths are the sessions of _sess', async () => {
    await raw('PUT', '/v1/sessions/shop%2Fana/a%2Fb', { body: '{"n":1}' })
    expect(await api.ok(api.get('/_sess/shop/ana?k=a/b'))).toMatchObject({ n: 1 })
    await api.ok(api.put('/_sess/shop/bo', { k: 'cart', v: { n: 2 } }))
    expect(timeless(await said('GET', '/v1/sessions/shop%2Fbo/cart'))).toBe(
      '200 {"n":2,"_session":"shop/bo","_namespace":"cart","_modified":"T"}',
    )
  })

  test('and namespaces may be called as members of objects are', async () => {
    const at = '/v1/sessions/__proto__'
    await raw('PUT', `${at}/__proto__`, { body: '{"n":1}' })
    await raw('PUT', `${at}/_session`, { body: '{}' })
    expect(timeless(await said('GET', `${at}?namespaces=__proto__&namespaces=_session`))).toBe(
      '200 {"__proto__":{"n":1,"_session":"__proto__","_namespace":"__proto__","_modified":"T"},' +
        '"_session":"__proto__","_namespaces":["__proto__","_session"]}',
    )
  })
})

test('without a login of the mount a call needs a credential, and acts in its account', async () => {
  const closed = await startPlatform()
  try {
    const answer = await fetch(`${closed.url}/v1/sessions/x`)
    expect([answer.status, await answer.text()]).toEqual([
      401,
      '{"statusCode":401,"error":"Unauthorized","message":"Missing authentication"}',
    ])
    const as = closed.sys
    const { secret } = (await as.ok(
      as.put('/_acc/accounts', { k: 'elena', v: { email: 'elena@async.cl' } }),
    )) as unknown as { secret: string }
    const headers = {
      Authorization: 'Basic ' + Buffer.from(`elena:${secret}`).toString('base64'),
      'Content-Type': 'application/json',
    }
    const put = await fetch(`${closed.url}/v1/sessions/x/y`, { method: 'PUT', headers, body: '{"n":1}' })
    expect(put.status).toBe(200)
    const elena = closed.as('elena', secret)
    expect(await elena.ok(elena.get('/_sess/x?k=y'))).toMatchObject({ n: 1 })
    expect(await as.error(as.get('/_sess/x?k=y'))).toBe('404 not_found')
  } finally {
    await closed.close()
  }
})

test('a session with a ttl lapses here, too', async () => {
  await api.ok(api.put('/_sess/short', { k: 'a', v: {}, ttl: 0.2 }))
  expect(await said('GET', '/v1/sessions/short')).toBe('200 {"_session":"short","_namespaces":["a"]}')
  await new Promise((resolve) => setTimeout(resolve, 250))
  expect(await said('GET', '/v1/sessions/short')).toBe('200 {"_session":"short","_namespaces":[]}')
  expect(await said('GET', '/v1/sessions/short/a')).toBe('404 {"error":"not_found"}')
  expect(await said('DELETE', '/v1/sessions/short/a')).toBe('404 {"error":"not_found"}')
  expect(await said('DELETE', '/v1/sessions/short')).toBe('404 {"error":"invalid_session"}')
})

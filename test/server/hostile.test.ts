import { Agent, request } from 'node:http'
import { BucketName } from '../../core'
import { verifyCaller } from '../../service'
import { startHost, type TestHost } from './external/world'
import { SYS_SECRET, basic, openWorld } from './world'
import type { Answer, World } from './world'

/** What attackers put where names belong: promises.md, threats 1 to 5. */
const HOSTILE = [
  '../kv4_$elena_data/x',
  '..%2F..%2Fkv4_%24elena_data',
  '%2e%2e/%2e%2e/kv4_$elena_data',
  'x_local/../../kv4_$elena_data/secret',
  '_local/x',
  '_design/kv4',
  '_design%2Fkv4/_view/keys',
  '_all_docs',
  '_bulk_docs',
  '_security',
  'x?rev=1&new_edits=false',
  'x%00y',
  'x%0d%0aHost:%20evil',
  '%ff%fe',
  '%c0%ae%c0%ae',
  '\\..\\..\\x',
  '__proto__',
  'constructor/prototype',
  '^k2:*acc',
  '*acc',
  '{"a":1}',
  '["x"]',
  '\u{10ffff}',
  'a|b|000000000001',
  'a~b',
  "'; DROP TABLE x; --",
  '%',
  '%%',
  '%u0041',
  'x'.repeat(255),
  'x'.repeat(2000),
  'a/'.repeat(64) + 'b',
]

const ELENA = 'elena:elenas-secret-0123456789'
const MALLORY = 'mallory:mallorys-secret-01234567'
const SYS = '$sys:' + SYS_SECRET
let world: World
let host: TestHost
/** What calls to the service that runs elsewhere are signed with. */
let key: string

async function buckets(): Promise<string[]> {
  const names: string[] = []
  for await (const name of world.server.engine.list()) names.push(name)
  return names
}

function assertCivil({ status, json, headers }: Answer): void {
  expect([200, 201, 400, 404, 405]).toContain(status)
  expect(['ok', 'error']).toContain(json.s)
  expect(headers['evil']).toBeUndefined()
}

beforeAll(async () => {
  world = await openWorld({ KV4_SERVICE_ALLOW: '127.0.0.0/8' })
  host = await startHost()
  const registration = { prefix: '_echo', url: host.url, layers: ['*echo'], lapse: 300 }
  const { json } = await world.ask('PUT', '/_host/runtime/hosts/active', {
    as: SYS,
    body: { k: 'echo', v: registration },
  })
  key = json.v.key
  for (const [k, secret] of [ELENA, MALLORY].map((as) => as.split(':')) as [string, string][])
    await world.ask('PUT', '/_acc/accounts', {
      as: SYS,
      body: { k, v: { email: k + '@example.com', secret } },
    })
  await world.ask('PUT', '/_data/secret', { as: ELENA, body: { k: 'secret', v: { canary: 'elenas' } } })
})
afterAll(async () => {
  await world.close()
  await host.close()
})

describe('hostile names', () => {
  test('in paths, keys, queries and bodies reach nobody else and break nothing', async () => {
    const before = await buckets()
    expect(before).toEqual([BucketName.of('elena'), BucketName.of('mallory'), BucketName.system])
    for (const name of HOSTILE) {
      const path = encodeURI(name).replaceAll('%25', '%')
      const inQuery = encodeURIComponent(name)
      for (const prefix of ['_data', '_ns', '_ds', '_acc', '_sess']) {
        const answers: Promise<Answer>[] = []
        for (const method of ['GET', 'PUT', 'POST', 'PATCH', 'DELETE']) {
          const body = method === 'GET' || method === 'DELETE' ? {} : { body: { k: name, v: { x: name } } }
          answers.push(world.ask(method, `/${prefix}/${path}`, { as: MALLORY, ...body }))
        }
        for (const parameter of ['k', 'k2', 'l', 'a', 'after', 'at', 'gs', 'depth', 'limit', 'as'])
          answers.push(world.ask('GET', `/${prefix}/x?${parameter}=${inQuery}`, { as: MALLORY }))
        for (const answer of await Promise.all(answers)) {
          assertCivil(answer)
          expect(answer.text).not.toContain('elenas')
        }
      }
    }
    expect(await buckets()).toEqual(before)
    const { json } = await world.ask('GET', '/_data/secret?k=secret', { as: ELENA })
    expect(json.v).toMatchObject({ canary: 'elenas' })
    expect((await world.ask('GET', '/readyz')).status).toBe(200)
    expect(world.logged()).not.toContain('"level":"error"')
  }, 120_000)

  test('a key is kept exactly as it was sent, or refused', async () => {
    for (const name of HOSTILE) {
      const put = await world.ask('PUT', '/_data/exact', { as: MALLORY, body: { k: name, v: { name } } })
      if (put.status !== 201) {
        expect(put.json.v).toBe('bad_key')
        continue
      }
      const get = await world.ask('GET', '/_data/exact?k=' + encodeURIComponent(name), { as: MALLORY })
      expect(get.json.v).toMatchObject({ name })
    }
    expect(({} as Record<string, unknown>)['canary']).toBeUndefined()
  })
})

/** What is wrong is told in a code of the catalogue; only what is not there at the moment is a 503. */
function assertTold({ status, json, headers }: Answer): void {
  expect(['ok', 'error']).toContain(json.s)
  if (status >= 400) expect(json).toMatchObject({ s: 'error', v: expect.stringMatching(/^[a-z_0-9]+$/) })
  expect([status, json.v]).not.toEqual([401, expect.anything()])
  expect(status < 500 || json.v === 'service_unavailable').toBe(true)
  expect(headers['evil']).toBeUndefined()
}

describe('hostile names in the services of signalling and of the registry', () => {
  test.each(['_host', '_token', '_subs', '_stats', '_auth', '_reg', '_conf'])(
    'reach nobody else and break nothing: %s',
    async (prefix) => {
      const before = await buckets()
      for (const name of HOSTILE) {
        const path = encodeURI(name).replaceAll('%25', '%')
        const answers: Promise<Answer>[] = []
        for (const method of ['GET', 'PUT', 'POST', 'DELETE']) {
          const body =
            method === 'GET' || method === 'DELETE' ? {} : { body: { k: name, l: name, v: { x: name } } }
          const type = prefix === '_host' ? '?type=signal' : ''
          answers.push(world.ask(method, `/${prefix}/${path}${type}`, { as: MALLORY, ...body }))
        }
        for (const parameter of ['k', 'l', 'a', 'after', 'gs', 'type', 'expire', 'from', 'as', 'prefix']) {
          const at = `/${prefix}/x?${parameter}=${encodeURIComponent(name)}`
          answers.push(world.ask('GET', at, { as: MALLORY }))
          answers.push(world.ask('PUT', at, { as: MALLORY, body: {} }))
        }
        for (const answer of await Promise.all(answers)) assertTold(answer)
      }
      expect(await buckets()).toEqual(before)
      const { json } = await world.ask('GET', '/_data/secret?k=secret', { as: ELENA })
      expect(json.v).toMatchObject({ canary: 'elenas' })
      expect(world.logged()).not.toContain('"level":"error"')
    },
    60_000,
  )

  test('in the registry, by its own routes and by those of its clients', async () => {
    const login = async (as: string): Promise<{ readonly token: string; readonly base: string }> => {
      const [username, apiKey] = as.split(':')
      const body = { auth: { 'RAX-KSKEY:apiKeyCredentials': { username, apiKey } } }
      const { id, tenant } = (await world.ask('POST', '/v2.0/tokens', { body })).json.access.token
      return { token: id as string, base: `/v1.0/${tenant.id as string}` }
    }
    const send = (who: { token: string }, method: string, path: string, body?: unknown) =>
      world.ask(method, path, {
        headers: { 'X-Auth-Token': who.token },
        ...(body !== undefined && { body }),
      })
    const [elena, mallory] = [await login(ELENA), await login(MALLORY)]
    const canary = { id: 'canary', heartbeat_timeout: 120, metadata: { whose: 'elenas' } }
    expect((await send(elena, 'POST', `${elena.base}/services`, canary)).status).toBe(201)
    expect((await send(elena, 'PUT', `${elena.base}/configuration/canary`, { value: 'elenas' })).status).toBe(
      204,
    )
    const before = await buckets()

    for (const name of HOSTILE) {
      const path = encodeURI(name).replaceAll('%25', '%')
      const inQuery = encodeURIComponent(name)
      const native: Promise<Answer>[] = []
      for (const at of ['services', 'sessions', 'overview', 'events', 'limits'])
        for (const parameter of ['k', 'tag', 'after', 'marker', 'type', 'limit', 'wait', 'from'])
          native.push(world.ask('GET', `/_reg/${at}?${parameter}=${inQuery}`, { as: MALLORY }))
      for (const at of ['services', 'sessions', 'services/heartbeat', 'sessions/heartbeat'])
        for (const body of [
          { k: name, v: { heartbeat_timeout: 60, tags: [name] } },
          { k: 'abc', v: { token: name } },
        ])
          for (const method of ['PUT', 'POST'])
            native.push(world.ask(method, `/_reg/${at}`, { as: MALLORY, body }))
      for (const answer of await Promise.all(native)) {
        assertTold(answer)
        expect(answer.text).not.toContain('elenas')
      }

      const { base } = mallory
      const calls: Promise<Answer>[] = []
      for (const at of ['services', 'sessions', 'configuration', 'views', 'events']) {
        for (const method of ['GET', 'PUT', 'POST', 'DELETE'])
          calls.push(
            send(mallory, method, `${base}/${at}/${path}`, method === 'PUT' ? { value: name } : undefined),
          )
        for (const parameter of ['marker', 'limit', 'tag', 'type'])
          calls.push(send(mallory, 'GET', `${base}/${at}?${parameter}=${inQuery}`))
      }
      calls.push(
        send(mallory, 'POST', `${base}/services`, { id: name, heartbeat_timeout: 60, tags: [name] }),
        send(mallory, 'POST', `${base}/services`, {
          id: 'abc',
          session_id: name,
          metadata: { [name]: name },
        }),
        send(mallory, 'POST', `${base}/sessions`, { heartbeat_timeout: name, metadata: { [name]: name } }),
        send(mallory, 'POST', `${base}/services/abc/heartbeat`, { token: name }),
        send(mallory, 'GET', `/v1.0/${path}/services`),
        send({ token: 'x' }, 'GET', `${elena.base}/services?x-auth-token=${inQuery}`),
        send(mallory, 'GET', `${elena.base}/services`),
      )
      for (const auth of [
        { 'RAX-KSKEY:apiKeyCredentials': { username: name, apiKey: name } },
        { 'RAX-KSKEY:apiKeyCredentials': { username: 'elena', apiKey: { [name]: name } } },
        { passwordCredentials: { username: [name], password: name } },
        name,
      ])
        calls.push(world.ask('POST', '/v2.0/tokens', { body: { auth } }))
      for (const { status, json, text } of await Promise.all(calls)) {
        expect([200, 201, 204, 400, 401, 404, 413, 429]).toContain(status)
        if (status >= 400 && text !== '') expect(json.code ?? json.unauthorized?.code ?? json.s).toBeDefined()
        expect(text).not.toContain('elenas')
      }
    }
    expect(await buckets()).toEqual(before)
    const kept = await send(elena, 'GET', `${elena.base}/services/canary`)
    expect(kept.json.metadata).toEqual({ whose: 'elenas' })
    expect((await send(elena, 'GET', `${elena.base}/configuration/canary`)).json.value).toBe('elenas')
    expect(world.logged()).not.toContain('"level":"error"')
  }, 60_000)

  test('in registrations of hosts are refused, or are names like any other', async () => {
    const URLS = [
      'file:///etc/passwd',
      'http://169.254.169.254/latest',
      'http://[::ffff:169.254.169.254]/',
      'http://127.0.0.1:22@evil.example.com/',
      'http://127.0.0.1:1/?x',
      'http://127.0.0.1:1/#x',
      'gopher://127.0.0.1',
      'http://127.0.0.1:99999',
      '//127.0.0.1',
      'javascript:1',
      '',
    ]
    const register = (body: unknown) => world.ask('PUT', '/_host/runtime/hosts/active', { as: SYS, body })
    const good = { prefix: '_hostile', url: host.url }
    for (const name of HOSTILE) {
      const query = `k=${encodeURIComponent(name)}&prefix=${encodeURIComponent(name)}`
      const answers = [
        { ...good, prefix: name },
        { ...good, prefix: '_' + name },
        { ...good, type: name },
        { ...good, layers: [name] },
        { ...good, layers: ['*' + name] },
        { ...good, url: name },
        { ...good, url: `${host.url}/${name}` },
        { ...good, public: name },
        { ...good, load: name },
        { ...good, lapse: name },
        { ...good, node: name },
        name,
      ].map((v) => register({ k: 'hostile', v }))
      answers.push(
        register({ k: name, v: good }),
        world.ask('DELETE', `/_host/runtime/hosts/active?${query}`, { as: SYS }),
        world.ask('PUT', `/_host/runtime/hosts/token?${query}`, { as: SYS }),
      )
      for (const answer of await Promise.all(answers)) assertTold(answer)
    }
    for (const url of URLS)
      expect([url, (await register({ k: 'hostile', v: { ...good, url } })).status]).toEqual([url, 400])
    // Nobody has taken a prefix of the platform, or that of the other service.
    for (const prefix of ['_data', '_acc', '_host', '_subs', 'data', '_', '__proto__'])
      expect((await register({ k: 'hostile', v: { ...good, prefix } })).status).toBeGreaterThanOrEqual(400)
    for (const method of ['GET', 'PUT'])
      expect((await world.ask(method, '/_echo/x', { as: MALLORY })).json).toEqual({ v: 'served', s: 'ok' })
    expect(world.logged()).not.toContain('"level":"error"')
  }, 60_000)
})

describe('hostile calls of a service that runs elsewhere', () => {
  test('never leave its prefix, and arrive as they were routed', async () => {
    for (const name of HOSTILE) {
      const path = encodeURI(name).replaceAll('%25', '%')
      for (const method of ['GET', 'PUT', 'POST', 'DELETE']) {
        host.seen.length = 0
        const body = method === 'GET' || method === 'DELETE' ? {} : { body: { k: name, v: name } }
        const query = `k=${encodeURIComponent(name)}`
        const answer = await world.ask(method, `/_echo/${path}?${query}`, { as: MALLORY, ...body })
        assertTold(answer)
        if (answer.status !== 200) {
          expect(host.seen).toEqual([])
          continue
        }
        const [seen] = host.seen
        const { pathname } = new URL(seen!.url!, host.url)
        expect(pathname === '/_echo' || pathname.startsWith('/_echo/')).toBe(true)
        const caller = verifyCaller(seen!, key)
        expect(caller).toMatchObject({ account: 'mallory', login: 'mallory' })
        expect(pathname.split('/').slice(2).map(decodeURIComponent)).toEqual(
          caller.path
            .split('/')
            .slice(1)
            .filter((segment) => segment !== ''),
        )
        expect(seen!.headers['host']).toBe(`127.0.0.1:${host.port}`)
      }
    }
    expect(world.logged()).not.toContain('"level":"error"')
  }, 60_000)

  test('bring no header that says who they are of', async () => {
    const agent = new Agent({ maxSockets: 1 })
    const hostile = {
      'KV4-Caller': 'v1.e30.AAAA',
      'kv4-token': 'x',
      'Kv4-Anything': 'x',
      'X-Forwarded-For': '203.0.113.9',
      'X-Forwarded-Host': 'evil.example.com',
      Forwarded: 'for=203.0.113.9',
      Cookie: 'session=elenas',
      Connection: 'close, kv4-caller, x-private',
      'X-Private': 'x',
      TE: 'trailers',
      'Proxy-Authorization': 'Basic eDp5',
      'Transfer-Encoding': 'chunked',
    }
    host.seen.length = 0
    const status = await new Promise<number>((resolve, reject) => {
      const sent = request(
        `${world.server.url}/_echo/x`,
        { agent, method: 'POST', headers: { ...hostile, Authorization: basic(MALLORY) } },
        (response) => response.resume().on('end', () => resolve(response.statusCode!)),
      )
      sent.on('error', reject)
      sent.end('0\r\n\r\nGET /_data/secret HTTP/1.1\r\n\r\n')
    })
    agent.destroy()
    expect(status).toBe(200)
    expect(host.seen).toHaveLength(1)
    const { headers } = host.seen[0]!
    expect(verifyCaller(host.seen[0]!, key)).toMatchObject({ account: 'mallory', address: '127.0.0.1' })
    for (const name of ['authorization', 'cookie', 'forwarded', 'proxy-authorization', 'te', 'x-private'])
      expect([name, headers[name]]).toEqual([name, undefined])
    for (const name of ['x-forwarded-for', 'x-forwarded-host', 'kv4-anything'])
      expect([name, headers[name]]).toEqual([name, undefined])
    expect(headers['kv4-token']).not.toBe('x')
  })
})

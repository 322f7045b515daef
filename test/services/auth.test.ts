import { request as httpRequest } from 'node:http'
import { BucketName, Key, Path } from '../../core'
import { printBasicHeader } from '../../auth'
import type { Bans } from '../../auth'
import type { MountFactory } from '../../services/mount'
import type { Answer, Client } from '../client'
import { CouchServer } from '../couchdb/server'
import { startPlatform, type Platform } from '../platform'
import { SYS_SECRET, openWorld } from '../server/world'

/** The callers of these tests come through a proxy that is believed, so that they can come from anywhere. */
const HERE = '198.51.100.7'
const from = (address: string) => ({ 'X-Forwarded-For': address })

let platform: Platform
let bans: Bans
let elena: Client
let lily: Client

async function account(of: Client, name: string): Promise<string> {
  const body = { k: name, v: { email: `${name}@async.cl` } }
  return (await of.ok(of.put<{ secret: string }>('/_acc/accounts', body))).secret
}

beforeAll(async () => {
  platform = await startPlatform({ settings: { KV4_TRUST_PROXY: '127.0.0.1' } })
  bans = platform.context.bans
  elena = platform.as('elena', await account(platform.sys, 'elena'))
  lily = platform.as('elena#lily', await account(elena, 'lily'))
})
afterAll(() => platform.close())
afterEach(async () => {
  for (const path of ['', '/my/path', '/my', '/data', '/accounts', '/production', '/services'])
    await elena.ok(elena.delete('/_auth' + path))
})

const deny = (path: string, k: string, more: object = {}) =>
  elena.put<Record<string, unknown>>('/_auth' + path, { k, ...more }, from(HERE))
const code = (answer: Promise<Answer<unknown>>): Promise<string> =>
  answer.then(({ status, body }) => (body.s === 'ok' ? 'ok' : `${status} ${String(body.v)}`))
const asked = (address: string, target = '/_data/my/path', client = elena) =>
  code(client.get(target, from(address)))

describe('PUT', () => {
  test.each([
    ['no value', {}],
    ['null', { v: null }],
    ['an object', { v: {} }],
    ['an object with a version of its own', { v: { _ver_: 'v9' } }],
  ])('takes %s, and answers an object with its version', async (_what, more) => {
    const { status, body } = await deny('/my/path', '203.0.113.9', more)
    expect([status, body]).toEqual([201, { s: 'ok', v: { _ver_: expect.any(String) as unknown } }])
  })

  test('keeps a note, as an object or wrapped', async () => {
    await deny('/my/path', '203.0.113.9', { v: { note: 'spam', by: 'me' } })
    expect(await elena.ok(elena.get('/_auth/my/path?k=203.0.113.9'))).toMatchObject({
      note: 'spam',
      by: 'me',
    })
    expect((await deny('/my/path', '203.0.113.9', { v: 'spam' })).status).toBe(200)
    const { _ver_, ...value } = await elena.ok(elena.get('/_auth/my/path?k=203.0.113.9'))
    expect(value).toEqual({ value: 'spam' })
    expect(await elena.ok(elena.get<unknown[]>('/_auth/my/path?as=values'))).toEqual([
      { value: 'spam', _ver_ },
    ])
    await elena.ok(elena.post('/_auth/my/path', { k: '203.0.113.9' }))
  })

  test('is shown with all its coordinates, and stays in the history', async () => {
    const place = '/_auth/shown/path'
    await deny('/shown/path', '203.0.113.9', { v: 'spam' })
    const datum = {
      w: 'elena',
      k: '203.0.113.9',
      l: '*auth',
      p: '/shown/path',
      t: expect.any(Number) as unknown,
      m: null,
      v: { value: 'spam', _ver_: 'v1' },
      s: 'c',
      a: null,
      _id: 'v1',
      _rev: 'v1',
    }
    for (const form of ['datum', '1']) {
      expect(await elena.ok(elena.get(`${place}?as=${form}`))).toEqual([datum])
      expect(await elena.ok(elena.get(`${place}?as=${form}&k=::ffff:203.0.113.9`))).toEqual(datum)
    }
    await elena.ok(elena.delete(`${place}?k=203.0.113.9`))
    const rows: unknown[][] = [
      [expect.any(Number), 'elena', { _deleted: true }],
      [expect.any(Number), 'elena', { value: 'spam' }],
    ]
    expect(await elena.ok(elena.get(`${place}?k=203.0.113.9&time_series=1`))).toEqual(rows)
    expect(await elena.ok(elena.get(`${place}?k=203.0.113.9&time_series=1&gs=2016`))).toEqual([])
    expect(await elena.ok(elena.get(`${place}?time_series=1`))).toEqual(
      rows.map((row) => [...row, '203.0.113.9']),
    )
    expect(await code(elena.get(`${place}?time_series=1&gs=soon`))).toBe('400 bad_range')
    expect(await elena.ok(elena.get(place))).toEqual([])
  })

  test.each([
    ['', 'bad_address'],
    ['somewhere', 'bad_address'],
    ['example.com', 'bad_address'],
    ['1.2.3', 'bad_address'],
    ['1.2.3.256', 'bad_address'],
    ['010.1.2.3', 'bad_address'],
    ['0x7f.0.0.1', 'bad_address'],
    ['2130706433', 'bad_address'],
    ['1.2.3.4/33', 'bad_address'],
    ['1.2.3.4/-1', 'bad_address'],
    ['1.2.3.4/08', 'bad_address'],
    ['1.2.3.4/', 'bad_address'],
    ['1.2.3.4/8/8', 'bad_address'],
    ['1.2.3.0/255.255.255.0', 'bad_address'],
    ['1.2.3.4 ', 'bad_address'],
    ['1.2.3.4-1.2.3.9', 'bad_address'],
    ['2001:db8::/129', 'bad_address'],
    ['2001:db8:::1', 'bad_address'],
    ['fe80::1%eth0', 'bad_address'],
    ['[2001:db8::1]', 'bad_address'],
  ])('refuses %j with %s', async (k, wanted) => {
    expect(await code(deny('/my/path', k))).toBe(`400 ${wanted}`)
    expect(await code(elena.get(`/_auth/my/path?k=${encodeURIComponent(k)}`))).toBe(`400 ${wanted}`)
  })

  test('refuses what is no key at all, and a time that is none', async () => {
    expect(await code(elena.put('/_auth/my/path', {}))).toBe('400 key_missing')
    expect(await code(elena.put('/_auth/my/path', { k: 7 }))).toBe('400 bad_address')
    expect(await code(deny('/my/path', '203.0.113.9', { ttl: 0 }))).toBe('400 bad_ttl')
    expect(await code(deny('/my/path', '203.0.113.9', { ttl: 'soon' }))).toBe('400 bad_ttl')
  })

  test('refuses to ban the caller himself: there would be no way back', async () => {
    for (const k of [HERE, '198.51.100.0/24', '0.0.0.0/0', `::ffff:${HERE}`])
      expect(await code(deny('/', k))).toBe('400 bad_address')
    expect(await code(deny('/', '::/0'))).toBe('ok')
    expect(await asked(HERE)).toBe('ok')
  })

  test('keeps one spelling of each, and finds it by any other', async () => {
    await deny('/my/path', '10.1.2.3/8')
    await deny('/my/path', '::ffff:192.0.2.77')
    await deny('/my/path', '::ffff:192.0.2.0/120')
    await deny('/my/path', '192.0.2.1/32')
    await deny('/my/path', '2001:DB8:0:0:0:0:0:1')
    await deny('/my/path', '2001:db8:ffff::/33')
    const { body } = await elena.get<string[]>('/_auth/my/path')
    expect([...body.v].sort()).toEqual(
      ['10.0.0.0/8', '192.0.2.1', '192.0.2.77', '192.0.2.0/24', '2001:db8::1', '2001:db8:8000::/33'].sort(),
    )
    expect(await code(elena.get('/_auth/my/path?k=2001:0db8::0001'))).toBe('ok')
    expect(await elena.ok(elena.delete('/_auth/my/path?k=::ffff:a00:0/104'))).toBe(1)
    expect(await code(elena.delete('/_auth/my/path?k=10.0.0.0/8'))).toBe('404 not_found')
    expect(await elena.ok(elena.delete('/_auth/my/path'))).toBe(5)
    expect(await elena.ok(elena.get('/_auth/my/path'))).toEqual([])
  })

  test('an account has room for so many only', async () => {
    const { bucket } = await platform.context.tokens.verify(
      'signal',
      await lily.ok(lily.put<string>('/_token')),
    )
    const own = platform.engine.bucket(bucket)
    const place = (i: number) => ({
      layer: bans.layer,
      path: Path.parse(`/rooms/${i}`),
      key: Key.parse('203.0.113.9'),
    })
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => own.put(place(i), {}, { by: 'lily' })))
    expect(await code(lily.put('/_auth/one/more', { k: '203.0.113.9' }))).toBe('403 limit_reached')
    expect(await code(lily.put('/_auth/rooms/7', { k: '203.0.113.9', v: 'again' }))).toBe('ok')
    expect(await asked('203.0.113.9', '/_data/rooms/999/x', lily)).toBe('403 forbidden')
    expect(await asked('203.0.113.9', '/_data/rooms/1000', lily)).toBe('ok')
    await own.removeUnder(bans.layer, Path.root, { by: 'lily' })
  })
})

describe('a ban', () => {
  test('holds at its path and below, for every service and method, and no further', async () => {
    await deny('/my/path', '203.0.113.9')
    const refused = [
      ['GET', '/_data/my/path'],
      ['GET', '/_data/my/path/below?k=x'],
      ['PUT', '/_ns/my/path/new'],
      ['PUT', '/_token/my/path'],
      ['GET', '/_stats/my/path?l=router:pkt'],
      ['GET', '/_ds/my/path?a=keys&l=*data'],
      ['GET', '/_auth/my/path'],
      ['DELETE', '/_auth/my/path'],
      ['DELETE', '/_data/my/path'],
      ['HEAD', '/_data/my/path'],
      ['POST', '/_data/my/path'],
    ] as const
    for (const [method, target] of refused) {
      const response = await fetch(platform.url + target, {
        method,
        headers: {
          Authorization: printBasicHeader({ user: elena.user, password: elena.password }),
          ...from('203.0.113.9'),
        },
      })
      expect([method, target, response.status]).toEqual([method, target, 403])
      if (method !== 'HEAD') expect(await response.json()).toMatchObject({ v: 'forbidden', s: 'error' })
    }
    for (const target of ['/_data/my', '/_data/my/pathology', '/_data/other', '/_ns', '/_data/MY/path'])
      expect([target, await asked('203.0.113.9', target)]).toEqual([target, 'ok'])
    expect(await asked('203.0.113.8')).toBe('ok')
    expect(await elena.ok(elena.get<string[]>('/_auth/my/path', from(HERE)))).toEqual(['203.0.113.9'])
  })

  test('holds for every spelling of the path', async () => {
    await deny('/my/path', '203.0.113.9')
    for (const target of [
      '/_data//my//path/',
      '//_data/my/path',
      '/%5Fdata/my/path',
      '/_data/%6Dy/p%61th',
      '/_data/my/path?path=/other',
      '/_data/my/path/%20',
    ])
      expect([target, await asked('203.0.113.9', target)]).toEqual([target, '403 forbidden'])
    for (const target of ['/_data/other/../my/path', '/_data/my%2Fpath', '/_data/%2e/my/path'])
      // fetch would resolve the dots itself.
      expect([target, await raw(target)]).toEqual([target, 400])
  })

  function raw(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const { port } = new URL(platform.url)
      const Authorization = printBasicHeader({ user: elena.user, password: elena.password })
      httpRequest(
        { host: '127.0.0.1', port, path, agent: false, headers: { Authorization, ...from('203.0.113.9') } },
        (response) => {
          response.resume()
          response.on('end', () => resolve(response.statusCode!))
        },
      )
        .on('error', reject)
        .end()
    })
  }

  test.each([
    [
      '203.0.113.0/24',
      ['203.0.113.0', '203.0.113.255', '::ffff:203.0.113.7', '::ffff:cb00:7107'],
      ['203.0.114.0'],
    ],
    ['203.0.113.128/25', ['203.0.113.128'], ['203.0.113.127']],
    ['::ffff:203.0.113.9', ['203.0.113.9', '::FFFF:203.0.113.9'], ['203.0.113.10']],
    ['2001:db8::1', ['2001:db8::1', '2001:0DB8:0:0::0001'], ['2001:db8::2', '32.1.13.184']],
    ['2001:db8::/32', ['2001:db8:1::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'], ['2001:db9::']],
    ['2001:db8::/63', ['2001:db8:0:1::5'], ['2001:db8:0:2::5']],
    ['::/0', ['::1', '2001:db8::1', 'fe80::1'], ['203.0.113.9', '::ffff:203.0.113.9']],
    ['128.0.0.0/1', ['203.0.113.9', '255.255.255.255'], ['127.255.255.255', '2001:db8::1']],
  ])('of %s', async (range, denied, allowed) => {
    // From where both ends of the last one are not.
    expect(await code(elena.put('/_auth/my', { k: range }, from('127.0.0.9')))).toBe('ok')
    for (const address of denied) expect([address, await asked(address)]).toEqual([address, '403 forbidden'])
    for (const address of allowed) expect([address, await asked(address)]).toEqual([address, 'ok'])
    await elena.ok(elena.delete('/_auth/my', from('127.0.0.9')))
    for (const address of denied) expect([address, await asked(address)]).toEqual([address, 'ok'])
  })

  test('at the root is of everything, of this account alone', async () => {
    await deny('/', '203.0.113.9')
    expect(await asked('203.0.113.9', '/_ns')).toBe('403 forbidden')
    expect(await asked('203.0.113.9', '/_acc/accounts')).toBe('403 forbidden')
    expect(await asked('203.0.113.9', '/_data/my/path', lily)).toBe('ok')
    expect(await asked('203.0.113.9', '/_ns', platform.sys)).toBe('ok')
    // Who is not known is not told.
    const nobody = platform.as('elena', 'not her secret')
    expect(await asked('203.0.113.9', '/_ns', nobody)).toBe('401 unauthorized')
    expect((await fetch(platform.url + '/healthz', { headers: from('203.0.113.9') })).status).toBe(200)
  })

  test('with a ttl ends by itself', async () => {
    await deny('/my/path', '203.0.113.9', { ttl: 0.6 })
    await deny('/my/path', '203.0.113.10')
    expect(await asked('203.0.113.9')).toBe('403 forbidden')
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(await asked('203.0.113.9')).toBe('ok')
    expect(await asked('203.0.113.10')).toBe('403 forbidden')
    expect(await code(elena.get('/_auth/my/path?k=203.0.113.9'))).toBe('404 not_found')
    // Made longer in good time it stays.
    await deny('/my/path', '203.0.113.9', { ttl: 0.6 })
    expect(await asked('203.0.113.9')).toBe('403 forbidden')
    await deny('/my/path', '203.0.113.9')
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(await asked('203.0.113.9')).toBe('403 forbidden')
  })

  test('keeps what is not counted out of the count', async () => {
    const calls = jest.spyOn(platform.context.stats, 'record')
    await deny('/my/path', '203.0.113.9')
    calls.mockClear()
    await asked('203.0.113.9')
    expect(calls).not.toHaveBeenCalled()
    await asked(HERE)
    expect(calls).toHaveBeenCalledTimes(1)
    calls.mockRestore()
  })

  test('is told to who watches, and checked for who asks', async () => {
    const bucket = BucketName.of('elena')
    const end = new AbortController()
    const heard: string[] = []
    const watching = (async () => {
      for await (const ban of bans.watch(bucket, end.signal)) {
        heard.push(`${ban.path} ${ban.range}`)
        expect(ban.covers(Path.parse('/my/path/room'), '::ffff:203.0.113.77')).toBe(true)
        expect(ban.covers(Path.parse('/my'), '203.0.113.77')).toBe(false)
        expect(ban.covers(Path.parse('/my/path'), '203.0.114.77')).toBe(false)
      }
    })()
    // The watch begins behind what was there; its first event says that it has begun.
    await new Promise((resolve) => setTimeout(resolve, 100))
    await deny('/my/path', '203.0.113.0/24')
    await elena.ok(elena.delete('/_auth/my/path?k=203.0.113.0/24'))
    await deny('/my/path', '203.0.113.64/26')
    for (let i = 0; i < 100 && heard.length < 2; i++) await new Promise((resolve) => setTimeout(resolve, 20))
    end.abort()
    await watching
    expect(heard).toEqual(['/my/path 203.0.113.0/24', '/my/path 203.0.113.64/26'])

    const at = (address: string | undefined, path = '/my/path') =>
      bans.check(bucket, Path.parse(path), address).then(
        () => 'ok',
        ({ code }: { code: string }) => code,
      )
    expect(await at('203.0.113.65')).toBe('forbidden')
    expect(await at('203.0.113.1')).toBe('ok')
    // Who has no address could be anybody.
    expect(await at(undefined, '/elsewhere')).toBe('forbidden')
    expect(await at('nonsense')).toBe('forbidden')
  })
})

test('an address that the caller says of himself counts for nothing without a proxy that is believed', async () => {
  const direct = await openWorld()
  const sys = `$sys:${SYS_SECRET}`
  const call = (localAddress: string, headers: Record<string, string> = {}) =>
    new Promise<number>((resolve, reject) => {
      const Authorization = printBasicHeader({ user: '$sys', password: SYS_SECRET })
      const { port } = direct.server
      httpRequest(
        {
          host: '127.0.0.1',
          port,
          localAddress,
          path: '/_ns',
          agent: false,
          headers: { Authorization, ...headers },
        },
        (response) => {
          response.resume()
          response.on('end', () => resolve(response.statusCode!))
        },
      )
        .on('error', reject)
        .end()
    })
  try {
    for (const k of ['127.0.0.2', '203.0.113.9'])
      expect((await direct.ask('PUT', '/_auth', { as: sys, body: { k } })).status).toBe(201)
    expect(await call('127.0.0.2')).toBe(403)
    expect(await call('127.0.0.2', from('127.0.0.1'))).toBe(403)
    expect(await call('127.0.0.3')).toBe(200)
    expect(await call('127.0.0.3', from('203.0.113.9'))).toBe(200)
  } finally {
    await direct.close()
  }
})

test('what is denied everything is denied the wire formats beside the envelope', async () => {
  const mount: MountFactory = () => ({
    name: 'echo',
    segments: ['echo'],
    routes: [
      { methods: ['GET'], pattern: /./, access: 'account', summary: '', run: async () => ({ status: 200 }) },
    ],
    refuse: (error) => ({ status: (error as { code: string }).code === 'forbidden' ? 403 : 500 }),
  })
  const world = await openWorld({ KV4_TRUST_PROXY: '127.0.0.1' }, { mounts: [mount] })
  try {
    const sys = `$sys:${SYS_SECRET}`
    const echo = async () =>
      (await world.ask('GET', '/echo/x', { as: sys, headers: from('203.0.113.9') })).status
    await world.ask('PUT', '/_auth/echo', { as: sys, body: { k: '203.0.113.9' } })
    expect(await echo()).toBe(200)
    await world.ask('PUT', '/_auth', { as: sys, body: { k: '203.0.113.9' } })
    expect(await echo()).toBe(403)
  } finally {
    await world.close()
  }
})

test('a session or service that is denied is denied by the URLs of the wire formats beside the envelope', async () => {
  const status = async (method: string, path: string, body?: unknown) => {
    const Authorization = printBasicHeader({ user: elena.user, password: elena.password })
    const headers = { Authorization, ...from('203.0.113.9'), 'Content-Type': 'application/json' }
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    return (await fetch(platform.url + path, { method, headers, ...sent })).status
  }
  await deny('/my', '203.0.113.9')
  const denied: readonly (readonly [string, string, unknown?])[] = [
    ['GET', '/v1/sessions/my'],
    ['GET', '/v1/sessions/my%2Fpath'],
    ['HEAD', '/v1/sessions/%6dy/cart'],
    ['PUT', '/v1/sessions/my%2Fpath/cart', { n: 1 }],
    ['DELETE', '/v1/sessions/my'],
    ['GET', '/srv/my'],
    ['HEAD', '/srv/my'],
    ['PUT', '/srv/my/h1', { endpoints: [] }],
    ['DELETE', '/srv/my/h1'],
    ['GET', '/srv/my/web-hooks'],
  ]
  for (const [method, path, body] of denied)
    expect([method, path, await status(method, path, body)]).toEqual([method, path, 403])
  expect(await status('GET', '/v1/sessions/mine')).toBe(200)
  expect(await status('PUT', '/v1/sessions/other/my', { n: 1 })).toBe(200)
  expect(await status('GET', '/srv/web')).toBe(200)
  expect(await status('PUT', '/app/my', { config: 1 })).toBe(200)
})

test('what is denied a path of _conf or _reg is denied by the URLs of the registry, in its own form', async () => {
  const send = async (method: string, path: string, headers: Record<string, string>, body?: unknown) => {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) }
    const type = { 'Content-Type': 'application/json' }
    const response = await fetch(platform.url + path, { method, headers: { ...type, ...headers }, ...sent })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
  const auth = { 'RAX-KSKEY:apiKeyCredentials': { username: elena.user, apiKey: elena.password } }
  const { access } = JSON.parse((await send('POST', '/v2.0/tokens', {}, { auth })).text) as {
    access: { token: { id: string; tenant: { id: string } } }
  }
  const credential = { 'X-Auth-Token': access.token.id, 'X-Tenant-Id': access.token.tenant.id }
  const call = (method: string, path: string, body?: unknown, address = '203.0.113.9') =>
    send(method, path, { ...credential, ...from(address) }, body)
  const v1 = '/v1.0/' + access.token.tenant.id
  for (const path of ['/production', '/production/cassandra', '/production2'])
    await elena.ok(elena.put('/_conf' + path, { k: 'name', v: 'one' }))
  await call('POST', v1 + '/services', { id: 'web-1', heartbeat_timeout: 120 }, HERE)

  await deny('/production', '203.0.113.9')
  await deny('/services', '203.0.113.9')
  const denied: readonly (readonly [string, string, unknown?])[] = [
    ['GET', '/v1.0/configuration//production/name'],
    ['GET', v1 + '/configuration//production/name'],
    ['GET', v1 + '/configuration/production/name'],
    ['GET', v1 + '/configuration/%2Fproduction%2fcassandra%2Fname'],
    ['HEAD', v1 + '/configuration//production/name'],
    ['PUT', v1 + '/configuration//production/name', { value: 'two' }],
    ['PUT', v1 + '/configuration/production/other', { value: 'two' }],
    ['DELETE', v1 + '/configuration//production/name'],
    ['GET', v1 + '/configuration/production/'],
    ['GET', v1 + '/configuration//production/?limit=1'],
    ['GET', v1 + '/configuration//production//'],
    ['GET', v1 + '/configuration/production/cassandra/'],
    ['GET', v1 + '/services'],
    ['POST', v1 + '/services', { id: 'web-2', heartbeat_timeout: 120 }],
    ['GET', v1 + '/services/web-1'],
    ['PUT', v1 + '/services/web-1', { tags: [] }],
    ['POST', v1 + '/services/web-1/heartbeat', { token: '6de2c1f0-4b1c-11e3-8f96-0800200c9a66' }],
    ['DELETE', v1 + '/services/web-1'],
  ]
  for (const [method, path, body] of denied) {
    const { status, text } = await call(method, path, body)
    expect([method, path, status]).toEqual([method, path, 403])
    if (method !== 'HEAD')
      expect(JSON.parse(text)).toMatchObject({ type: 'forbiddenError', code: 403, message: 'forbidden' })
  }
  const open: readonly (readonly [string, string, number])[] = [
    ['GET', v1 + '/configuration//production2/name', 200],
    ['GET', v1 + '/configuration/production2/', 200],
    // A name at the root.
    ['GET', v1 + '/configuration//production', 404],
    ['GET', v1 + '/configuration', 200],
    ['GET', v1 + '/events', 200],
    ['GET', v1 + '/sessions', 200],
  ]
  for (const [method, path, wanted] of open)
    expect([method, path, (await call(method, path)).status]).toEqual([method, path, wanted])
  // What is no id is told as before, with what every reply carries.
  const bad = await call('GET', v1 + '/configuration//production/x!')
  expect([bad.status, bad.headers.has('x-ratelimit-used')]).toEqual([400, true])
  // Nothing was written, and others are let in.
  const there = await call('GET', v1 + '/configuration/production/', undefined, HERE)
  expect((JSON.parse(there.text) as { values: unknown }).values).toEqual([
    { id: '/production/cassandra/name', value: 'one' },
    { id: '/production/name', value: 'one' },
    { id: '/production2/name', value: 'one' },
  ])
})

test('on one node is in force on the others', async () => {
  const couch = await CouchServer.start({ login: 'admin:admin' })
  const settings = { KV4_COUCHDB_URL: couch.url, KV4_TRUST_PROXY: '127.0.0.1' }
  const a = await startPlatform({ settings: { ...settings, KV4_NODE: 'node-a' } })
  const b = await startPlatform({ settings: { ...settings, KV4_NODE: 'node-b' } })
  try {
    const secret = await account(a.sys, 'elena')
    const [one, other] = [a.as('elena', secret), b.as('elena', secret)]
    const until = async (wanted: string): Promise<number> => {
      const begun = performance.now()
      while ((await code(other.get('/_data/my/path', from('203.0.113.9')))) !== wanted) {
        expect(performance.now() - begun).toBeLessThan(10_000)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      return performance.now() - begun
    }
    await until('ok')
    for (let round = 0; round < 3; round++) {
      await one.ok(one.put('/_auth/my', { k: '203.0.113.0/24' }, from(HERE)))
      await until('403 forbidden')
      await one.ok(one.delete('/_auth/my?k=203.0.113.0/24', from(HERE)))
      await until('ok')
    }
  } finally {
    await Promise.all([a.close(), b.close()])
    await couch.close()
  }
}, 60_000)

import { openNesoi } from './world'
import type { NesoiWorld, Reply } from './world'

/** The contract's tables, as clients of the first generation (N1) and of the second (N2) see them. */

let at: NesoiWorld
const call = (method: string, path: string, body?: unknown): Promise<Reply> => at.nesoi(method, path, body)

beforeAll(async () => {
  at = await openNesoi()
})
afterAll(() => at.close())

const APP = { name: 'dm', config: { database: 'db1:5432', workers: 4 }, extra: [1, { two: null }] }
const HOST = { name: 'h1', endpoints: { http: 'http://h1:8080/' }, load: 0.5 }

function isEmpty(reply: Reply, status: number): void {
  expect({ status: reply.status, text: reply.text }).toEqual({ status, text: '' })
  expect(reply.headers['content-length']).toBe('0')
}

/** Unix seconds, now. */
function expectRecent(seconds: unknown): void {
  expect(typeof seconds).toBe('number')
  expect(Math.abs(Date.now() / 1000 - (seconds as number))).toBeLessThan(30)
}

describe('applications', () => {
  test('there are none: the map of N1 is empty but for the list of N2', async () => {
    const reply = await call('GET', '/app')
    expect(reply.status).toBe(200)
    expect(reply.headers['content-type']).toBe('application/json')
    expect(reply.json).toEqual({ apps: [] })
  })

  test('PUT stores the whole body, whatever its type, and answers it with updated_at', async () => {
    const put = await call('PUT', '/app/dm', APP)
    expect(put.status).toBe(200)
    expect(put.json).toEqual({ ...APP, updated_at: expect.any(Number) as number })
    expectRecent(put.json.updated_at)
    expect(put.text).toBe(JSON.stringify(put.json, undefined, 2))
    const got = await call('GET', '/app/dm')
    expect(got.json).toEqual(put.json)
    const typed = await at.nesoi('PUT', '/app/dm', JSON.stringify(APP), { 'Content-Type': 'text/html' })
    expect(typed.status).toBe(200)
  })

  test('PUT replaces, does not merge, and updated_at grows', async () => {
    const before = (await call('PUT', '/app/replaced', { name: 'replaced', config: 1, old: true })).json
    const after = (await call('PUT', '/app/replaced', { name: 'replaced', config: 2 })).json
    expect(after).toEqual({ name: 'replaced', config: 2, updated_at: expect.any(Number) as number })
    expect(after.updated_at).toBeGreaterThan(before.updated_at as number)
    // What was read may be sent back.
    expect((await call('PUT', '/app/replaced', after)).json.updated_at).toBeGreaterThan(
      after.updated_at as number,
    )
  })

  test('N2 sends no name, and N1 finds one all the same', async () => {
    expect((await call('PUT', '/app/nameless', { config: {} })).json.name).toBe('nameless')
    expect((await call('PUT', '/app/nameless', { name: 'Other', config: {} })).json.name).toBe('Other')
  })

  test('GET of the collection is the map of N1 with the list of N2', async () => {
    const { json, text } = await call('GET', '/app')
    expect(json.dm).toEqual((await call('GET', '/app/dm')).json)
    expect(json.apps).toEqual(['dm', 'nameless', 'replaced'])
    expect(Object.keys(json as object).sort()).toEqual(['apps', 'dm', 'nameless', 'replaced'])
    expect(text).toBe(JSON.stringify(json, undefined, 2))
  })

  test('an application called apps hides behind the list, and is there by its name', async () => {
    await call('PUT', '/app/apps', { config: 'mine' })
    expect((await call('GET', '/app')).json.apps).toContain('apps')
    expect((await call('GET', '/app/apps')).json.config).toBe('mine')
    isEmpty(await call('DELETE', '/app/apps'), 200)
  })

  test('a config is required, in the words of N2', async () => {
    const reply = await call('PUT', '/app/dm', { name: 'dm' })
    expect(reply.status).toBe(400)
    expect(reply.text).toBe('missing field "config" in config')
  })

  test('404 and 405 are empty; DELETE is what the README says', async () => {
    isEmpty(await call('GET', '/app/nobody'), 404)
    isEmpty(await call('DELETE', '/app/nobody'), 404)
    for (const method of ['POST', 'PATCH']) {
      const reply = await call(method, '/app/dm', {})
      isEmpty(reply, 405)
      expect(reply.headers.allow).toBe('HEAD, GET, PUT, DELETE')
    }
    for (const method of ['PUT', 'POST', 'DELETE']) isEmpty(await call(method, '/app', {}), 405)
    isEmpty(await call('DELETE', '/app/replaced'), 200)
    isEmpty(await call('GET', '/app/replaced'), 404)
  })

  test('HEAD names the place to subscribe, of what is not there too', async () => {
    for (const path of ['/app/dm', '/app/nobody', '/srv/web', '/app/dm/']) {
      const reply = await call('HEAD', path)
      isEmpty(reply, 200)
      const [, kind, name] = path.split('/')
      expect(reply.headers.link).toBe(
        `http://127.0.0.1:${at.port}/${kind}/${name}/web-hooks, rel="Subscriptions"`,
      )
    }
  })

  test('one trailing slash is ignored, two are not', async () => {
    expect((await call('GET', '/app/dm/')).json).toEqual((await call('GET', '/app/dm')).json)
    expect((await call('GET', '/app/')).status).toBe(200)
    isEmpty(await call('GET', '/app/dm//'), 404)
  })
})

describe('hosts', () => {
  test('there are none: no service is ever not found', async () => {
    expect((await call('GET', '/srv')).text).toBe('{}')
    const reply = await call('GET', '/srv/web')
    expect([reply.status, reply.text]).toEqual([200, '{}'])
    isEmpty(await call('GET', '/srv/web/h1'), 404)
  })

  test('PUT, GET of one, of a service, of all', async () => {
    const put = await call('PUT', '/srv/web/h1', HOST)
    expect(put.status).toBe(200)
    expect(put.json).toEqual({ ...HOST, updated_at: expect.any(Number) as number })
    expectRecent(put.json.updated_at)
    const other = (await call('PUT', '/srv/web/h2', { endpoints: [] })).json
    expect(other.name).toBe('h2')
    await call('PUT', '/srv/mail/h1', { endpoints: [] })

    expect((await call('GET', '/srv/web/h1')).json).toEqual(put.json)
    const service = await call('GET', '/srv/web')
    expect(service.json).toEqual({ h1: put.json, h2: other })
    expect(service.text).toBe(JSON.stringify(service.json, undefined, 2))
    const all = await call('GET', '/srv')
    expect(all.json).toEqual({
      mail: { name: 'mail', hosts: { h1: expect.objectContaining({ endpoints: [] }) as object } },
      web: { name: 'web', hosts: { h1: put.json, h2: other } },
    })
    expect(all.text).toBe(JSON.stringify(all.json, undefined, 2))
    // N2 goes over `hosts`, N1 looks into it: names come first in either.
    expect(Object.keys(all.json.web.hosts as object)).toEqual(['h1', 'h2'])
  })

  test('endpoints are required', async () => {
    const reply = await call('PUT', '/srv/web/h1', { name: 'h1' })
    expect([reply.status, reply.text]).toEqual([400, 'missing field "endpoints" in config'])
  })

  test('DELETE is 200, then 404, both empty', async () => {
    isEmpty(await call('DELETE', '/srv/mail/h1'), 200)
    isEmpty(await call('DELETE', '/srv/mail/h1'), 404)
    expect((await call('GET', '/srv')).json).not.toHaveProperty('mail')
    for (const method of ['PUT', 'POST', 'DELETE']) isEmpty(await call(method, '/srv', {}), 405)
    for (const method of ['PUT', 'POST', 'DELETE']) isEmpty(await call(method, '/srv/web', {}), 405)
    isEmpty(await call('POST', '/srv/web/h1', {}), 405)
  })

  test('more hosts than fit into one page come whole', async () => {
    const names = Array.from({ length: 1_100 }, (_, i) => `host-${String(i).padStart(5, '0')}`)
    const padding = 'x'.repeat(400)
    for (let i = 0; i < names.length; i += 100)
      await Promise.all(
        names.slice(i, i + 100).map((name) => call('PUT', `/srv/many/${name}`, { endpoints: [padding] })),
      )
    const reply = await call('GET', '/srv/many')
    expect(Object.keys(reply.json as object)).toEqual(names)
    expect(reply.text).toBe(JSON.stringify(reply.json, undefined, 2))
    expect(Object.keys((await call('GET', '/srv')).json.many.hosts as object)).toEqual(names)
  }, 60_000)

  test('of several masters the one that said so last is the one', async () => {
    await call('PUT', '/srv/db/a', { endpoints: [], master: true })
    await call('PUT', '/srv/db/b', { endpoints: [], master: true })
    await call('PUT', '/srv/db/c', { endpoints: [], master: false })
    await call('PUT', '/srv/db/d', { endpoints: [], master: 'true' })
    const master = await call('GET', '/srv/db?master=1')
    expect(master.status).toBe(200)
    expect(master.json).toEqual((await call('GET', '/srv/db/b')).json)
    expect(master.headers['content-location']).toBe(`http://127.0.0.1:${at.port}/srv/db/b`)
    await call('PUT', '/srv/db/a', { endpoints: [], master: true })
    expect((await call('GET', '/srv/db?master=1')).json.name).toBe('a')
    await call('PUT', '/srv/db/a', { endpoints: [], master: false })
    expect((await call('GET', '/srv/db?master=1')).json.name).toBe('b')
    await call('DELETE', '/srv/db/b')
    isEmpty(await call('GET', '/srv/db?master=1'), 404)
    expect(Object.keys((await call('GET', '/srv/db?master=0')).json as object)).toEqual(['a', 'c', 'd'])
  })
})

describe.each([
  ['app', 'app:test'],
  ['srv', 'srv:test'],
])('hooks of /%s', (kind, pattern) => {
  const all = `/${kind}/test/web-hooks`
  const endpoint = 'http://127.0.0.1:18765/hook'

  test('POST is 201 with a Location and what was posted; what they hang on need not be there', async () => {
    const body = { name: 'node1-test', endpoint, 'Notification-Type': 'all' }
    const reply = await call('POST', all, body)
    expect([reply.status, reply.json]).toEqual([201, body])
    expect(reply.headers.location).toBe(`http://127.0.0.1:${at.port}${all}/node1-test`)
    expect((await call('GET', `/${kind}/test`)).status).toBe(kind === 'app' ? 404 : 200)
  })

  test('a duplicate is 409, a missing field 400', async () => {
    expect((await call('POST', all, { name: 'node1-test', endpoint })).status).toBe(409)
    const reply = await call('POST', all, { name: 'node2' })
    expect([reply.status, reply.text]).toEqual([400, 'required field "endpoint" is missing'])
    expect((await call('POST', all, { endpoint })).text).toBe('required field "name" is missing')
  })

  test('GET is the map by name, with what N2 says beside what N1 says', async () => {
    const { json } = await call('GET', all)
    expect(json).toEqual({
      'node1-test': {
        name: 'node1-test',
        endpoint,
        uri: `/${kind}/test`,
        pattern,
        'last-hit': expect.any(Number) as number,
      },
    })
    expectRecent(json['node1-test']['last-hit'])
    expect((await call('GET', `${all}/node1-test`)).json).toEqual(json['node1-test'])
    isEmpty(await call('GET', `${all}/nobody`), 404)
    expect((await call('GET', `/${kind}/unknown/web-hooks`)).text).toBe('{}')
  })

  test('PUT changes, or adds as in N2; another name or a missing field is 400', async () => {
    const changed = { name: 'node1-test', endpoint: endpoint + '2' }
    expect((await call('PUT', `${all}/node1-test`, changed)).json).toEqual(changed)
    expect((await call('GET', `${all}/node1-test`)).json.endpoint).toBe(endpoint + '2')
    expect((await call('PUT', `${all}/node2`, { name: 'node2', endpoint })).status).toBe(200)
    expect((await call('GET', `${all}/node2`)).status).toBe(200)
    expect((await call('PUT', `${all}/node2`, { name: 'node3', endpoint })).status).toBe(400)
    expect((await call('PUT', `${all}/node2`, { name: 'node2' })).status).toBe(400)
  })

  test('DELETE is 200, then 404; other methods 405', async () => {
    isEmpty(await call('DELETE', `${all}/node2`), 200)
    isEmpty(await call('DELETE', `${all}/node2`), 404)
    isEmpty(await call('POST', `${all}/node1-test`, {}), 405)
    for (const method of ['PUT', 'DELETE']) isEmpty(await call(method, all, {}), 405)
  })
})

test('a host called web-hooks cannot be made', async () => {
  isEmpty(await call('PUT', '/srv/web/web-hooks', { endpoints: [] }), 405)
  const native = await at.native('PUT', '/_srv/web', { body: { k: 'web-hooks', v: { endpoints: [] } } })
  expect([native.status, native.json.v]).toEqual([400, 'bad_key'])
})

describe('where the original shows a traceback', () => {
  test.each([
    '/app/a/b',
    '/app/a/web-hooks/b/c',
    '/srv/a/b/c',
    '/app/caf%C3%A9',
    '/app/a%2Fb',
    '/srv//h',
    '/app//',
  ])('the unknown route %s is 404', async (path) => {
    isEmpty(await call('GET', path), 404)
  })

  test.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['no JSON', '{config'],
    ['bytes that are no text', Buffer.from([0x7b, 0xff, 0x7d])],
    ['levels without end', '{"config":' + '['.repeat(100_000) + ']'.repeat(100_000) + '}'],
    ['the prototype', '{"config":1,"__proto__":{"polluted":true}}'],
    ['a name twice', '{"config":1,"config":2}'],
    ['a number that no double holds', '{"config":1e999}'],
    ['a list', '[]'],
    ['a word', '"config"'],
    ['null', 'null'],
  ])('a body with %s is 400 in a word, and stores nothing', async (_name, body) => {
    for (const [method, path] of [
      ['PUT', '/app/hostile'],
      ['PUT', '/srv/web/hostile'],
      ['POST', '/app/hostile/web-hooks'],
      ['PUT', '/srv/web/web-hooks/hostile'],
    ] as const) {
      const reply = await call(method, path, body)
      expect([path, reply.status]).toEqual([path, 400])
      expect(reply.headers['content-type']).toBe('text/plain; charset=utf-8')
      expect(reply.text).toMatch(/^[^<\n]{3,120}$/)
    }
    isEmpty(await call('GET', '/app/hostile'), 404)
  })

  test.each(['.', '..'])('the name %s is none', async (name) => {
    for (const path of [`/app/${name}`, `/srv/${name}/h1`, `/srv/web/${name}`])
      expect([path, (await call('PUT', path, { config: 1, endpoints: 1 })).status]).toEqual([path, 400])
  })

  test('names that mean something elsewhere are names', async () => {
    for (const name of ['__proto__', 'constructor', '_design', '_local', 'toString', '0']) {
      expect((await call('PUT', `/app/${name}`, { config: name })).status).toBe(200)
      expect((await call('GET', `/app/${name}`)).json.config).toBe(name)
      await call('PUT', `/srv/${name}/${name}`, { endpoints: name })
      expect((await call('GET', `/srv/${name}/${name}`)).json.endpoints).toBe(name)
      expect(Object.hasOwn((await call('GET', '/srv')).json as object, name)).toBe(true)
      await call('DELETE', `/app/${name}`)
      await call('DELETE', `/srv/${name}/${name}`)
    }
  })

  test('a name or a body that is too long', async () => {
    expect((await call('PUT', '/app/' + 'x'.repeat(256), { config: 1 })).status).toBe(400)
    expect((await call('PUT', '/app/' + 'x'.repeat(255), { config: 1 })).status).toBe(200)
    expect((await call('PUT', '/app/big', { config: 'x'.repeat(1024 * 1024) })).status).toBe(413)
  })

  test.each(['file:///etc/passwd', 'http://10.0.0.1/', 'nowhere', 'http://user:password@127.0.0.1/', 5])(
    'an endpoint where nothing may be sent: %s',
    async (endpoint) => {
      const reply = await call('POST', '/app/dm/web-hooks', { name: 'bad', endpoint })
      expect(reply.status).toBe(400)
      isEmpty(await call('GET', '/app/dm/web-hooks/bad'), 404)
    },
  )
})

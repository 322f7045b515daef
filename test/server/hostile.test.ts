import { BucketName } from '../../core'
import { SYS_SECRET, openWorld } from './world'
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
let world: World

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
  world = await openWorld()
  const sys = '$sys:' + SYS_SECRET
  for (const [k, secret] of [ELENA, MALLORY].map((as) => as.split(':')) as [string, string][])
    await world.ask('PUT', '/_acc/accounts', {
      as: sys,
      body: { k, v: { email: k + '@example.com', secret } },
    })
  await world.ask('PUT', '/_data/secret', { as: ELENA, body: { k: 'secret', v: { canary: 'elenas' } } })
})
afterAll(() => world.close())

describe('hostile names', () => {
  test('in paths, keys, queries and bodies reach nobody else and break nothing', async () => {
    const before = await buckets()
    expect(before).toEqual([BucketName.of('elena'), BucketName.of('mallory'), BucketName.system])
    for (const name of HOSTILE) {
      const path = encodeURI(name).replaceAll('%25', '%')
      const inQuery = encodeURIComponent(name)
      for (const prefix of ['_data', '_ns', '_ds', '_acc']) {
        for (const method of ['GET', 'PUT', 'POST', 'DELETE']) {
          const body = method === 'GET' || method === 'DELETE' ? {} : { body: { k: name, v: { x: name } } }
          const answer = await world.ask(method, `/${prefix}/${path}`, { as: MALLORY, ...body })
          assertCivil(answer)
          expect(answer.text).not.toContain('elenas')
        }
        for (const parameter of ['k', 'k2', 'l', 'a', 'after', 'at', 'gs', 'depth', 'limit', 'as']) {
          const answer = await world.ask('GET', `/${prefix}/x?${parameter}=${inQuery}`, { as: MALLORY })
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
  })

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

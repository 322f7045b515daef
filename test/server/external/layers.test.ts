import type { Client } from '../../client'
import type { Platform } from '../../platform'
import { makeAccount, register, startHost, startOpenPlatform, type TestHost } from './world'

/** What the token that comes with a call opens: the service's own layers in the caller's bucket, for a while. */

let platform: Platform
let host: TestHost
let elena: Client
let lily: Client

beforeAll(async () => {
  platform = await startOpenPlatform()
  host = await startHost()
  await register(platform, {
    host: 'one',
    prefix: '_video',
    url: host.url,
    layers: ['*video', '*video:rooms', '*stats:video:minutes'],
  })
  elena = platform.as('elena', await makeAccount(platform.sys, 'elena'))
  lily = platform.as('elena#lily', await makeAccount(elena, 'lily'))
})
afterAll(async () => {
  await platform.close()
  await host.close()
})

/** The token of a call that this login makes. */
async function tokenOf(login: Client): Promise<string> {
  await login.ok(login.get('/_video/x'))
  return String(host.seen.at(-1)!.headers['kv4-token'])
}

async function ask(token: string, method: string, target: string, body?: unknown): Promise<string> {
  const answer = await fetch(platform.url + target, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const { s, v } = (await answer.json()) as { s: string; v: unknown }
  return s === 'ok' ? 'ok' : `${answer.status} ${String(v)}`
}

test('the service reads and writes its layers there, in the caller’s name; `_ds` shows them', async () => {
  const token = await tokenOf(lily)
  expect(await ask(token, 'PUT', '/_data/rooms/blue?l=*video:rooms', { k: 'size', v: { n: 3 } })).toBe('ok')
  expect(await ask(token, 'GET', '/_data/rooms/blue?l=*video:rooms&k=size')).toBe('ok')
  expect(await ask(token, 'PUT', '/_stats/rooms/blue', { l: 'video:minutes', k: 'lily', v: 5 })).toBe('ok')
  expect(await lily.ok(lily.get<string[]>('/_ds'))).toEqual(
    expect.arrayContaining(['*video:rooms', '*stats:video:minutes']),
  )
  expect(await lily.ok(lily.get('/_ds?a=paths&l=*video:rooms'))).toEqual(['/rooms/blue'])
  expect(await lily.ok(lily.get('/_stats/rooms/blue?l=video:minutes'))).toMatchObject({ sum: 5, count: 1 })
  expect(await elena.ok(elena.get<string[]>('/_ds'))).not.toContain('*video:rooms')
  expect(await ask(token, 'DELETE', '/_data/rooms/blue?l=*video:rooms&k=size')).toBe('ok')
  const rows = await platform.engine.bucket(bucketOf()).history({
    layer: '*video:rooms' as never,
    path: '/rooms/blue' as never,
    key: 'size' as never,
  })
  expect(rows.items.map(({ by }) => by)).toEqual(['lily', 'lily'])
})

/** Of the last call: as the service is told. */
function bucketOf(): never {
  const [, payload] = String(host.seen.at(-1)!.headers['kv4-caller']).split('.')
  return (JSON.parse(Buffer.from(payload!, 'base64url').toString()) as { bucket: never }).bucket
}

test('other layers, other services and other routes are closed to it, one by one', async () => {
  const token = await tokenOf(elena)
  const body = { k: 'a', v: 1 }
  for (const [method, target, sent] of [
    ['GET', '/_data/x', undefined],
    ['GET', '/_data/x?l=*data', undefined],
    ['GET', '/_data/x?l=*acc', undefined],
    ['GET', '/_data/x?l=own', undefined],
    ['GET', '/_data/x?l=*video:other', undefined],
    ['GET', '/_data/x?l=', undefined],
    ['PUT', '/_data/x', body],
    ['PUT', '/_data/x?l=*subs:test', body],
    ['DELETE', '/_data/x', undefined],
    ['PUT', '/_stats/x', { l: 'turn:sess', v: 1 }],
    ['PUT', '/_stats/x', { l: 'own', v: 1 }],
    ['GET', '/_stats/x?l=video:minutes', undefined],
    ['GET', '/_ds', undefined],
    ['GET', '/_ns', undefined],
    ['PUT', '/_ns/x', undefined],
    ['GET', '/_acc/accounts', undefined],
    ['PUT', '/_acc/accounts', { k: 'rose', v: { email: 'rose@async.cl' } }],
    ['PUT', '/_token', undefined],
    ['DELETE', '/_token', undefined],
    ['GET', '/_auth/', undefined],
    ['PUT', '/_auth/', { k: '1.2.3.4' }],
    ['GET', '/_subs/x', undefined],
    ['DELETE', '/_subs/x', undefined],
    ['GET', '/_host?type=signal', undefined],
    ['PUT', '/_host/runtime/hosts/active', { k: 'x', v: { prefix: '_video', url: 'http://127.0.0.1:9' } }],
    ['GET', '/_video/x', undefined],
  ] as const)
    expect([method, target, await ask(token, method, target, sent)]).toEqual([
      method,
      target,
      '403 forbidden',
    ])
})

test('it is good for the caller’s bucket alone, and ends with the account', async () => {
  const rose = platform.as('elena#rose', await makeAccount(elena, 'rose'))
  const token = await tokenOf(rose)
  expect(await ask(token, 'PUT', '/_data/x?l=*video', { k: 'who', v: 'rose' })).toBe('ok')
  expect(await elena.ok(elena.get('/_ds?a=paths&l=*video'))).toEqual([])
  expect(await rose.ok(rose.get('/_ds?a=paths&l=*video'))).toEqual(['/x'])

  await elena.ok(elena.post('/_acc/accounts', { k: 'rose', v: { active: false } }))
  expect(await ask(token, 'GET', '/_data/x?l=*video')).toBe('401 unauthorized')
  expect((await rose.get('/_video/x')).status).toBe(401)
})

test('a service without layers gets none', async () => {
  await register(platform, { host: 'one', prefix: '_plain', url: host.url })
  await elena.ok(elena.get('/_plain/x'))
  expect(host.seen.at(-1)!.headers['kv4-token']).toBeUndefined()
  expect(host.seen.at(-1)!.headers['kv4-caller']).toBeDefined()
})

test('a token of another purpose, or a wrong one, opens nothing', async () => {
  const signal = await elena.ok(elena.put<string>('/_token'))
  expect(await ask(signal, 'GET', '/_data/x?l=*video')).toBe('401 unauthorized')
  const token = await tokenOf(elena)
  expect(await ask(token.slice(0, -3) + 'AAA', 'GET', '/_data/x?l=*video')).toBe('401 unauthorized')
})

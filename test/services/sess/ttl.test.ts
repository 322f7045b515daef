import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Row } from '../../client'
import { startPlatform, type Platform } from '../../platform'

let platform: Platform
let api: Client
beforeAll(async () => {
  platform = await startPlatform()
  api = platform.sys
})
afterAll(() => platform.close())

let sessions = 0
const fresh = () => `/_sess/test/user-${++sessions}`

async function isGone(at: string): Promise<void> {
  expect(await api.error(api.get(`${at}?k=a`))).toBe('404 not_found')
  expect(await api.error(api.get(at))).toBe('404 not_found')
  expect(await api.ok(api.get(`${at}?keys=a`))).toEqual({})
  expect(await api.ok(api.get(`${at}?as=names`))).toEqual([])
  expect(await api.ok(api.get(`${at}?depth=0`))).toEqual([])
}

test('a session with a ttl is absent as soon as it has lapsed, with all that was written into it', async () => {
  const at = fresh()
  await api.ok(api.put(at, { k: 'a', v: { n: 1 }, ttl: 1.5 }))
  await api.ok(api.put(at, { k: 'b', v: { n: 2 } }))
  expect(await api.ok(api.get(at))).toMatchObject({ a: { n: 1 }, b: { n: 2 } })
  await sleep(1_600)
  await isGone(at)
  expect(await api.error(api.delete(`${at}?k=b`))).toBe('404 not_found')
  expect(await api.ok(api.delete(at))).toBe(0)
})

test('hundreds may name a ttl of one session at once', async () => {
  const at = fresh()
  const many = Array.from({ length: 200 }, (_, i) => `n${i}`)
  // Once as it begins, once as it goes on.
  for (const n of [1, 2]) await Promise.all(many.map((k) => api.ok(api.put(at, { k, v: { n }, ttl: 60 }))))
  await Promise.all(many.map(() => api.ok(api.call('PATCH', at, { body: { ttl: 60 } }))))
  expect(await api.ok(api.get<string[]>(`${at}?as=names&limit=1000`))).toHaveLength(200)
})

test('a new session under the name of one that has lapsed has nothing of it', async () => {
  const at = fresh()
  await api.ok(api.put(at, { k: 'a', v: { n: 1 }, ttl: 0.3 }))
  await sleep(350)
  const created = await api.put(at, { k: 'b', v: { n: 2 }, ttl: 60 }, { 'If-None-Match': '*' })
  expect(created.status).toBe(201)
  expect(await api.ok(api.get(`${at}?as=names`))).toEqual(['b'])
  const again = await api.put(at, { k: 'a', v: { n: 3 } }, { 'If-None-Match': '*' })
  expect(again.status).toBe(201)
  const rows = await api.ok(api.get<Row[]>(`${at}?k=a&time_series=1`))
  expect(rows.map((row) => row[2])).toEqual([{ n: 3 }, { _deleted: true }, { n: 1 }])
})

test('many who write into a session that has lapsed make one new session, and none of them loses anything', async () => {
  const at = fresh()
  for (let i = 0; i < 20; i++) await api.ok(api.put(at, { k: `old${i}`, v: {}, ttl: 0.4 }))
  await sleep(450)
  const names = Array.from({ length: 20 }, (_, i) => `new${i}`)
  await Promise.all(names.map((k) => api.ok(api.put(at, { k, v: {}, ttl: 60 }))))
  expect(await api.ok(api.get<string[]>(`${at}?as=names`))).toEqual(names.toSorted())
})

test('what was written while the session had no ttl stays', async () => {
  const at = fresh()
  await api.ok(api.put(at, { k: 'stays', v: {} }))
  await api.ok(api.put(at, { k: 'goes', v: {}, ttl: 0.3 }))
  await sleep(350)
  expect(await api.ok(api.get(`${at}?as=names`))).toEqual(['stays'])
  expect(await api.ok(api.get(at))).toEqual({ stays: { _ver_: expect.any(String) } })
})

test.each([0, -1, 1e12, 'soon', {}])('a ttl of %j is refused', async (ttl) => {
  expect(await api.error(api.put(fresh(), { k: 'a', v: {}, ttl }))).toBe('400 bad_ttl')
})

import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Row } from '../../client'
import { startPlatform, type Platform } from '../../platform'

let platform: Platform
let sys: Client
beforeAll(async () => {
  platform = await startPlatform()
  sys = platform.sys
})
afterAll(() => platform.close())

const AT = '/_sess/_settings'
let accounts = 0

async function account(): Promise<{ readonly name: string; readonly api: Client }> {
  const name = `tenant${++accounts}`
  const { secret } = (await sys.ok(
    sys.put('/_acc/accounts', { k: name, v: { email: `${name}@async.cl` } }),
  )) as unknown as { secret: string }
  return { name, api: platform.as(name, secret) }
}

const lives = async (api: Client, at: string) => (await api.get(at)).status === 200

test('say their defaults, are set and taken back by the account, or by the system for it', async () => {
  const { name, api } = await account()
  const defaults = { ttl: null, extended_by: 'writes', share: 0.1, longest: null }
  expect(await api.ok(api.get(AT))).toEqual(defaults)
  expect(await api.ok(api.put(AT, { v: { ttl: 60, extended_by: 'reads' } }))).toEqual({
    ...defaults,
    ttl: 60,
    extended_by: 'reads',
  })
  expect(await sys.ok(sys.get(`${AT}?account=${name}`))).toMatchObject({ ttl: 60 })
  await sys.ok(sys.put(AT, { account: name, v: { longest: 3600, share: 0.5 } }))
  expect(await api.ok(api.get(AT))).toEqual({ ...defaults, longest: 3600, share: 0.5 })
  expect(await sys.ok(sys.get(AT))).toEqual(defaults)
  expect(await api.ok(api.delete(AT))).toBe(1)
  expect(await api.ok(api.delete(AT))).toBe(0)
  expect(await api.ok(api.get(AT))).toEqual(defaults)
})

test('are no other account’s business', async () => {
  const [one, other] = [await account(), await account()]
  expect(await one.api.error(one.api.get(`${AT}?account=${other.name}`))).toBe('403 forbidden')
  expect(await one.api.error(one.api.put(AT, { account: other.name, v: { ttl: 1 } }))).toBe('403 forbidden')
  expect(await one.api.error(one.api.delete(`${AT}?account=${other.name}`))).toBe('403 forbidden')
  expect(await sys.error(sys.get(`${AT}?account=nobody`))).toBe('404 bucket_not_found')
})

test.each([
  [{ ttl: 0 }],
  [{ ttl: 'long' }],
  [{ ttl: 1e12 }],
  [{ extended_by: 'magic' }],
  [{ share: 1 }],
  [{ share: -0.1 }],
  [{ longest: 0 }],
  [{ unknown: 1 }],
  [7],
])('%j is refused', async (v) => {
  expect(await sys.error(sys.put(AT, { v }))).toBe('400 bad_request')
})

describe('a session of an account with a ttl', () => {
  test('lives by it, unless its write names another', async () => {
    const { api } = await account()
    await api.ok(api.put(AT, { v: { ttl: 0.5 } }))
    await api.ok(api.put('/_sess/usual', { k: 'a', v: {} }))
    await api.ok(api.put('/_sess/longer', { k: 'a', v: {}, ttl: 60 }))
    await sleep(550)
    expect(await lives(api, '/_sess/usual?k=a')).toBe(false)
    expect(await lives(api, '/_sess/longer?k=a')).toBe(true)
    expect(await api.ok(api.get('/_sess'))).toEqual(['longer'])
  })

  test.each([
    ['nothing', false, false],
    ['writes', true, false],
    ['reads', true, true],
  ])('that is extended by %s: by a write %s, by a read %s', async (extended_by, byWrites, byReads) => {
    const { api } = await account()
    await api.ok(api.put(AT, { v: { ttl: 2, extended_by } }))
    const [written, read] = ['/_sess/written', '/_sess/read'] as const
    for (const at of [written, read])
      for (const k of ['a', 'b']) await api.ok(api.put(at, { k, v: { n: 0 } }))
    for (let i = 0; i < 4; i++) {
      await sleep(700)
      await api.put(written, { k: 'a', v: { n: i } })
      await api.get(`${read}?k=a`)
    }
    // All namespaces live as long as the session does.
    expect(await lives(api, `${written}?k=b`)).toBe(byWrites)
    expect(await lives(api, `${read}?k=b`)).toBe(byReads)
    // Reading has added no version of anything; what lapsed may have been removed.
    const rows = await api.ok(api.get<Row[]>(`${read}?k=a&time_series=1`))
    expect(rows.filter((row) => !Object.hasOwn(row[2] as object, '_deleted'))).toHaveLength(1)
  })

  test('is extended only once the share of its ttl has gone by', async () => {
    const { api } = await account()
    await api.ok(api.put(AT, { v: { ttl: 4, extended_by: 'reads', share: 0.9 } }))
    await api.ok(api.put('/_sess/x', { k: 'a', v: {} }))
    for (let i = 0; i < 4; i++) {
      await sleep(600)
      expect(await lives(api, '/_sess/x?k=a')).toBe(true)
    }
    // 2.4 s of 4 were less than 0.9 of it.
    await sleep(1_800)
    expect(await lives(api, '/_sess/x?k=a')).toBe(false)
  })

  test('ends after the longest time, however much it is used', async () => {
    const { api } = await account()
    await api.ok(api.put(AT, { v: { ttl: 1.5, longest: 2.5, extended_by: 'reads' } }))
    await api.ok(api.put('/_sess/x', { k: 'a', v: {} }))
    for (let i = 0; i < 3; i++) {
      await sleep(600)
      expect(await lives(api, '/_sess/x?k=a')).toBe(true)
    }
    await sleep(900)
    expect(await lives(api, '/_sess/x?k=a')).toBe(false)
  })

  test('begins anew with the first write after it was removed', async () => {
    const { api } = await account()
    await api.ok(api.put(AT, { v: { ttl: 1, extended_by: 'nothing' } }))
    await api.ok(api.put('/_sess/x', { k: 'a', v: {} }))
    await sleep(700)
    expect(await api.ok(api.delete('/_sess/x'))).toBe(1)
    await api.ok(api.put('/_sess/x', { k: 'b', v: {} }))
    await sleep(500)
    expect(await api.ok(api.get('/_sess/x?as=names'))).toEqual(['b'])
  })
})

test('a patch of nothing but a ttl prolongs the session, where there is one', async () => {
  const { api } = await account()
  const touch = (at: string, ttl: unknown) => api.call<number>('PATCH', at, { body: { ttl } })
  await api.ok(api.put('/_sess/x', { k: 'a', v: {}, ttl: 0.5 }))
  expect(await api.ok(touch('/_sess/x', 60))).toBe(1)
  await sleep(550)
  expect(await lives(api, '/_sess/x?k=a')).toBe(true)
  expect(await api.ok(api.get<Row[]>('/_sess/x?k=a&time_series=1'))).toHaveLength(1)
  await api.ok(touch('/_sess/x', 0.01))
  await sleep(20)
  expect(await api.error(touch('/_sess/x', 60))).toBe('404 not_found')
  expect(await api.error(touch('/_sess/nobody', 60))).toBe('404 not_found')
  await api.ok(api.put('/_sess/removed', { k: 'a', v: {}, ttl: 60 }))
  await api.ok(api.delete('/_sess/removed'))
  expect(await api.error(touch('/_sess/removed', 60))).toBe('404 not_found')
  expect(await api.error(touch('/_sess/x', -1))).toBe('400 bad_ttl')
  expect(await api.error(api.call('PATCH', '/_sess/x', { body: {} }))).toBe('400 key_missing')
})

import { setTimeout as wait } from 'node:timers/promises'
import { openWorld } from '../../server/world'
import { newAccount, openNesoi, send } from './world'
import type { NesoiWorld } from './world'
import type { Answer, Ask } from '../../server/world'

/** `_app` and `_srv`, in the platform's own form. */

let at: NesoiWorld

beforeAll(async () => {
  at = await openNesoi()
})
afterAll(() => at.close())

const ask = (method: string, path: string, how?: Ask): Promise<Answer> => at.native(method, path, how)
const put = (path: string, k: string, v: unknown, headers?: Record<string, string>): Promise<Answer> =>
  ask('PUT', path, { body: { k, v }, ...(headers !== undefined && { headers }) })
const code = ({ status, json }: Answer): string => `${status} ${String(json?.v)}`

describe('_app', () => {
  test('creates, replaces, reads with a tag, and removes', async () => {
    const created = await put('/_app', 'dm', { config: 1 })
    expect(created.status).toBe(201)
    const { updated_at, _ver_, ...rest } = created.json.v as Record<string, unknown>
    expect(rest).toEqual({ name: 'dm', config: 1 })
    expect(Math.abs(Date.now() / 1000 - (updated_at as number))).toBeLessThan(30)
    expect(created.headers.etag).toBe(`"${String(_ver_)}"`)
    const read = await ask('GET', '/_app?k=dm')
    expect(read.json.v).toEqual(created.json.v)
    const known = await ask('GET', '/_app?k=dm', { headers: { 'If-None-Match': created.headers.etag! } })
    expect(known.status).toBe(304)
    const replaced = await put('/_app', 'dm', { ...(read.json.v as object), config: 2 })
    expect(replaced.status).toBe(200)
    expect(replaced.json.v.updated_at).toBeGreaterThan(updated_at as number)
    expect((await ask('DELETE', '/_app?k=dm')).json.v).toBe(1)
    expect(code(await ask('DELETE', '/_app?k=dm'))).toBe('404 not_found')
    expect(code(await ask('GET', '/_app?k=dm'))).toBe('404 not_found')
  })

  test('locks by _ver_, If-Match and If-None-Match, as _data does', async () => {
    const first = await put('/_app', 'lock', { config: 1 })
    const tag = first.headers.etag!
    await put('/_app', 'lock', { config: 2 })
    expect(code(await put('/_app', 'lock', { config: 3, _ver_: first.json.v._ver_ }))).toBe(
      '409 version_conflict',
    )
    expect(code(await put('/_app', 'lock', { config: 3 }, { 'If-Match': tag }))).toBe(
      '412 precondition_failed',
    )
    expect(code(await put('/_app', 'lock', { config: 3 }, { 'If-None-Match': '*' }))).toBe(
      '412 precondition_failed',
    )
    expect(code(await ask('DELETE', '/_app?k=lock', { headers: { 'If-Match': tag } }))).toBe(
      '412 precondition_failed',
    )
    expect((await ask('GET', '/_app?k=lock')).json.v.config).toBe(2)
    expect((await put('/_app', 'lock', { config: 3, _ver_: '_splat_' })).status).toBe(200)
    expect((await put('/_app', 'unlocked', { config: 1 }, { 'If-None-Match': '*' })).status).toBe(201)
  })

  test('keeps its history, and says what was at an instant', async () => {
    await put('/_app', 'past', { config: 'one' })
    await wait(20)
    const between = Date.now()
    await wait(20)
    await put('/_app', 'past', { config: 'two' })
    await ask('DELETE', '/_app?k=past')
    const rows = (await ask('GET', '/_app?k=past&time_series=1')).json.v as [
      number,
      string,
      { config?: string },
    ][]
    expect(rows.map(([, by, v]) => [by, v.config ?? v])).toEqual([
      ['elena', { _deleted: true }],
      ['elena', 'two'],
      ['elena', 'one'],
    ])
    expect((await ask('GET', `/_app?k=past&at=${between}`)).json.v.config).toBe('one')
    const all = (await ask('GET', '/_app?time_series=1&limit=2')).json as { v: unknown[][]; next: string }
    expect(all.v.map(([, , , key]) => key)).toEqual(['past', 'past'])
    expect(code(await ask('GET', '/_app?k=past&gs=2020'))).toBe('400 bad_request')
  })

  test('lists by pages, names or descriptions', async () => {
    const names = ['p1', 'p2', 'p3', 'p4', 'p5']
    for (const name of names) await put('/_app', name, { config: name })
    const seen: string[] = []
    let after = '&after=p'
    for (;;) {
      const { json } = (await ask('GET', `/_app?limit=2${after}`)) as { json: { v: string[]; next?: string } }
      seen.push(...json.v)
      if (json.next === undefined) break
      after = `&after=${json.next}`
    }
    expect(seen.filter((name) => /^p\d$/.test(name))).toEqual(names)
    const values = (await ask('GET', '/_app?as=values&after=p3')).json.v as { name: string }[]
    expect(values.map(({ name }) => name)).toEqual(expect.arrayContaining(['p4', 'p5']))
    expect(code(await ask('GET', '/_app?after=a%2Fb'))).toBe('400 bad_cursor')
  })

  test.each([
    ['PUT', '/_app', { v: { config: 1 } }, '400 key_missing'],
    ['PUT', '/_app', { k: 'a/b', v: { config: 1 } }, '400 bad_key'],
    ['PUT', '/_app', { k: '', v: { config: 1 } }, '400 bad_key'],
    ['PUT', '/_app', { k: 5, v: { config: 1 } }, '400 bad_key'],
    ['PUT', '/_app', { k: 'dm' }, '400 value_missing'],
    ['PUT', '/_app', { k: 'dm', v: { name: 'dm' } }, '400 bad_request'],
    ['PUT', '/_app', { k: 'dm', v: 5 }, '400 bad_request'],
    ['PUT', '/_app?updated_at=soon', { k: 'dm', v: { config: 1 } }, '400 bad_request'],
    ['PUT', '/_app/below', { k: 'dm', v: { config: 1 } }, '404 not_found'],
    ['PUT', '/_srv', { k: 'h1', v: { endpoints: 1 } }, '404 not_found'],
    ['PUT', '/_srv/a/b', { k: 'h1', v: { endpoints: 1 } }, '404 not_found'],
    ['PUT', '/_srv/web', { k: 'h1', v: { name: 'h1' } }, '400 bad_request'],
    ['PUT', '/_srv/web', { k: 'h1', v: { endpoints: 1, lapses_after: '2m' } }, '400 bad_request'],
    ['PUT', '/_srv/web', { k: 'h1', v: { endpoints: 1, lapses_after: 0 } }, '400 bad_request'],
    ['PUT', '/_srv/web', { k: 'h1', v: { endpoints: 1, lapses_after: 1e12 } }, '400 bad_request'],
    ['GET', '/_srv/web?master=1&k=h1', undefined, '400 bad_request'],
    ['GET', '/_srv?as=values', undefined, '400 bad_request'],
    ['GET', '/_srv?k=h1', undefined, '404 not_found'],
    ['DELETE', '/_srv/web', undefined, '400 key_missing'],
  ])('%s %s with %j is %s', async (method, path, body, expected) => {
    expect(code(await ask(method, path, body === undefined ? {} : { body }))).toBe(expected)
  })
})

describe('_srv', () => {
  test('services, hosts and the one that leads', async () => {
    await put('/_srv/web', 'h1', { endpoints: 1, master: true })
    await put('/_srv/web', 'h2', { endpoints: 2, master: true })
    await put('/_srv/mail', 'h1', { endpoints: 3 })
    expect((await ask('GET', '/_srv')).json.v).toEqual(['mail', 'web'])
    const page = (await ask('GET', '/_srv?limit=1')).json as { v: string[]; next: string }
    expect(page).toMatchObject({ v: ['mail'], next: 'mail' })
    expect((await ask('GET', `/_srv?limit=1&after=${page.next}`)).json.v).toEqual(['web'])
    expect((await ask('GET', '/_srv/web')).json.v).toEqual(['h1', 'h2'])
    expect((await ask('GET', '/_srv/nobody')).json.v).toEqual([])
    expect((await ask('GET', '/_srv/web?as=values')).json.v).toMatchObject([{ name: 'h1' }, { name: 'h2' }])
    const master = await ask('GET', '/_srv/web?master=1')
    expect(master.json.v).toEqual((await ask('GET', '/_srv/web?k=h2')).json.v)
    expect(code(await ask('GET', '/_srv/mail?master=1'))).toBe('404 not_found')
  })

  test('both doors lead to the same', async () => {
    await at.nesoi('PUT', '/srv/doors/h1', { endpoints: 'by the mount', extra: 1 })
    const { _ver_, ...native } = (await ask('GET', '/_srv/doors?k=h1')).json.v as Record<string, unknown>
    expect(native).toEqual((await at.nesoi('GET', '/srv/doors/h1')).json)
    await put('/_srv/doors', 'h1', { endpoints: 'by the platform', _ver_ })
    expect((await at.nesoi('GET', '/srv/doors/h1')).json).toMatchObject({ endpoints: 'by the platform' })
    expect((await at.nesoi('GET', '/srv/doors/h1')).json).not.toHaveProperty('_ver_')
  })
})

test('applications are watched, each under its name', async () => {
  const { next } = (await ask('GET', '/_app?wait=0')).json as { next: string }
  await put('/_app', 'watched', { config: 1 })
  await put('/_app', 'unwatched', { config: 1 })
  await put('/_srv/watched', 'h1', { endpoints: 1 })
  await ask('DELETE', '/_app?k=watched')
  const all = (await ask('GET', `/_app?wait=5&since=${next}`)).json.v as { type: string; k: string }[]
  expect(all.map(({ type, k }) => [type, k])).toEqual([
    ['create', 'watched'],
    ['create', 'unwatched'],
    ['delete', 'watched'],
  ])
  const one = (await ask('GET', `/_app?k=watched&wait=5&since=${next}`)).json.v as {
    v?: { config: number }
  }[]
  expect(one.map(({ v }) => v?.config)).toEqual([1, undefined])
  const services = (await ask('GET', `/_srv?wait=5&since=${next}`)).json.v as { path: string; k: string }[]
  expect(services.map(({ path, k }) => [path, k])).toEqual([['/watched', 'h1']])
  expect(code(await ask('GET', '/_app/below?wait=0'))).toBe('404 not_found')
})

describe('who says when', () => {
  const seconds = (ms: number): string => (ms / 1000).toFixed(3)

  test.each([
    ['_app', '/_app', { config: 1 }],
    ['_srv', '/_srv/when', { endpoints: 1 }],
  ])('%s: newer wins, in whichever order they come', async (_name, path, v) => {
    const now = Date.now()
    const late = await ask('PUT', `${path}?updated_at=${seconds(now)}`, {
      body: { k: 'w', v: { ...v, from: 'late' } },
    })
    expect(late.json.v).toMatchObject({ from: 'late', updated_at: Number(seconds(now)) })
    for (const earlier of [now, now - 1, now - 60_000]) {
      const body = { k: 'w', v: { ...v, from: 'early' } }
      expect(code(await ask('PUT', `${path}?updated_at=${seconds(earlier)}`, { body }))).toBe(
        '409 version_conflict',
      )
      expect(code(await ask('DELETE', `${path}?k=w&updated_at=${seconds(earlier)}`))).toBe(
        '409 version_conflict',
      )
    }
    expect((await ask('GET', `${path}?k=w`)).json.v.from).toBe('late')
    // Without it a write is of now, and never older than what it replaces.
    const ahead = Date.now() + 30_000
    await ask('PUT', `${path}?updated_at=${seconds(ahead)}`, { body: { k: 'w', v } })
    expect((await put(path, 'w', { ...v, from: 'now' })).json.v.updated_at).toBe(Number(seconds(ahead + 1)))
    const future = { body: { k: 'w', v } }
    expect(code(await ask('PUT', `${path}?updated_at=${seconds(Date.now() + 3_600_000)}`, future))).toBe(
      '400 bad_request',
    )
  })

  test('a removal that was later wins, too', async () => {
    const before = Date.now()
    await put('/_app', 'removed', { config: 1 })
    await wait(5)
    await ask('DELETE', '/_app?k=removed')
    const body = { k: 'removed', v: { config: 2 } }
    expect(code(await ask('PUT', `/_app?updated_at=${seconds(before)}`, { body }))).toBe(
      '409 version_conflict',
    )
    expect((await ask('PUT', `/_app?updated_at=${seconds(Date.now() + 5)}`, { body })).status).toBe(201)
  })

  test('of many who write at once each gets in, and the newest is what stays', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => put('/_srv/race', 'h', { endpoints: i })),
    )
    expect(answers.map(({ status }) => status).filter((status) => status >= 300)).toEqual([])
    const times = answers.map(({ json }) => json.v.updated_at as number)
    expect(new Set(times).size).toBe(40)
    expect((await ask('GET', '/_srv/race?k=h')).json.v.updated_at).toBe(Math.max(...times))
  })
})

describe('accounts', () => {
  test('each has its own, and a sub-account too', async () => {
    const otto = `otto:${await newAccount(at.port, 'otto')}`
    const lily = `elena#lily:${await newAccount(at.port, 'lily', at.elena)}`
    await put('/_app', 'mine', { config: 'elena' })
    for (const as of [otto, lily]) {
      expect((await ask('GET', '/_app?k=mine', { as })).status).toBe(404)
      const authorization = 'Basic ' + Buffer.from(as).toString('base64')
      expect((await at.nesoi('GET', '/app/mine', undefined, { authorization })).status).toBe(404)
      await at.nesoi('PUT', '/app/mine', { config: as.slice(0, 10) }, { authorization })
      expect((await ask('GET', '/_app?k=mine', { as })).json.v.config).toBe(as.slice(0, 10))
    }
    expect((await ask('GET', '/_app?k=mine')).json.v.config).toBe('elena')
  })

  test('a credential counts before the login of the mount, a bad one is refused, and none of another mount helps', async () => {
    const authorization = 'Basic ' + Buffer.from('elena:wrong').toString('base64')
    const refused = await at.nesoi('GET', '/app', undefined, { authorization })
    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toMatch(/^Basic /)
    expect((await ask('GET', '/_app', { as: undefined as never })).status).toBe(401)
  })
})

test('without KV4_MOUNT_LOGINS nobody is let in without a credential', async () => {
  const world = await openWorld()
  try {
    for (const [method, path] of [
      ['GET', '/app'],
      ['GET', '/srv/web'],
      ['HEAD', '/app/dm'],
      ['PUT', '/app/dm'],
      ['DELETE', '/srv/web/h1'],
      ['POST', '/app/dm/web-hooks'],
    ] as const) {
      const { status, headers } = await send(world.server.port, method, path)
      expect([path, status, headers['www-authenticate']?.slice(0, 6)]).toEqual([path, 401, 'Basic '])
    }
  } finally {
    await world.close()
  }
  await expect(openWorld({ KV4_MOUNT_LOGINS: 'nobody=elena:secret' })).rejects.toThrow(
    'there is no mount nobody',
  )
})

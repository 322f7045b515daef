import type { Client, Row, Versioned } from '../../client'
import { startPlatform, type Platform } from '../../platform'

let platform: Platform
let api: Client
beforeAll(async () => {
  platform = await startPlatform()
  api = platform.sys
})
afterAll(() => platform.close())

let sessions = 0
/** A session that no other test uses. */
const fresh = () => `/_sess/test/user-${++sessions}`
const patch = (target: string, body: unknown, headers = {}) => api.call('PATCH', target, { body, headers })

describe('a namespace', () => {
  test('is created and replaced as a whole, and says its version', async () => {
    const at = fresh()
    const created = await api.put(at, { k: 'cart', v: { things: ['cat'], n: 1 } })
    expect([created.status, created.body.v]).toEqual([
      201,
      { things: ['cat'], n: 1, _ver_: expect.any(String) },
    ])
    const replaced = await api.put(at, { k: 'cart', v: { n: 2 } })
    expect([replaced.status, replaced.body.v]).toEqual([200, { n: 2, _ver_: expect.any(String) }])
    const read = await api.get(`${at}?k=cart`)
    expect(read.body.v).toEqual(replaced.body.v)
    expect(read.headers.get('etag')).toBe(`"${read.body.v._ver_}"`)
  })

  test('is an object and nothing else', async () => {
    const at = fresh()
    for (const v of [null, 1, 'text', [1], true])
      expect(await api.error(api.put(at, { k: 'a', v }))).toBe('400 root_must_be_object')
    expect(await api.error(api.put(at, { k: 'a' }))).toBe('400 value_missing')
    expect(await api.error(api.put(at, { v: {} }))).toBe('400 key_missing')
    expect(await api.error(api.put(at, { k: '', v: {} }))).toBe('400 bad_key')
    expect(await api.error(api.put('/_sess', { k: 'a', v: {} }))).toBe('400 bad_segment')
    expect(await api.error(api.get(at))).toBe('404 not_found')
  })

  test('is removed alone, or with its session', async () => {
    const at = fresh()
    for (const k of ['a', 'b', 'c']) await api.ok(api.put(at, { k, v: {} }))
    expect(await api.ok(api.delete(`${at}?k=a`))).toBe(1)
    expect(await api.error(api.delete(`${at}?k=a`))).toBe('404 not_found')
    expect(await api.error(api.get(`${at}?k=a`))).toBe('404 not_found')
    expect(await api.ok(api.delete(at))).toBe(2)
    expect(await api.ok(api.delete(at))).toBe(0)
    expect(await api.error(api.get(at))).toBe('404 not_found')
  })

  test('is written under conditions, as values of _data are', async () => {
    const at = fresh()
    const { _ver_: first } = await api.ok(api.put(at, { k: 'a', v: { n: 1 } }))
    expect(await api.error(api.put(at, { k: 'a', v: {} }, { 'If-None-Match': '*' }))).toBe(
      '412 precondition_failed',
    )
    const { _ver_: second } = await api.ok(api.put(at, { k: 'a', v: { n: 2, _ver_: first } }))
    expect(await api.error(api.put(at, { k: 'a', v: { n: 3, _ver_: first } }))).toBe('409 version_conflict')
    expect(await api.error(api.put(at, { k: 'a', v: {} }, { 'If-Match': `"${first}"` }))).toBe(
      '412 precondition_failed',
    )
    expect(await api.error(api.delete(`${at}?k=a`, { 'If-Match': `"${first}"` }))).toBe(
      '412 precondition_failed',
    )
    expect(await api.ok(api.delete(`${at}?k=a`, { 'If-Match': `"${second}"` }))).toBe(1)
  })

  test('keeps its history, and is read as of any instant', async () => {
    const at = fresh()
    await api.ok(api.put(at, { k: 'a', v: { n: 1 } }))
    await new Promise((resolve) => setTimeout(resolve, 5))
    const between = Date.now()
    await new Promise((resolve) => setTimeout(resolve, 5))
    await api.ok(api.put(at, { k: 'a', v: { n: 2 } }))
    await api.ok(api.delete(`${at}?k=a`))
    expect(await api.ok(api.get(`${at}?k=a&at=${between}`))).toMatchObject({ n: 1 })
    const rows = await api.ok(api.get<Row[]>(`${at}?k=a&time_series=1`))
    expect(rows.map((row) => row[2])).toEqual([{ _deleted: true }, { n: 2 }, { n: 1 }])
    expect(await api.ok(api.get<Row[]>(`${at}?time_series=1`))).toHaveLength(3)
  })
})

describe('a session', () => {
  test('is read whole, in part, or by the names of its namespaces', async () => {
    const at = fresh()
    for (const k of ['b', 'a', 'c']) await api.ok(api.put(at, { k, v: { is: k } }))
    const all = await api.ok(api.get<Record<string, Versioned>>(at))
    expect(all).toEqual({
      a: { is: 'a', _ver_: expect.any(String) },
      b: { is: 'b', _ver_: expect.any(String) },
      c: { is: 'c', _ver_: expect.any(String) },
    })
    expect(await api.ok(api.get(`${at}?keys=c,nothing,a`))).toEqual({ c: all.c, a: all.a })
    expect(await api.ok(api.get(`${at}?as=names`))).toEqual(['a', 'b', 'c'])
    const first = await api.get<Record<string, Versioned>>(`${at}?limit=2`)
    expect(first.body).toEqual({ v: { a: all.a, b: all.b }, s: 'ok', next: 'b' })
    expect(await api.ok(api.get(`${at}?limit=2&after=b`))).toEqual({ c: all.c })
  })

  test('has any path but the root, and namespaces of any name', async () => {
    const at = fresh() + '/with/a/longer%20path'
    for (const k of ['__proto__', 'a/b', 'constructor', 'ü 😀', '_ver_']) {
      await api.ok(api.put(at, { k, v: { is: k } }))
      expect(await api.ok(api.get(`${at}?k=${encodeURIComponent(k)}`))).toMatchObject({ is: k })
    }
    expect(await api.ok(api.get<string[]>(`${at}?as=names`))).toHaveLength(5)
    const { body } = await api.get<Record<string, unknown>>(at)
    expect(Object.keys(body.v).toSorted()).toEqual(
      ['__proto__', '_ver_', 'a/b', 'constructor', 'ü 😀'].toSorted(),
    )
  })

  test('refuses questions of which a part would be without effect', async () => {
    const at = fresh()
    for (const query of ['k=a&keys=b', 'k=a&depth=1', 'keys=a&limit=1', 'as=names&at=1', 'gs=2026', 'at=1'])
      expect([query, await api.error(api.get(`${at}?${query}`))]).toEqual([query, '400 bad_request'])
    expect(await api.error(api.get(`${at}?keys=${'a,'.repeat(100)}a`))).toBe('400 bad_request')
  })
})

test('documents come to about 4 MiB in one answer, those that are named, too', async () => {
  const at = fresh()
  const names = Array.from({ length: 40 }, (_, i) => `n${String(i).padStart(2, '0')}`)
  await Promise.all(names.map((k) => api.ok(api.put(at, { k, v: { text: k.repeat(100_000) } }))))
  for (const query of ['?', `?keys=none,${names.join(',')}&`]) {
    const found: string[] = []
    let after = ''
    do {
      const { body } = await api.get<Record<string, unknown>>(at + query + after)
      expect(JSON.stringify(body.v).length).toBeLessThan(11 * 1024 * 1024)
      found.push(...Object.keys(body.v))
      after = body.next === undefined ? '' : `after=${String(body.next)}`
    } while (after !== '')
    expect(found).toEqual(names)
  }
  expect(await api.error(api.get(`${at}?keys=n01,n02&after=n03`))).toBe('400 bad_request')
})

test('sessions are listed in pages, all of them or those below a path', async () => {
  const world = fresh()
  for (const name of ['a', 'b', 'b/deeper', 'c']) await api.ok(api.put(`${world}/${name}`, { k: 'x', v: {} }))
  const names = ['a', 'b', 'b/deeper', 'c'].map((name) => `${world.slice('/_sess/'.length)}/${name}`)
  expect(await api.ok(api.get(`${world}?depth=9`))).toEqual(names)
  expect(await api.ok(api.get(`${world}?depth=1`))).toEqual([names[0], names[1], names[3]])
  expect(await api.ok(api.get<string[]>('/_sess'))).toEqual(expect.arrayContaining(names))
  const seen: string[] = []
  let after = ''
  do {
    const { body } = await api.get<string[]>(`${world}?depth=9&limit=2${after}`)
    seen.push(...body.v)
    after = body.next === undefined ? '' : `&after=${encodeURIComponent(body.next)}`
  } while (after !== '')
  expect(seen).toEqual(names)
})

describe('a merge patch', () => {
  // The table of RFC 7396, appendix A, as far as both sides are objects.
  test.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j is %j', async (target, change, result) => {
    const at = fresh()
    await api.ok(api.put(at, { k: 'a', v: target }))
    expect(await api.ok(patch(at, { k: 'a', v: change }))).toEqual({ ...result, _ver_: expect.any(String) })
  })

  test('creates what is not there', async () => {
    const at = fresh()
    const { status, body } = await patch(at, { k: 'a', v: { b: { c: 1, d: null } } })
    expect([status, body.v]).toEqual([201, { b: { c: 1 }, _ver_: expect.any(String) }])
  })

  test('is lost by none of many who change one document at once', async () => {
    const at = fresh()
    const names = Array.from({ length: 200 }, (_, i) => `p${i}`)
    await Promise.all(names.map((name) => api.ok(patch(at, { k: 'a', v: { [name]: 1 } }))))
    const { _ver_, ...document } = await api.ok(api.get(`${at}?k=a`))
    expect(_ver_).toBeDefined()
    expect(document).toEqual(Object.fromEntries(names.map((name) => [name, 1])))
    expect(await api.ok(api.get<Row[]>(`${at}?k=a&time_series=1`))).toHaveLength(200)
  })

  test('heeds the version that it names', async () => {
    const at = fresh()
    const { _ver_: first } = await api.ok(api.put(at, { k: 'a', v: { n: 1 } }))
    const { _ver_: second } = await api.ok(patch(at, { k: 'a', v: { n: 2, _ver_: first } }))
    expect(await api.error(patch(at, { k: 'a', v: { n: 3, _ver_: first } }))).toBe('409 version_conflict')
    expect(await api.error(patch(at, { k: 'a', v: { n: 3 } }, { 'If-Match': `"${first}"` }))).toBe(
      '412 precondition_failed',
    )
    await api.ok(patch(at, { k: 'a', v: { n: 3 } }, { 'If-Match': `"${second}"` }))
    expect(await api.error(patch(at, { k: 'b', v: {} }, { 'If-Match': '*' }))).toBe('412 precondition_failed')
  })

  test('grows no document past what a body may have', async () => {
    const at = fresh()
    const half = 'x'.repeat(600_000)
    await api.ok(patch(at, { k: 'a', v: { first: half } }))
    expect(await api.error(patch(at, { k: 'a', v: { second: half } }))).toBe('413 body_too_large')
    expect(await api.ok(api.get(`${at}?k=a`))).not.toHaveProperty('second')
  })
})

test('what changes in a session is told to whoever waits for it', async () => {
  const at = fresh()
  await api.ok(api.put(at, { k: 'a', v: { n: 1 } }))
  const { body } = await api.get<unknown>(`${at}?watch=1&wait=1`)
  const since = encodeURIComponent(body.next!)
  const waiting = api.ok(
    api.get<{ readonly k: string; readonly v: unknown }[]>(`${at}?watch=1&wait=20&since=${since}`),
  )
  await api.ok(api.put(fresh(), { k: 'elsewhere', v: {} }))
  await api.ok(patch(at, { k: 'b', v: { n: 2 } }))
  const [change, ...rest] = await waiting
  expect(rest).toEqual([])
  expect(change).toMatchObject({ type: 'create', path: at.slice('/_sess'.length), k: 'b', v: { n: 2 } })
})

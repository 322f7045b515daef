import { setTimeout as sleep } from 'node:timers/promises'
import { Period } from '../../core'
import type { Client, Row, Versioned } from '../client'
import { startPlatform, type Platform } from '../platform'

let platform: Platform
let api: Client
beforeAll(async () => {
  platform = await startPlatform()
  api = platform.sys
})
afterAll(() => platform.close())

interface Datum {
  readonly t: number
  readonly l: string
  readonly v: Versioned
  readonly _id: string
}

let paths = 0
/** A path that no other test uses. */
const fresh = () => `/_data/test/${++paths}`

describe('values', () => {
  test.each(['PUT', 'POST'])(
    '%s creates and replaces, and answers the stored object with its _ver_',
    async (method) => {
      const path = fresh()
      const created = await api.call(method, path, { body: { k: 'a', v: { x: 1, y: [true, null, 's'] } } })
      expect(created.status).toBe(201)
      expect(created.body).toEqual({ v: { x: 1, y: [true, null, 's'], _ver_: expect.any(String) }, s: 'ok' })
      const replaced = await api.call(method, path, { body: { k: 'a', v: { z: 2 } } })
      expect(replaced.status).toBe(200)
      expect(replaced.body.v).toEqual({ z: 2, _ver_: expect.any(String) })
      expect(replaced.body.v._ver_).not.toBe(created.body.v._ver_)
      expect(await api.ok(api.get(`${path}?k=a`))).toEqual(replaced.body.v)
    },
  )

  test('keep their JSON types', async () => {
    const path = fresh()
    const v = {
      n: 1.5,
      big: 9007199254740991,
      neg: -0.25,
      t: true,
      f: false,
      z: null,
      s: 'é😀',
      a: [],
      o: { _ver_: 'in' },
    }
    await api.ok(api.put(path, { k: 'a', v }))
    expect(await api.ok(api.get(`${path}?k=a`))).toEqual({ ...v, _ver_: expect.any(String) })
  })

  test.each([['a string'], [0], [1.5], [true], [false], [null], [[1, 'two', { three: 3 }]], ['']])(
    '%j is returned bare',
    async (v) => {
      const path = fresh()
      expect(await api.ok(api.put(path, { k: 'a', v }))).toEqual(v)
      expect(await api.ok(api.get(`${path}?k=a`))).toEqual(v)
      expect(await api.ok(api.get(`${path}?as=values`))).toEqual([v])
    },
  )

  test('a missing key is not_found, an empty path is []', async () => {
    const path = fresh()
    expect(await api.error(api.get(`${path}?k=nothing`))).toBe('404 not_found')
    for (const query of ['', '?as=values', '?as=datum', '?time_series=1', '?k=nothing&time_series=1'])
      expect(await api.ok(api.get(path + query))).toEqual([])
  })

  test('a path needs no namespace, and the root is a path', async () => {
    await api.ok(api.put('/_data', { k: 'at the root', v: 1 }))
    expect(await api.ok(api.get('/_data'))).toContain('at the root')
    expect(await api.ok(api.get('/_data/?k=at%20the%20root'))).toBe(1)
  })

  test('spellings of a path are one path', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 1 }))
    expect(await api.ok(api.get(path.replace('/test', '//test/') + '/?k=a'))).toBe(1)
  })

  test('bodies that say nothing useful', async () => {
    const path = fresh()
    const refused = async (body: unknown) => api.error(api.put(path, body))
    expect(await refused(undefined)).toBe('400 key_missing')
    expect(await refused(null)).toBe('400 key_missing')
    expect(await refused({})).toBe('400 key_missing')
    expect(await refused({ v: 1 })).toBe('400 key_missing')
    expect(await refused({ k: 'a' })).toBe('400 value_missing')
    expect(await refused({ k: '', v: 1 })).toBe('400 bad_key')
    expect(await refused({ k: 7, v: 1 })).toBe('400 bad_key')
    expect(await refused({ k: 'x'.repeat(513), v: 1 })).toBe('400 bad_key')
    expect(await refused({ k: 'a\u0000b', v: 1 })).toBe('400 bad_key')
    expect(await refused([])).toBe('400 bad_request')
    expect(await refused('"text"')).toBe('400 bad_request')
    expect(await api.error(api.put(`${path}?k=a`, { v: 1 }))).toBe('400 key_missing')
    expect(await api.ok(api.get(path))).toEqual([])
  })

  test('names that look like something else stay names', async () => {
    const path = fresh()
    const keys = [
      '_design/x',
      '_local/y',
      '../../z',
      'a/b',
      'k?l=*acc',
      'ü',
      '😀',
      '__proto__',
      'constructor',
    ]
    for (const k of keys) await api.ok(api.put(path, { k, v: { is: k } }))
    for (const k of keys)
      expect(await api.ok(api.get(`${path}?k=${encodeURIComponent(k)}`))).toMatchObject({ is: k })
    expect((await api.ok(api.get<string[]>(path))).toSorted()).toEqual(keys.toSorted())
  })
})

describe('_ver_', () => {
  test('a current one updates and is never stored, a stale one is version_conflict', async () => {
    const path = fresh()
    const first = await api.ok(api.put(path, { k: 'a', v: { z: 1 } }))
    const second = await api.ok(api.post(path, { k: 'a', v: { z: 2, _ver_: first._ver_ } }))
    expect(second).toEqual({ z: 2, _ver_: expect.any(String) })
    expect(second._ver_).not.toBe(first._ver_)
    expect(await api.error(api.put(path, { k: 'a', v: { z: 3, _ver_: first._ver_ } }))).toBe(
      '409 version_conflict',
    )
    expect(await api.ok(api.get(`${path}?k=a`))).toEqual(second)
    const rows = await api.ok(api.get<Row[]>(`${path}?k=a&time_series=1`))
    expect(rows.map((row) => row[2])).toEqual([{ z: 2 }, { z: 1 }])
  })

  test.each([['nonsense'], [''], [1], [{}], ['v0']])('%j is no version of a live entry', async (_ver_) => {
    const path = fresh()
    expect(await api.ok(api.put(path, { k: 'a', v: { z: 1, _ver_ } }))).toMatchObject({ z: 1 })
    expect(await api.error(api.put(path, { k: 'a', v: { z: 2, _ver_ } }))).toBe('409 version_conflict')
  })

  test('null says nothing, as an object that was never read does', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: { z: 1, _ver_: null } }))
    expect(await api.ok(api.put(path, { k: 'a', v: { z: 2, _ver_: null } }))).toMatchObject({ z: 2 })
  })

  test('_splat_ overwrites whatever is there', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: { z: 1 } }))
    expect(await api.ok(api.put(path, { k: 'a', v: { z: 2, _ver_: '_splat_' } }))).toEqual({
      z: 2,
      _ver_: expect.any(String),
    })
  })

  test('beside v it means nothing', async () => {
    const path = fresh()
    const first = await api.ok(api.put(path, { k: 'a', v: { z: 1 } }))
    await api.ok(api.put(path, { k: 'a', v: { z: 2 }, _ver_: first._ver_ }))
    await api.ok(api.put(path, { k: 'a', v: { z: 3 }, _ver_: first._ver_ }))
  })

  test('on the creation of an absent key it is ignored', async () => {
    const path = fresh()
    const first = await api.ok(api.put(path, { k: 'a', v: { z: 1, _ver_: 'v7' } }))
    expect(first).toEqual({ z: 1, _ver_: expect.any(String) })
    await api.ok(api.delete(`${path}?k=a`))
    const again = await api.put(path, { k: 'a', v: { z: 2, _ver_: first._ver_ } })
    expect(again.status).toBe(201)
    expect(again.body.v._ver_).not.toBe(first._ver_)
  })

  test('a deleted key is put again without one', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: { z: 1 } }))
    await api.ok(api.delete(`${path}?k=a`))
    expect((await api.put(path, { k: 'a', v: { z: 2 } })).status).toBe(201)
  })

  test('of many writers with one version, one wins', async () => {
    const path = fresh()
    const { _ver_ } = await api.ok(api.put(path, { k: 'a', v: { z: 0 } }))
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, z) => api.put(path, { k: 'a', v: { z: z + 1, _ver_ } })),
    )
    expect(answers.filter(({ body }) => body.s === 'ok')).toHaveLength(1)
    expect(answers.filter(({ body }) => (body.v as unknown) === 'version_conflict')).toHaveLength(19)
  })
})

describe('conditions of HTTP', () => {
  test('ETag is the version, also where the value cannot say it', async () => {
    const path = fresh()
    const put = await api.put(path, { k: 'a', v: { z: 1 } })
    expect(put.headers.get('etag')).toBe(`"${put.body.v._ver_}"`)
    expect((await api.get(`${path}?k=a`)).headers.get('etag')).toBe(put.headers.get('etag'))
    expect((await api.put(path, { k: 'b', v: 1 })).headers.get('etag')).toMatch(/^"\w+"$/)
  })

  test('If-None-Match on a read says that nothing has changed', async () => {
    const path = fresh()
    const etag = (await api.put(path, { k: 'a', v: 'bare' })).headers.get('etag')!
    expect((await api.get(`${path}?k=a`, { 'If-None-Match': etag })).status).toBe(304)
    await api.put(path, { k: 'a', v: 'other' })
    expect((await api.get(`${path}?k=a`, { 'If-None-Match': etag })).status).toBe(200)
  })

  test('If-Match updates the version that it names, and creates nothing', async () => {
    const path = fresh()
    const etag = (await api.put(path, { k: 'a', v: 1 })).headers.get('etag')!
    expect((await api.put(path, { k: 'a', v: 2 }, { 'If-Match': etag })).status).toBe(200)
    expect(await api.error(api.put(path, { k: 'a', v: 3 }, { 'If-Match': etag }))).toBe(
      '412 precondition_failed',
    )
    expect(await api.error(api.put(path, { k: 'a', v: 3 }, { 'If-Match': '"none"' }))).toBe(
      '412 precondition_failed',
    )
    expect(await api.error(api.put(path, { k: 'b', v: 3 }, { 'If-Match': etag }))).toBe(
      '412 precondition_failed',
    )
    expect(await api.error(api.put(path, { k: 'b', v: 3 }, { 'If-Match': '*' }))).toBe(
      '412 precondition_failed',
    )
    expect((await api.put(path, { k: 'a', v: 4 }, { 'If-Match': '*' })).status).toBe(200)
    expect(await api.ok(api.get(`${path}?as=values`))).toEqual([4])
  })

  test('If-Match counts before _ver_', async () => {
    const path = fresh()
    const first = await api.put(path, { k: 'a', v: { z: 1 } })
    const second = await api.put(path, { k: 'a', v: { z: 2 } })
    const v = { z: 3, _ver_: first.body.v._ver_ }
    expect((await api.put(path, { k: 'a', v }, { 'If-Match': second.headers.get('etag')! })).status).toBe(200)
  })

  test('If-None-Match: * only creates', async () => {
    const path = fresh()
    expect((await api.put(path, { k: 'a', v: 1 }, { 'If-None-Match': '*' })).status).toBe(201)
    expect(await api.error(api.put(path, { k: 'a', v: 2 }, { 'If-None-Match': '*' }))).toBe(
      '412 precondition_failed',
    )
    await api.ok(api.delete(`${path}?k=a`))
    expect((await api.put(path, { k: 'a', v: 3 }, { 'If-None-Match': '*' })).status).toBe(201)
    expect(await api.error(api.put(path, { k: 'a', v: 2 }, { 'If-None-Match': '"v1"' }))).toBe(
      '400 bad_request',
    )
    expect(await api.error(api.put(path, { k: 'a', v: 2 }, { 'If-None-Match': '*', 'If-Match': '*' }))).toBe(
      '400 bad_request',
    )
  })

  test('a DELETE is bound to a version, too', async () => {
    const path = fresh()
    const etag = (await api.put(path, { k: 'a', v: 1 })).headers.get('etag')!
    await api.put(path, { k: 'a', v: 2 })
    expect(await api.error(api.delete(`${path}?k=a`, { 'If-Match': etag }))).toBe('412 precondition_failed')
    expect(await api.error(api.delete(`${path}?k=b`, { 'If-Match': '*' }))).toBe('412 precondition_failed')
    expect(await api.error(api.delete(path, { 'If-Match': '*' }))).toBe('400 bad_request')
    expect(await api.error(api.delete(`${path}?k=a`, { 'If-None-Match': '*' }))).toBe('400 bad_request')
    expect(await api.ok(api.delete(`${path}?k=a`, { 'If-Match': '*' }))).toBe(1)
  })
})

describe('listings', () => {
  test('keys, values and datums, in the order of the keys', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'b', v: { n: 2 } }))
    await api.ok(api.put(path, { k: 'a', v: { n: 1 } }))
    await api.ok(api.put(path, { k: 'c', v: 'bare' }))
    await api.ok(api.put(path, { k: 'gone', v: 1 }))
    await api.ok(api.delete(`${path}?k=gone`))
    await api.ok(api.put(path + '/below', { k: 'other path', v: 1 }))
    expect(await api.ok(api.get(path))).toEqual(['a', 'b', 'c'])
    const ver = expect.any(String)
    expect(await api.ok(api.get(`${path}?as=values`))).toEqual([
      { n: 1, _ver_: ver },
      { n: 2, _ver_: ver },
      'bare',
    ])
    const datums = await api.ok(api.get<Datum[]>(`${path}?as=datum`))
    const common = { w: '$sys', l: '*data', p: path.slice('/_data'.length), m: null, s: 'c', a: null }
    expect(datums).toEqual([
      { ...common, k: 'a', t: expect.any(Number), v: { n: 1, _ver_: ver }, _id: ver, _rev: ver },
      { ...common, k: 'b', t: expect.any(Number), v: { n: 2, _ver_: ver }, _id: ver, _rev: ver },
      { ...common, k: 'c', t: expect.any(Number), v: { value: 'bare', _ver_: ver }, _id: ver, _rev: ver },
    ])
    for (const { t, v, _id } of datums) {
      expect(_id).toBe(v._ver_)
      expect(Math.abs(t - Date.now() / 1000)).toBeLessThan(60)
    }
    expect(await api.ok(api.get(`${path}?as=1`))).toEqual(datums)
    expect(await api.ok(api.get(`${path}?k=a&as=datum`))).toEqual(datums[0])
    expect(await api.ok(api.get(`${path}?k=a&as=values`))).toEqual(datums[0]!.v)
    expect(await api.error(api.get(`${path}?as=xml`))).toBe('400 bad_request')
  })

  test.each(['', 'as=values&', 'as=datum&', 'time_series=1&', 'k=k3&time_series=1&'])(
    '?%s are paged by limit and after',
    async (query) => {
      const path = fresh()
      for (let i = 0; i < 7; i++) await api.ok(api.put(path, { k: `k${i}`, v: { i } }))
      for (let i = 0; i < 6; i++) await api.ok(api.put(path, { k: 'k3', v: { again: i } }))
      const whole = await api.get<unknown[]>(`${path}?${query}`)
      expect(whole.body.next).toBeUndefined()
      const pages: unknown[][] = []
      for (let after = ''; ;) {
        const { body } = await api.get<unknown[]>(`${path}?${query}limit=3${after}`)
        expect(body.s).toBe('ok')
        pages.push(body.v)
        if (body.next === undefined) break
        after = `&after=${encodeURIComponent(body.next)}`
      }
      expect(pages.flat()).toEqual(whole.body.v)
      expect(pages.slice(0, -1).every(({ length }) => length === 3)).toBe(true)
      expect(pages.length).toBe(Math.ceil(whole.body.v.length / 3))
    },
  )

  test('limits and cursors that are none', async () => {
    const path = fresh()
    for (const limit of ['0', '-1', 'x', '1.5', '10001', '', '1e3'])
      expect(await api.error(api.get(`${path}?limit=${limit}`))).toBe('400 bad_request')
    expect(await api.error(api.get(`${path}?after=`))).toBe('400 bad_cursor')
    for (const after of ['', 'x', '1.2', '1.x.k', '1.2.']) {
      expect(await api.error(api.get(`${path}?time_series=1&after=${after}`))).toBe('400 bad_cursor')
      expect(await api.error(api.get(`${path}?k=a&time_series=1&after=${after}`))).toBe('400 bad_cursor')
    }
  })

  test('one answer holds no more than some megabytes, and says where it goes on', async () => {
    const path = fresh()
    const v = 'x'.repeat(500_000)
    for (let i = 10; i < 50; i++) await api.ok(api.put(path, { k: `k${i}`, v }))
    const { body } = await api.get<string[]>(`${path}?as=values`)
    expect(body.v.length).toBeLessThan(40)
    expect(body.next).toBe(`k${9 + body.v.length}`)
    const rest = await api.get<string[]>(`${path}?as=values&after=${body.next!}`)
    expect(body.v.length + rest.body.v.length).toBe(40)
  })

  test('consistent=1 goes past the cache and says the same', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 1 }))
    expect(await api.ok(api.get(`${path}?k=a&consistent=1`))).toBe(1)
    expect(await api.ok(api.get(`${path}?consistent=1`))).toEqual(['a'])
    expect(await api.ok(api.get(`${path}?as=values&consistent=1`))).toEqual([1])
    expect(await api.error(api.get(`${path}?consistent=maybe`))).toBe('400 bad_request')
  })
})

describe('removing', () => {
  test('a key is 1, a path the number of its live keys', async () => {
    const path = fresh()
    for (const k of ['a', 'b', 'c']) await api.ok(api.put(path, { k, v: 1 }))
    await api.ok(api.put(path + '/below', { k: 'stays', v: 1 }))
    expect(await api.ok(api.delete(`${path}?k=a`))).toBe(1)
    expect(await api.error(api.get(`${path}?k=a`))).toBe('404 not_found')
    expect(await api.error(api.delete(`${path}?k=a`))).toBe('404 not_found')
    expect(await api.error(api.delete(`${path}?k=never`))).toBe('404 not_found')
    expect(await api.ok(api.delete(path))).toBe(2)
    expect(await api.ok(api.get(path))).toEqual([])
    expect(await api.ok(api.delete(path))).toBe(0)
    expect(await api.ok(api.get(path + '/below'))).toEqual(['stays'])
  })

  test('an empty key never means the path', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 1 }))
    for (const query of ['?k=', '?k', '?k2=', '?k3='])
      expect(await api.error(api.delete(path + query))).toMatch(/^400 bad_(key|secondary_key)$/)
    expect(await api.error(api.delete(`${path}?k=a&k2=b`))).toBe('400 bad_request')
    expect(await api.ok(api.get(path))).toEqual(['a'])
  })

  test('the last key takes the path with it', async () => {
    const path = fresh()
    const listed = async () =>
      (await api.ok(api.get<string[]>('/_ds?a=paths&l=*data'))).includes(path.slice('/_data'.length))
    await api.ok(api.put(path, { k: 'a', v: 1 }))
    expect(await listed()).toBe(true)
    await api.ok(api.delete(`${path}?k=a`))
    expect(await listed()).toBe(false)
  })
})

describe('time series', () => {
  test('rows are [unix seconds, login, value], newest first, and survive the delete', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 'scalar' }))
    await api.ok(api.put(path, { k: 'a', v: { z: 2 } }))
    await api.ok(api.delete(`${path}?k=a`))
    const rows = await api.ok(api.get<Row[]>(`${path}?k=a&time_series=1`))
    const seconds = expect.any(Number)
    expect(rows).toEqual([
      [seconds, '$sys', { _deleted: true }],
      [seconds, '$sys', { z: 2 }],
      [seconds, '$sys', 'scalar'],
    ])
    for (const [at] of rows) {
      expect(Number.isInteger(at)).toBe(true)
      expect(Math.abs(at - Date.now() / 1000)).toBeLessThan(60)
    }
  })

  test('without k: the rows of all keys of the path, each with its key', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 1 }))
    await sleep(5)
    await api.ok(api.put(path, { k: 'b', v: 2 }))
    await sleep(5)
    await api.ok(api.delete(`${path}?k=a`))
    const rows = await api.ok(api.get<Row[]>(`${path}?time_series=1`))
    expect(rows.map((row) => row.slice(1))).toEqual([
      ['$sys', { _deleted: true }, 'a'],
      ['$sys', 2, 'b'],
      ['$sys', 1, 'a'],
    ])
  })

  test('gs and ge choose the rows', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 1 }))
    await sleep(2100 - (Date.now() % 1000))
    await api.ok(api.put(path, { k: 'a', v: 2 }))
    const [[newer], [older]] = await api.ok(api.get<[Row, Row]>(`${path}?k=a&time_series=1`))
    const second = (at: number) => Period.print(Period.of(at * 1000, 'second'))
    const minute = (at: number) => Period.print(Period.of(at * 1000, 'minute'))
    const series = async (query: string) =>
      (await api.ok(api.get<Row[]>(`${path}?time_series=1&k=a&${query}`))).map((row) => row[2])
    expect(await series(`gs=${second(older)}`)).toEqual([1])
    expect(await series(`gs=${second(newer)}`)).toEqual([2])
    expect(await series(`gs=${second(older)}&ge=${second(newer)}`)).toEqual([2, 1])
    expect(await series(`ge=${second(newer - 1)}`)).toEqual([1])
    expect(await series(`gs=${minute(older)}&ge=${minute(newer)}`)).toEqual([2, 1])
    expect(await series('gs=2016:3:16:3:4&ge=2016:3:16:3:20')).toEqual([])
    expect(await series('gs=2016&ge=9999')).toEqual([2, 1])
    const paths = await api.ok(api.get<Row[]>(`${path}?time_series=1&gs=${second(newer)}`))
    expect(paths.map((row) => row[2])).toEqual([2])
  })

  test('periods that are none are bad_range', async () => {
    const path = fresh()
    for (const query of ['gs=2016:13', 'gs=yesterday', 'ge=2016:2:30', 'gs=2016:3&ge=2016:2', 'gs='])
      expect(await api.error(api.get(`${path}?time_series=1&${query}`))).toBe('400 bad_range')
  })

  test('parameters that would be without effect are bad_request', async () => {
    const path = fresh()
    for (const query of [
      'gs=2016',
      'ge=2016',
      'time_series=1&at=2016-01-01',
      'time_series=1&as=values',
      'time_series=yes',
    ])
      expect(await api.error(api.get(`${path}?k=a&${query}`))).toBe('400 bad_request')
    expect(await api.error(api.get(`${path}?time_series=0&gs=2016`))).toBe('400 bad_request')
  })
})

describe('at', () => {
  test('reads what was live at that instant', async () => {
    const path = fresh()
    const before = Date.now() - 1
    await sleep(5)
    const first = await api.ok(api.put(path, { k: 'a', v: { z: 1 } }))
    const then = Date.now()
    await sleep(5)
    await api.ok(api.put(path, { k: 'a', v: { z: 2 } }))
    await sleep(5)
    await api.ok(api.delete(`${path}?k=a`))
    const deleted = Date.now()
    expect(await api.ok(api.get(`${path}?k=a&at=${then}`))).toEqual(first)
    expect(await api.ok(api.get(`${path}?k=a&at=${new Date(then).toISOString()}`))).toEqual(first)
    expect(await api.error(api.get(`${path}?k=a&at=${before}`))).toBe('404 not_found')
    expect(await api.error(api.get(`${path}?k=a&at=${deleted}`))).toBe('404 not_found')
    expect(await api.error(api.get(`${path}?k=a&at=${Math.floor(then / 1000)}`))).toBe('400 bad_range')
    expect(await api.error(api.get(`${path}?k=a&at=soon`))).toBe('400 bad_range')
    expect(await api.error(api.get(`${path}?at=${then}`))).toBe('400 bad_request')
    expect(await api.error(api.get(`${path}?k2=a&at=${then}`))).toBe('400 bad_request')
  })
})

describe('secondary keys', () => {
  test('find, and remove', async () => {
    const path = fresh()
    const stored = await api.ok(api.put(path, { k: 'a', v: { z: 1 }, k2: 'two', k3: 'three', k4: 'fo/ur' }))
    await api.ok(api.put(path, { k: 'b', v: { z: 2 }, k3: 'two' }))
    expect(await api.ok(api.get(`${path}?k2=two`))).toEqual(stored)
    expect(await api.ok(api.get(`${path}?k3=three`))).toEqual(stored)
    expect(await api.ok(api.get(`${path}?k4=fo%2Fur`))).toEqual(stored)
    expect(await api.ok(api.get(`${path}?k3=two`))).toMatchObject({ z: 2 })
    expect(await api.ok(api.get(`${path}?k2=two&as=datum`))).toMatchObject({ k: 'a' })
    expect(await api.ok(api.get(`${path}?k2=two&time_series=1`))).toHaveLength(1)
    expect(await api.error(api.get(`${path}?k2=three`))).toBe('404 not_found')
    expect(await api.error(api.get(`${path}/below?k2=two`))).toBe('404 not_found')
    expect(await api.error(api.delete(`${path}?k2=three`))).toBe('404 not_found')
    const { headers } = await api.get(`${path}?k2=two`)
    expect(await api.error(api.delete(`${path}?k2=two`, { 'If-Match': '"v9"' }))).toBe(
      '412 precondition_failed',
    )
    expect(await api.ok(api.delete(`${path}?k2=two`, { 'If-Match': headers.get('etag')! }))).toBe(1)
    expect(await api.ok(api.get(path))).toEqual(['b'])
    expect(await api.error(api.get(`${path}?k3=three`))).toBe('404 not_found')
  })

  test('are unique among the live entries of a path', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 1, k2: 'x' }))
    expect(await api.error(api.put(path, { k: 'b', v: 1, k2: 'x' }))).toBe('409 key_exists')
    await api.ok(api.put(path, { k: 'b', v: 1, k3: 'x' }))
    await api.ok(api.put(path + '/below', { k: 'b', v: 1, k2: 'x' }))
    await api.ok(api.delete(`${path}?k=a`))
    await api.ok(api.put(path, { k: 'b', v: 2, k2: 'x' }))
    expect(await api.ok(api.get(`${path}?k2=x`))).toBe(2)
  })

  test('stay when a write names none, and are replaced together when it names one', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 1, k2: 'x', k3: 'y' }))
    await api.ok(api.put(path, { k: 'a', v: 2 }))
    expect(await api.ok(api.get(`${path}?k2=x`))).toBe(2)
    await api.ok(api.put(path, { k: 'a', v: 3, k3: 'z' }))
    expect(await api.ok(api.get(`${path}?k3=z`))).toBe(3)
    expect(await api.error(api.get(`${path}?k2=x`))).toBe('404 not_found')
    expect(await api.error(api.get(`${path}?k3=y`))).toBe('404 not_found')
    await api.ok(api.put(path, { k: 'a', v: 4, k2: null }))
    expect(await api.error(api.get(`${path}?k3=z`))).toBe('404 not_found')
  })

  test('that are none', async () => {
    const path = fresh()
    for (const k2 of ['', 7, {}, 'x'.repeat(513), 'a\nb'])
      expect(await api.error(api.put(path, { k: 'a', v: 1, k2 }))).toBe('400 bad_secondary_key')
    expect(await api.error(api.get(`${path}?k=a&k2=b`))).toBe('400 bad_request')
    expect(await api.error(api.get(`${path}?k2=${'x'.repeat(513)}`))).toBe('400 bad_secondary_key')
  })
})

describe('ttl', () => {
  test.each(['body', 'query'])('in the %s lets an entry lapse', async (where) => {
    const path = fresh()
    const target = where === 'query' ? `${path}?ttl=1.5` : path
    await api.ok(api.put(path, { k: 'b', v: 2 }))
    await api.ok(api.put(target, { k: 'a', v: 1, ...(where === 'body' && { ttl: 1.5 }) }))
    const lapses = Date.now() + 1500
    expect(await api.ok(api.get(path))).toEqual(['a', 'b'])
    await sleep(lapses - Date.now() + 20)
    expect(await api.error(api.get(`${path}?k=a`))).toBe('404 not_found')
    expect(await api.ok(api.get(path))).toEqual(['b'])
    expect(await api.ok(api.get(`${path}?as=values`))).toEqual([2])
    expect(await api.ok(api.put(path, { k: 'a', v: { z: 3, _ver_: 'v1' } }))).toMatchObject({ z: 3 })
  })

  test('ends with a write that names none', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 1, ttl: 0.3 }))
    await api.ok(api.put(path, { k: 'a', v: 2 }))
    await sleep(400)
    expect(await api.ok(api.get(`${path}?k=a`))).toBe(2)
  })

  test('of the body counts before that of the query', async () => {
    const path = fresh()
    await api.ok(api.put(`${path}?ttl=0.2`, { k: 'a', v: 1, ttl: 100 }))
    await sleep(300)
    expect(await api.ok(api.get(`${path}?k=a`))).toBe(1)
  })

  test('that is none', async () => {
    const path = fresh()
    for (const ttl of [0, -1, '5', true, {}, 400_000_000])
      expect(await api.error(api.put(path, { k: 'a', v: 1, ttl }))).toBe('400 bad_ttl')
    for (const ttl of ['0', '-1', 'x', '', '1e3', '400000000'])
      expect(await api.error(api.put(`${path}?ttl=${ttl}`, { k: 'a', v: 1 }))).toBe('400 bad_ttl')
    expect(await api.ok(api.get(path))).toEqual([])
  })
})

describe('layers of the account', () => {
  test('stand beside the data', async () => {
    const path = fresh()
    await api.ok(api.put(path, { k: 'a', v: 'data' }))
    await api.ok(api.put(`${path}?l=default`, { k: 'a', v: 'default' }))
    await api.ok(api.put(`${path}?l=default`, { k: 'b', v: 'default' }))
    expect(await api.ok(api.get(`${path}?k=a`))).toBe('data')
    expect(await api.ok(api.get(`${path}?k=a&l=*data`))).toBe('data')
    expect(await api.ok(api.get(`${path}?k=a&l=default`))).toBe('default')
    expect(await api.ok(api.get(`${path}?l=default`))).toEqual(['a', 'b'])
    expect((await api.ok(api.get<Datum[]>(`${path}?l=default&as=datum`)))[0]?.l).toBe('default')
    expect(await api.ok(api.get(`${path}?l=default&k=a&time_series=1`))).toHaveLength(1)
    expect(await api.ok(api.delete(`${path}?l=default`))).toBe(2)
    expect(await api.ok(api.get(path))).toEqual(['a'])
  })

  test('are not those of other services, nor of the engine', async () => {
    const path = fresh()
    for (const [l, code] of [
      ['*acc', '403 bad_layer_prefix'],
      ['*ns', '403 bad_layer_prefix'],
      ['%2Aauth', '403 bad_layer_prefix'],
      ['*', '403 bad_layer_prefix'],
      ['^acc', '400 bad_layer'],
      ['', '400 bad_layer'],
      ['a%2Fb', '400 bad_layer'],
    ]) {
      const expected = expect.stringMatching(new RegExp(`^4\\d\\d ${code!.slice(4)}$`))
      expect(await api.error(api.get(`${path}?l=${l}`))).toEqual(expected)
      expect(await api.error(api.get(`${path}?k=a&l=${l}`))).toEqual(expected)
      expect(await api.error(api.put(`${path}?l=${l}`, { k: 'a', v: 1 }))).toEqual(expected)
      expect(await api.error(api.delete(`${path}?k=a&l=${l}`))).toEqual(expected)
      expect(await api.error(api.delete(`${path}?l=${l}`))).toEqual(expected)
    }
  })
})

describe('accounts', () => {
  const create = async (by: Client, k: string): Promise<string> => {
    const v = { email: `${k}@example.com` }
    return (await by.ok(by.put<{ secret: string }>('/_acc/accounts', { k, v }))).secret
  }

  test('see their own data only, and every write says who wrote it', async () => {
    const path = fresh()
    const secret = await create(api, 'elena')
    const elena = platform.as('elena', secret)
    const lily = platform.as('elena#lily', await create(elena, 'lily'))
    const proxy = platform.as('elena#lily', '!' + secret)
    await elena.ok(elena.put('/_acc/users/admins', { k: 'boss', v: { password: 'a password' } }))
    const admin = platform.as('elena', 'boss#a password')

    await elena.ok(elena.put(path, { k: 'a', v: "elena's" }))
    await lily.ok(lily.put(path, { k: 'a', v: "lily's" }))
    expect(await elena.ok(elena.get(`${path}?k=a`))).toBe("elena's")
    expect(await lily.ok(lily.get(`${path}?k=a`))).toBe("lily's")
    expect(await api.error(api.get(`${path}?k=a`))).toBe('404 not_found')

    await proxy.ok(proxy.put(path, { k: 'a', v: "elena's for lily" }))
    await admin.ok(admin.put(path, { k: 'a', v: "the admin's" }))
    const who = async (client: Client) =>
      (await client.ok(client.get<Row[]>(`${path}?k=a&time_series=1`))).map(([, login, value]) => [
        login,
        value,
      ])
    expect(await who(lily)).toEqual([
      ['elena', "elena's for lily"],
      ['lily', "lily's"],
    ])
    expect(await who(elena)).toEqual([
      ['boss', "the admin's"],
      ['elena', "elena's"],
    ])
    expect(await lily.ok(lily.get(`${path}?as=datum`))).toMatchObject([{ w: 'lily', k: 'a' }])
    expect(await elena.ok(admin.get(`${path}?as=datum`))).toMatchObject([{ w: 'elena', k: 'a' }])

    expect(await lily.ok(lily.get('/_ds'))).toEqual(['*data'])
    expect(await elena.ok(elena.get('/_ds'))).toEqual(['*acc', '*data'])
    expect(await elena.ok(elena.get('/_ds?a=paths&l=*acc'))).toEqual(['/accounts', '/users/admins'])
    expect(await elena.error(elena.get('/_data/accounts?k=lily&l=*acc'))).toMatch(/bad_layer_prefix$/)
  })
})

describe('KV4_REQUIRE_VER=1', () => {
  let strict: Platform
  let strictly: Client
  beforeAll(async () => {
    strict = await startPlatform({ settings: { KV4_REQUIRE_VER: '1' } })
    strictly = strict.sys
  })
  afterAll(() => strict.close())

  test('an update of a live entry must name its version', async () => {
    const path = fresh()
    const first = await strictly.ok(strictly.put(path, { k: 'a', v: { z: 1 } }))
    expect(await strictly.error(strictly.post(path, { k: 'a', v: { z: 2 } }))).toBe('428 _ver_missing')
    expect(await strictly.error(strictly.put(path, { k: 'a', v: 'bare' }))).toBe('428 _ver_missing')
    const second = await strictly.ok(strictly.post(path, { k: 'a', v: { z: 2, _ver_: first._ver_ } }))
    expect(await strictly.error(strictly.post(path, { k: 'a', v: { z: 3, _ver_: first._ver_ } }))).toBe(
      '409 version_conflict',
    )
    await strictly.ok(strictly.post(path, { k: 'a', v: { z: 3, _ver_: '_splat_' } }))
    expect((await strictly.put(path, { k: 'a', v: 'bare' }, { 'If-Match': '*' })).status).toBe(200)
    expect(second._ver_).not.toBe(first._ver_)
  })

  test('a creation needs none, after a delete neither', async () => {
    const path = fresh()
    await strictly.ok(strictly.put(path, { k: 'a', v: { z: 1 } }))
    await strictly.ok(strictly.delete(`${path}?k=a`))
    expect((await strictly.put(path, { k: 'a', v: { z: 2 } })).status).toBe(201)
  })
})

test('KV4_STATUS=always200 answers everything with 200', async () => {
  const original = await startPlatform({ settings: { KV4_STATUS: 'always200' } })
  try {
    const client = original.sys
    expect(await client.error(client.get('/_data/p?k=none'))).toBe('200 not_found')
    const created = await client.put('/_data/p', { k: 'a', v: { z: 1 } })
    expect(created.status).toBe(200)
    const etag = created.headers.get('etag')
    if (etag !== null) expect((await client.get('/_data/p?k=a', { 'If-None-Match': etag })).status).toBe(200)
    expect(await client.error(client.put('/_data/p', { k: 'a', v: { _ver_: 'v9' } }))).toBe(
      '200 version_conflict',
    )
  } finally {
    await original.close()
  }
})

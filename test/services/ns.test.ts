import type { Client } from '../client'
import { startPlatform, type Platform } from '../platform'

let platform: Platform
let api: Client
beforeAll(async () => {
  platform = await startPlatform()
  api = platform.sys
})
afterAll(() => platform.close())
beforeEach(() => api.delete('/_ns'))

async function create(...names: string[]): Promise<void> {
  for (const name of names) await api.ok(api.put(`/_ns/${name}`))
}

describe('PUT', () => {
  test('creates a namespace, answers its _ver_, and says path_exists the second time', async () => {
    const created = await api.put('/_ns/a/b/c')
    expect(created.status).toBe(201)
    expect(created.body).toEqual({ v: { _ver_: expect.any(String) }, s: 'ok' })
    expect(await api.error(api.put('/_ns/a/b/c'))).toBe('409 path_exists')
    expect(await api.error(api.put('/_ns//a/b//c/'))).toBe('409 path_exists')
  })

  test('takes every form of no body', async () => {
    const json = { 'Content-Type': 'application/json' }
    expect((await api.call('PUT', '/_ns/null', { body: 'null' })).status).toBe(201)
    expect((await api.call('PUT', '/_ns/empty', { headers: json })).status).toBe(201)
    expect((await api.call('PUT', '/_ns/braces', { body: '{}' })).status).toBe(201)
    expect((await api.call('PUT', '/_ns/nothing')).status).toBe(201)
    expect(await api.ok(api.get('/_ns'))).toEqual(['braces', 'empty', 'nothing', 'null'])
  })

  test('the root is no namespace, and a bad segment none either', async () => {
    expect(await api.error(api.put('/_ns'))).toBe('400 bad_segment')
    expect(await api.error(api.put('/_ns///'))).toBe('400 bad_segment')
    expect(await api.error(api.put('/_ns/a/%00'))).toBe('400 bad_segment')
    expect(await api.error(api.put(`/_ns/${'x'.repeat(256)}`))).toBe('400 bad_segment')
    expect(await api.error(api.put(`/_ns/${'a/'.repeat(65)}`))).toBe('400 bad_segment')
    expect(await api.ok(api.get('/_ns'))).toEqual([])
  })

  test('names of all scripts are allowed, as are digits first and domain names', async () => {
    await create('richie.com/default/default', '2024/x', encodeURIComponent('größe'), '_local', 'a%20b')
    expect(await api.ok(api.get('/_ns'))).toEqual([
      '2024/x',
      '_local',
      'a b',
      'größe',
      'richie.com/default/default',
    ])
  })

  test('of many at once one creates', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => api.put('/_ns/race')))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, ...Array<number>(9).fill(409)])
  })
})

describe('POST', () => {
  test('creates what is not there, and answers alike when it is', async () => {
    const first = await api.post('/_ns/a')
    const second = await api.post('/_ns/a')
    expect([first.status, second.status]).toEqual([201, 200])
    expect(second.body).toEqual(first.body)
    expect(await api.error(api.post('/_ns'))).toBe('400 bad_segment')
    const many = await Promise.all(Array.from({ length: 10 }, () => api.post('/_ns/race')))
    expect(many.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(many.filter(({ status }) => status === 200)).toHaveLength(9)
  })
})

describe('GET', () => {
  test('lists whole paths without a leading slash, sorted, and no implied ancestors', async () => {
    await create('a/path/that/lily/created', 'a/path/that/elena/created/for/lily', 'b')
    expect(await api.ok(api.get('/_ns'))).toEqual([
      'a/path/that/elena/created/for/lily',
      'a/path/that/lily/created',
      'b',
    ])
    expect(await api.ok(api.get('/_ns/a/path/that/lily'))).toEqual(['a/path/that/lily/created'])
    expect(await api.ok(api.get('/_ns/a/path/that/lily/created'))).toEqual(['a/path/that/lily/created'])
  })

  test('is [] where there is nothing, also beside a name that begins alike', async () => {
    await create('abc')
    expect(await api.ok(api.get('/_ns/ab'))).toEqual([])
    expect(await api.ok(api.get('/_ns/none/such'))).toEqual([])
  })

  test('a namespace stands right before what is below it', async () => {
    await create('a-b', 'a/z', 'a', 'a.c', 'a/b')
    expect(await api.ok(api.get('/_ns'))).toEqual(['a', 'a/b', 'a/z', 'a-b', 'a.c'])
  })

  test('depth counts the segments below the addressed path', async () => {
    await create('a', 'a/b', 'a/b/c', 'a/b/c/d', 'x')
    expect(await api.ok(api.get('/_ns/?depth=1'))).toEqual(['a', 'x'])
    expect(await api.ok(api.get('/_ns/?depth=2'))).toEqual(['a', 'a/b', 'x'])
    expect(await api.ok(api.get('/_ns/?depth=10'))).toHaveLength(5)
    expect(await api.ok(api.get('/_ns/a?depth=1'))).toEqual(['a', 'a/b'])
    expect(await api.ok(api.get('/_ns/a/b?depth=0'))).toEqual(['a/b'])
    for (const depth of ['-1', 'x', '', '1.5'])
      expect(await api.error(api.get(`/_ns?depth=${depth}`))).toBe('400 bad_request')
  })

  test('is paged by limit and after', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `n${i}/x`)
    await create(...names)
    const first = await api.get('/_ns?limit=4')
    expect(first.body.v).toEqual(names.slice(0, 4))
    const second = await api.get(`/_ns?limit=4&after=${encodeURIComponent(first.body.next!)}`)
    expect(second.body.v).toEqual(names.slice(4, 8))
    const third = await api.get(`/_ns?limit=4&after=${encodeURIComponent(second.body.next!)}`)
    expect(third.body).toEqual({ v: names.slice(8), s: 'ok' })
    expect(await api.error(api.get('/_ns?after=a/../b'))).toBe('400 bad_cursor')
  })
})

describe('DELETE', () => {
  test('removes the namespace and all below it, and counts', async () => {
    await create('a', 'a/b', 'a/b/c', 'ab', 'x/y')
    expect(await api.ok(api.delete('/_ns/x/y'))).toBe(1)
    expect(await api.ok(api.delete('/_ns/a'))).toBe(3)
    expect(await api.ok(api.get('/_ns'))).toEqual(['ab'])
    expect(await api.error(api.delete('/_ns/a'))).toBe('404 not_found')
  })

  test('of an implied ancestor removes what is below it', async () => {
    await create('a/b/c', 'a/b/d')
    expect(await api.ok(api.delete('/_ns/a'))).toBe(2)
    expect(await api.ok(api.get('/_ns'))).toEqual([])
  })

  test('at the root removes the whole tree, and leaves the data', async () => {
    await create('a', 'b/c')
    await api.ok(api.put('/_data/a', { k: 'k', v: 1 }))
    expect(await api.ok(api.delete('/_ns'))).toBe(2)
    expect(await api.ok(api.get('/_data/a'))).toEqual(['k'])
  })

  test('lets the namespace be created again', async () => {
    await create('a')
    const first = await api.ok(api.post('/_ns/a'))
    await api.ok(api.delete('/_ns/a'))
    const again = await api.put('/_ns/a')
    expect(again.status).toBe(201)
    expect(again.body.v._ver_).not.toBe(first._ver_)
  })
})

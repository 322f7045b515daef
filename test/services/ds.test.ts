import type { Client } from '../client'
import { startPlatform, type Platform } from '../platform'

let platform: Platform
let api: Client
beforeAll(async () => {
  // No count of calls is written while the tests run.
  platform = await startPlatform({ settings: { KV4_STATS_FLUSH_MS: '600000' } })
  const made = await platform.sys.put('/_acc/accounts', { k: 'richie', v: { email: 'richie@example.com' } })
  api = platform.as('richie', (made.body.v as unknown as { secret: string }).secret)
  await api.ok(api.put('/_ns/richie.com/default'))
  for (const [path, k] of [
    ['/_data', 'at the root'],
    ['/_data/b', 'one'],
    ['/_data/a/b', 'two'],
    ['/_data/a/b', 'three'],
    ['/_data/runtime/hosts/active?l=default', 'mini:xs_vsl'],
  ])
    await api.ok(api.put(path!, { k, v: { secret: 'value' }, k2: `second ${k}` }))
})
afterAll(() => platform.close())

test.each(['/_ds', '/_ds/', '/_ds?a=layers', '/_ds/any/path'])(
  '%s lists the layers, sorted',
  async (target) => {
    expect(await api.ok(api.get(target))).toEqual(['*data', '*ns', 'default'])
  },
)

test('a=paths lists the paths of a layer, with a leading slash', async () => {
  expect(await api.ok(api.get('/_ds?a=paths&l=*data'))).toEqual(['/', '/a/b', '/b'])
  expect(await api.ok(api.get('/_ds?a=paths&l=%2Ans'))).toEqual(['/richie.com/default'])
  expect(await api.ok(api.get('/_ds/a?a=paths&l=*data'))).toEqual(['/a/b'])
  expect(await api.ok(api.get('/_ds?a=paths&l=none'))).toEqual([])
})

test('a=keys lists the keys of a layer at a path', async () => {
  expect(await api.ok(api.get('/_ds/a/b?a=keys&l=*data'))).toEqual(['three', 'two'])
  expect(await api.ok(api.get('/_ds/?a=keys&l=*data'))).toEqual(['at the root'])
  expect(await api.ok(api.get('/_ds/runtime/hosts/active?a=keys&l=default'))).toEqual(['mini:xs_vsl'])
  expect(await api.ok(api.get('/_ds/a?a=keys&l=*data'))).toEqual([])
})

test('both are paged', async () => {
  const paths = await api.get('/_ds?a=paths&l=*data&limit=2')
  expect(paths.body.v).toEqual(['/', '/a/b'])
  const more = await api.get(`/_ds?a=paths&l=*data&limit=2&after=${encodeURIComponent(paths.body.next!)}`)
  expect(more.body).toEqual({ v: ['/b'], s: 'ok' })
  const keys = await api.get('/_ds/a/b?a=keys&l=*data&limit=1')
  expect(keys.body).toEqual({ v: ['three'], s: 'ok', next: 'three' })
  expect(await api.ok(api.get('/_ds/a/b?a=keys&l=*data&limit=1&after=three'))).toEqual(['two'])
  expect(await api.error(api.get('/_ds/a/b?a=keys&l=*data&after='))).toBe('400 bad_cursor')
})

test('what is not asked properly', async () => {
  expect(await api.error(api.get('/_ds?a=values&l=*data'))).toBe('400 bad_request')
  expect(await api.error(api.get('/_ds?a='))).toBe('400 bad_request')
  expect(await api.error(api.get('/_ds?a=paths'))).toBe('400 bad_request')
  expect(await api.error(api.get('/_ds/a?a=keys'))).toBe('400 bad_request')
  expect(await api.error(api.get('/_ds?a=paths&l='))).toBe('400 bad_layer')
})

test.each(['PUT', 'POST', 'DELETE'])('%s is not answered', async (method) => {
  expect(await api.error(api.call(method, '/_ds'))).toBe('405 method_not_allowed')
})

test('the layers of the engine, such as those of secondary keys and of the system account, cannot be seen', async () => {
  for (const l of ['^', '^acc', '^k2', '%5Eacc', '^claims'])
    for (const a of ['paths', 'keys'])
      expect(await api.error(api.get(`/_ds/system?a=${a}&l=${l}`))).toBe('400 bad_layer')
})

test('shows names, never a value', async () => {
  const answers = await Promise.all(
    [
      '/_ds',
      '/_ds?a=paths&l=*data',
      '/_ds/a/b?a=keys&l=*data',
      '/_ds/a/b?a=keys&l=*data&k=two&as=values',
    ].map((target) => api.get(target)),
  )
  expect(JSON.stringify(answers.map(({ body }) => body))).not.toContain('secret')
})

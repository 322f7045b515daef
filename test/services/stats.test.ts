import { BucketName, Key, Layer, Path, Period, type Json } from '../../core'
import { CouchServer } from '../couchdb/server'
import { eventually, until } from '../eventually'
import { startPlatform, type Platform } from '../platform'
import type { Client } from '../client'

type Figure = { sum: number; min: number; max: number; count: number }
type Break = Record<string, Figure>

const figure = (sum: number, min: number, max: number, count: number): Figure => ({ sum, min, max, count })
const times = (count: number, value: number): number[] => Array.from({ length: count }, () => value)

const STORES: readonly (readonly [string, () => Promise<CouchServer | undefined>])[] = [
  ['the embedded store', () => Promise.resolve(undefined)],
  ['a CouchDB', () => CouchServer.start({ login: 'admin:admin' })],
]

describe.each(STORES)('_stats on %s', (_name, start) => {
  let couch: CouchServer | undefined
  let platform: Platform
  let sys: Client
  let async: Client
  const asyncName = 'holder'

  beforeAll(async () => {
    couch = await start()
    platform = await startPlatform({
      settings: {
        KV4_STATS_FLUSH_MS: '100',
        KV4_HOST_BEAT_MS: '500',
        ...(couch !== undefined && { KV4_COUCHDB_URL: couch.url }),
      },
    })
    sys = platform.sys
    const { secret } = await sys.ok(
      sys.put<{ secret: string }>('/_acc/accounts', { k: asyncName, v: { email: `${asyncName}@async.cl` } }),
    )
    async = platform.as(asyncName, secret)
  }, 60_000)
  afterAll(async () => {
    await platform?.close()
    await couch?.close()
  }, 60_000)

  /** As the platform's own measurements come in: past the service, which refuses them. */
  async function record(
    bucket: BucketName,
    measurement: string,
    path: string,
    key: string,
    at: string,
    values: readonly Json[],
  ): Promise<void> {
    const address = {
      layer: Layer.parse('*stats:' + measurement),
      path: Path.parse(path),
      key: Key.parse(key),
    }
    const from = Period.from(Period.parse(at))
    await Promise.all(
      values.map((value, i) =>
        platform.engine.bucket(bucket).append(address, value, { by: key, at: from + i }),
      ),
    )
  }

  describe('the examples of the notes', () => {
    const own = '/runtime/hosts/active'
    const active = `/_stats${own}?l=router:pkt`

    beforeAll(async () => {
      const pkt = (at: string, values: readonly number[]) =>
        record(BucketName.system, 'router:pkt', own, 'mini:xs_vsl', at, values)
      await pkt('2016:3:16:5:9', [50])
      await pkt('2016:3:16:5:10', times(10, 51))
      await pkt('2016:3:16:5:11', [48, ...times(291, 51), ...times(198, 50)])
      await pkt('2016:3:16:8:20', [...times(62, 51), ...times(41, 50)])
    })

    test('all packets of the channel', async () => {
      // The present node says on the same channel that it is there.
      expect(await sys.ok(sys.get(active + '&k=mini:xs_vsl'))).toEqual(figure(30561, 48, 51, 604))
      expect(await sys.ok(sys.get(active + '&ge=2016'))).toEqual(figure(30561, 48, 51, 604))
    })
    test('broken down to the hour, from the third to the sixth', async () => {
      const target = `${active}&gs=2016:3:16:3&ge=2016:3:16:6&break=1`
      expect(await sys.ok(sys.get(target))).toEqual({ '2016:3:16:5': figure(25349, 48, 51, 501) })
    })
    test('the first ten minutes of the fifth hour', async () => {
      const target = `${active}&gs=2016:3:16:5:0&ge=2016:3:16:5:10`
      expect(await sys.ok(sys.get(target))).toEqual(figure(560, 50, 51, 11))
    })
    test('broken down to the minute', async () => {
      const target = `${active}&gs=2016:3:16:5:0&ge=2016:3:16:5:10&break=1`
      expect(await sys.ok(sys.get(target))).toEqual({
        '2016:3:16:5:9': figure(50, 50, 50, 1),
        '2016:3:16:5:10': figure(510, 51, 51, 10),
      })
    })
    test('the entity is listed under its measurement, with its key', async () => {
      expect(await sys.ok(sys.get('/_ds?a=paths&l=*stats:router:pkt'))).toEqual([own])
      expect(await sys.ok(sys.get<string[]>(`/_ds${own}?a=keys&l=*stats:router:pkt`))).toContain(
        'mini:xs_vsl',
      )
      expect(await async.ok(async.get(active))).toEqual([])
    })

    test('calls of one login to one service, and of all on each of three days', async () => {
      const bucket = BucketName.of(asyncName)
      const call = (path: string, at: string, count: number, who = 'async') =>
        record(bucket, 'api:3', path, who, at, times(count, 1))
      await call('/data/GET', '2016:3:6:10', 5)
      await call('/stats/GET', '2016:3:6:11', 4)
      await call('/stats/GET', '2016:3:7:1', 19)
      await call('/ns/PUT', '2016:3:7:2', 38)
      await call('/ns/PUT', '2016:3:8:3', 93)
      await call('/data/GET', '2016:3:9', 2, 'admin')

      const day = '&gs=2016:3:6&ge=2016:3:8'
      expect(await async.ok(async.get('/_stats/data/GET?k=async&l=api:3'))).toEqual(figure(5, 1, 1, 5))
      expect(await async.ok(async.get('/_stats/stats/GET?k=async&l=api:3'))).toEqual(figure(23, 1, 1, 23))
      const days = {
        '2016:3:6': figure(9, 1, 1, 9),
        '2016:3:7': figure(57, 1, 1, 57),
        '2016:3:8': figure(93, 1, 1, 93),
      }
      expect(await async.ok(async.get(`/_stats/?l=api:3${day}&break=0`))).toEqual(days)
      expect(await async.ok(async.get(`/_stats?l=api:3${day}`))).toEqual(days)
      expect(await async.ok(async.get(`/_stats?l=api:3${day}&break=1`))).toEqual(days)
      expect(await async.ok(async.get(`/_stats/data/GET?l=api:3&gs=2016:3:6:10&break=1`))).toEqual({
        '2016:3:6:10': figure(5, 1, 1, 5),
      })
      expect(await async.ok(async.get('/_stats/data/GET?k=admin&l=api:3&gs=2016&ge=2016'))).toEqual(
        figure(2, 1, 1, 2),
      )
    })
  })

  describe('a query', () => {
    const room = '/_stats/queried/room'

    beforeAll(async () => {
      const bucket = BucketName.of(asyncName)
      const put = (key: string, at: string, values: readonly Json[]) =>
        record(bucket, 'size', '/queried/room', key, at, values)
      await put('anna', '2016:2:29:23:59', [3, 5])
      await put('anna', '2016:3:1:0:0', [7])
      await put('bob', '2016:3:1:0:0', [{ sum: 30, min: 9, max: 11, count: 3 }])
      await put('anna', '2017:1:1', [-4])
    })

    test('without gs and ge is of all time; ge ends at its own precision; gs alone names its period', async () => {
      const ask = (more: string) => async.ok(async.get<unknown>(`${room}?l=size${more}`))
      expect(await ask('')).toEqual(figure(41, -4, 11, 7))
      expect(await ask('&gs=2016:3')).toEqual(figure(37, 7, 11, 4))
      expect(await ask('&gs=2016:2:29&ge=2016:3')).toEqual(figure(45, 3, 11, 6))
      expect(await ask('&gs=2016:02:29:23:59')).toEqual(figure(8, 3, 5, 2))
      expect(await ask('&ge=2016:2')).toEqual(figure(8, 3, 5, 2))
      expect(await ask('&gs=2016&ge=2017&k=bob')).toEqual(figure(30, 9, 11, 3))
      expect(await ask('&gs=2016:2&ge=2017&break=1')).toEqual({
        '2016:2': figure(8, 3, 5, 2),
        '2016:3': figure(37, 7, 11, 4),
        '2017:1': figure(-4, -4, -4, 1),
      })
      expect(await ask('&gs=2016:3:1:0&ge=2016:3:1:0:0&break=1')).toEqual({
        '2016:3:1:0': figure(37, 7, 11, 4),
      })
      expect(await ask('&break=1')).toEqual({ 2016: figure(45, 3, 11, 6), 2017: figure(-4, -4, -4, 1) })
    })

    test('takes the layer as _ds names it, and encoded', async () => {
      expect(await async.ok(async.get(`${room}?l=*stats:size&gs=2017`))).toEqual(figure(-4, -4, -4, 1))
      expect(await async.ok(async.get(`${room}?l=%2Astats%3Asize&gs=2017`))).toEqual(figure(-4, -4, -4, 1))
    })

    test.each([
      '?l=size&gs=2015',
      '?l=size&gs=2015&break=1',
      '?l=nothing',
      '/below?l=size',
      '?l=size&k=nobody',
    ])('that finds nothing answers an empty list: %s', async (rest) => {
      expect(await async.ok(async.get(room + rest))).toEqual([])
    })

    test.each([
      ['', 'bad_request'],
      ['?l=', 'bad_request'],
      ['?l=a/b', 'bad_layer'],
      ['?l=size&gs=2016:3:16:5:9:1', 'bad_range'],
      ['?l=size&gs=2016&ge=2016:3:16:5:9:1', 'bad_range'],
      ['?l=size&gs=2016:13', 'bad_range'],
      ['?l=size&gs=2017&ge=2016', 'bad_range'],
      ['?l=size&gs=yesterday', 'bad_range'],
      ['?l=size&gs=2015:1:1:0:0&ge=2016&break=1', 'bad_range'],
      ['?l=size&break=2', 'bad_request'],
      ['?l=size&from=2016-01-01', 'bad_request'],
      ['?l=size&format=rows&from=1458109254', 'bad_range'],
      ['?l=size&format=rows&from=2016-01-01&gs=2016', 'bad_range'],
      ['?l=size&format=rows&from=2016-01-02&to=2016-01-01', 'bad_range'],
      ['?l=size&format=rows&from=2015-01-01&to=2017-01-01&by=minute', 'bad_range'],
      ['?l=size&k=%00', 'bad_key'],
    ])('%s is refused with %s', async (rest, code) => {
      expect(await async.error(async.get(room + rest))).toBe(`400 ${code}`)
    })

    test('as rows is what a dashboard draws', async () => {
      const rows = (more: string) => async.ok(async.get<unknown>(`${room}?l=size&format=rows${more}`))
      const day = (date: string) => Date.parse(date)
      expect(await rows('&from=2016-02-28&to=2016-03-02T12:00&by=day')).toEqual([
        { time: day('2016-02-29'), ...figure(8, 3, 5, 2) },
        { time: day('2016-03-01'), ...figure(37, 7, 11, 4) },
      ])
      const empty = { sum: 0, min: null, max: null, count: 0 }
      expect(await rows(`&from=${day('2016-02-28T05:00')}&to=${day('2016-03-02')}&by=day&fill=1`)).toEqual([
        { time: day('2016-02-28'), ...empty },
        { time: day('2016-02-29'), ...figure(8, 3, 5, 2) },
        { time: day('2016-03-01'), ...figure(37, 7, 11, 4) },
        { time: day('2016-03-02'), ...empty },
      ])
      // An hour is drawn by minutes, half a year by days.
      const hour = (await rows('&from=2016-02-29T23:30Z&to=2016-03-01T00:30Z&fill=1')) as unknown[]
      expect(hour).toHaveLength(61)
      expect(hour[29]).toEqual({ time: day('2016-02-29T23:59Z'), ...figure(8, 3, 5, 2) })
      expect(await rows('&from=2016-02-01&to=2016-08-01')).toHaveLength(2)
      expect(await rows('&gs=2016:2&ge=2016:4')).toEqual([
        { time: day('2016-02-01'), ...figure(8, 3, 5, 2) },
        { time: day('2016-03-01'), ...figure(37, 7, 11, 4) },
      ])
      expect(await rows('&from=2010-01-01&to=2011-01-01')).toEqual([])
      expect(await async.ok(async.get('/_stats?l=size&format=rows&gs=2016&ge=2016'))).toEqual([
        { time: day('2016-01-01'), ...figure(45, 3, 11, 6) },
      ])
    })

    test('of what is measured', async () => {
      await record(BucketName.of(asyncName), 'weight', '/queried/room/inner', 'anna', '2016', [1])
      const ask = (target: string) => async.ok(async.get<string[]>(target))
      expect(await ask(`${room}?a=measurements`)).toEqual(['size'])
      expect(await ask(`${room}/inner?a=measurements`)).toEqual(['weight'])
      expect(await ask('/_stats?a=measurements')).toEqual(
        expect.arrayContaining(['api:3', 'size', 'weight']) as unknown,
      )
      expect(await ask('/_stats?a=measurements&l=size')).toEqual(['/queried/room'])
      expect(await ask('/_stats/elsewhere?a=measurements&l=size')).toEqual([])
      expect(await ask('/_stats/elsewhere?a=measurements')).toEqual([])
    })
  })

  describe('a measurement of one’s own', () => {
    test('is recorded as a number or as what numbers add up to', async () => {
      const put = (body: object) =>
        async.put<{ k: string; l: string; v: Json; at: number }>('/_stats/own', body)
      const before = Date.now()
      const { status, body } = await put({ k: 'anna', l: 'steps', v: 12.5 })
      expect([status, body]).toEqual([
        201,
        { s: 'ok', v: { k: 'anna', l: 'steps', v: 12.5, at: expect.any(Number) as unknown } },
      ])
      expect(body.v.at).toBeGreaterThanOrEqual(before)
      await async.ok(put({ k: 'anna', l: 'steps', v: { sum: 30, min: 1, max: 20, count: 4 } }))
      await async.ok(async.post('/_stats/own?l=steps', { k: 'bob', v: -1 }))
      expect((await async.ok(put({ l: 'steps', v: 1, at: '2016-03-16T05:09Z' }))).k).toBe(asyncName)
      expect(await async.ok(async.get('/_stats/own?l=steps'))).toEqual(figure(42.5, -1, 20, 7))
      expect(await async.ok(async.get('/_stats/own?l=steps&k=anna'))).toEqual(figure(42.5, 1, 20, 5))
      expect(await async.ok(async.get('/_stats/own?l=steps&gs=2016:3:16:5:9'))).toEqual(figure(1, 1, 1, 1))
    })

    test.each<[string, object, string]>([
      ['/own', { k: 'a', l: 'router:pkt', v: 1 }, 'bad_layer_prefix'],
      ['/own', { k: 'a', l: '*stats:api:3', v: 1 }, 'bad_layer_prefix'],
      ['/own', { k: 'a', l: 'turn:data', v: 1 }, 'bad_layer_prefix'],
      ['/own', { k: 'a', l: 'stun:x', v: 1 }, 'bad_layer_prefix'],
      ['/own', { k: 'a', l: 'a b', v: 1 }, 'bad_layer'],
      ['/own', { k: 'a', v: 1 }, 'bad_request'],
      ['/own', { k: 'a', l: 'steps' }, 'value_missing'],
      ['/own', { k: 'a', l: 'steps', v: '1' }, 'bad_sample'],
      ['/own', { k: 'a', l: 'steps', v: null }, 'bad_sample'],
      ['/own', { k: 'a', l: 'steps', v: 1e16 }, 'bad_sample'],
      ['/own', { k: 'a', l: 'steps', v: { sum: 1, min: 2, max: 1, count: 1 } }, 'bad_sample'],
      ['/own', { k: 'a', l: 'steps', v: { sum: 1, min: 1, max: 1, count: 0 } }, 'bad_sample'],
      ['/own', { k: 'a', l: 'steps', v: { sum: 1, min: 1, max: 1, count: 1.5 } }, 'bad_sample'],
      ['/own', { k: '', l: 'steps', v: 1 }, 'bad_key'],
      ['/own', { k: 'a', l: 'steps', v: 1, at: 'soon' }, 'bad_range'],
      ['/own', { k: 'a', l: 'steps', v: 1, at: 99999999999999 }, 'bad_range'],
      ['/', { k: 'a', l: 'steps', v: 1 }, 'bad_segment'],
    ])('%s %j is refused with %s', async (path, body, code) => {
      expect(await async.error(async.put('/_stats' + path, body))).toBe(`400 ${code}`)
    })

    test('cannot be deleted', async () => {
      expect(await async.error(async.delete('/_stats/own?l=steps'))).toBe('405 method_not_allowed')
    })
  })

  describe('the platform counts', () => {
    test('each call of each login, refused ones too, but no failed login', async () => {
      const { secret } = await sys.ok(
        sys.put<{ secret: string }>('/_acc/accounts', {
          k: asyncName + 'b',
          v: { email: `${asyncName}b@async.cl` },
        }),
      )
      const elena = platform.as(asyncName + 'b', secret)
      const count = (path: string, k: string) => async () =>
        (await elena.ok(elena.get<Figure>(`/_stats${path}?l=api:3&k=${k}`))).sum
      for (let i = 0; i < 5; i++) await elena.ok(elena.get('/_data/some'))
      expect(await elena.error(elena.get('/_data/some?k=none'))).toBe('404 not_found')
      await elena.ok(elena.put('/_acc/users/admins', { k: 'boss', v: { password: 'elenas boss' } }))
      const boss = platform.as(asyncName + 'b', 'boss#elenas boss')
      await boss.ok(boss.get('/_data/some'))
      const stranger = platform.as(asyncName + 'b', 'boss#not this')
      expect(await stranger.error(stranger.get('/_data/some'))).toBe('401 unauthorized')

      await eventually(async () => expect(await count('/data/GET', asyncName + 'b')()).toEqual(6))
      await eventually(async () => expect(await count('/data/GET', 'boss')()).toEqual(1))
      await eventually(async () => expect(await count('/acc/PUT', asyncName + 'b')()).toEqual(1))
      const all = await elena.ok(elena.get<Break>('/_stats?l=api:3'))
      expect(Object.keys(all)).toEqual([String(new Date().getUTCFullYear())])
      expect(await elena.ok(elena.get<string[]>('/_stats?a=measurements&l=api:3'))).toEqual(
        expect.arrayContaining(['/acc/PUT', '/data/GET']) as unknown,
      )
      await sys.ok(sys.delete(`/_acc/accounts?k=${asyncName}b`))
    })

    test('what is said on the host bus, for $sys alone', async () => {
      const bus = '/_stats/runtime/hosts/active?l=router:pkt&k=test:signal'
      const said = async () => (await sys.ok(sys.get<Figure>(bus))).count ?? 0
      await until(async () => (await said()) > 2)
      const { sum, min, max, count } = await sys.ok(sys.get<Figure>(bus))
      expect(min).toBeGreaterThan(20)
      expect(max).toBeLessThan(1_000)
      expect(sum).toBeGreaterThanOrEqual(count * min)
      expect(await async.ok(async.get(bus))).toEqual([])
    })

    test('the stats service itself, by 1 each time', async () => {
      const k = `k=${asyncName}&l=api:3&gs=${new Date().getUTCFullYear()}`
      const now = async () => (await async.ok(async.get<Figure>(`/_stats/stats/GET?${k}`))).count ?? 0
      let before = -1
      // Waits until what came before has been written, by asking until an answer differs by exactly what was asked.
      await eventually(async () => {
        const first = await now()
        await new Promise((resolve) => setTimeout(resolve, 300))
        const grew = (await now()) - first
        before = first
        expect(grew).toBe(1)
      })
      expect(before).toBeGreaterThan(0)
    })
  })
})

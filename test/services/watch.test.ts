import { setTimeout as wait } from 'node:timers/promises'
import { BucketName, Key, Path } from '../../core'
import type { Client } from '../client'
import { startPlatform, type Platform } from '../platform'
import { WatchClient } from '../watch-client'

let platform: Platform
let elena: Client
let otto: Client
let sub: Client
const open: WatchClient[] = []

async function account(as: Client, k: string): Promise<string> {
  const { secret } = await as.ok(
    as.put<{ secret: string }>('/_acc/accounts', { k, v: { email: `${k}@async.cl` } }),
  )
  return secret
}

async function watch(
  client: Client,
  target: string,
  options?: Parameters<typeof WatchClient.open>[2],
): Promise<WatchClient> {
  const client_ = await WatchClient.open(client, target, options)
  open.push(client_)
  return client_
}

/** What a client looks at: type, path, key, value. */
const brief = ({ type, path, k, v }: Readonly<Record<string, unknown>>) => [type, path, k, v]
const briefs = (watch: WatchClient) => watch.events.map(({ data }) => brief(data))

interface Polled {
  readonly v: readonly Readonly<Record<string, unknown>>[]
  readonly next: string
}
async function poll(client: Client, target: string): Promise<Polled> {
  const { body, status } = await client.get<Polled['v']>(target)
  expect([status, body.s]).toEqual([200, 'ok'])
  return { v: body.v, next: body.next! }
}

beforeAll(async () => {
  platform = await startPlatform({
    settings: { KV4_STREAM_BEAT_MS: '200', KV4_STREAM_STALL_MS: '400', KV4_WATCH_PER_ACCOUNT: '30' },
  })
  elena = platform.as('elena', await account(platform.sys, 'elena'))
  otto = platform.as('otto', await account(platform.sys, 'otto'))
  sub = platform.as('elena#lily', await account(elena, 'lily'))
})
afterEach(() => {
  for (const each of open.splice(0)) each.close()
})
afterAll(() => platform.close())

describe('a stream', () => {
  it('tells type, path, key, version, by, at and the value, and with prev what was before', async () => {
    const stream = await watch(elena, '/_data/all?watch=1&prev=1')
    expect(stream.response.headers['content-type']).toBe('text/event-stream; charset=utf-8')
    await elena.put('/_data/all', { k: 'x', v: { n: 1 } })
    const { _ver_ } = await elena.ok(elena.put('/_data/all', { k: 'x', v: { n: 2 } }))
    await elena.delete('/_data/all?k=x')
    const [created, updated, removed] = await stream.take(3)
    expect(created).toMatchObject({
      event: 'create',
      data: { type: 'create', path: '/all', k: 'x', layer: '*data', by: 'elena', v: { n: 1 } },
    })
    expect(created!.data['prev']).toBeUndefined()
    expect(updated).toMatchObject({ event: 'update', data: { v: { n: 2 }, prev: { v: { n: 1 } } } })
    expect(updated!.data['version']).toBe(_ver_)
    expect(removed).toMatchObject({ event: 'delete', data: { prev: { v: { n: 2 }, version: _ver_ } } })
    expect(removed!.data).not.toHaveProperty('v')
    expect(Math.abs(Date.now() - (updated!.data['at'] as number))).toBeLessThan(60_000)
  })

  it('tells what is at the path and below, to a depth, or of one key', async () => {
    const [all, here, one, deep] = await Promise.all([
      watch(elena, '/_data/tree?watch=1'),
      watch(elena, '/_data/tree?watch=1&depth=0'),
      watch(elena, '/_data/tree?watch=1&k=x'),
      watch(elena, '/_data/tree?watch=1&k=x&depth=1'),
    ])
    for (const path of ['tree', 'tree/a', 'tree/a/b', 'treehouse'])
      for (const k of ['x', 'y']) await elena.put(`/_data/${path}`, { k, v: path })
    await elena.put('/_data/tree', { k: 'x', v: 'end' })
    for (const each of [all, here, one, deep]) await each.until(() => each.events.at(-1)?.data['v'] === 'end')
    const places = (stream: WatchClient) =>
      stream.events.slice(0, -1).map(({ data }) => `${String(data['path'])} ${String(data['k'])}`)
    expect(places(all)).toEqual([
      '/tree x',
      '/tree y',
      '/tree/a x',
      '/tree/a y',
      '/tree/a/b x',
      '/tree/a/b y',
    ])
    expect(places(here)).toEqual(['/tree x', '/tree y'])
    expect(places(one)).toEqual(['/tree x'])
    expect(places(deep)).toEqual(['/tree x', '/tree/a x'])
  })

  it('goes on behind the last id, by Last-Event-ID or since, and tells nothing twice', async () => {
    const first = await watch(elena, '/_data/resume?watch=1')
    await Promise.all(Array.from({ length: 40 }, (_, i) => elena.put('/_data/resume', { k: `k${i}`, v: i })))
    await first.take(40)
    const ids = first.events.map(({ id }) => id)
    expect(new Set(first.events.map(({ data }) => data['k'])).size).toBe(40)
    expect(new Set(ids).size).toBe(40)
    first.close()
    // Behind each event in turn: what is missed and what is told again would both show.
    for (const at of [0, 1, 17, 38]) {
      const id = ids[at]!
      const again = await watch(elena, '/_data/resume?watch=1', { lastEventId: id })
      const since = await watch(elena, `/_data/resume?watch=1&since=${id}`)
      for (const each of [again, since])
        expect((await each.take(39 - at)).map((event) => event.id).slice(0, 39 - at)).toEqual(
          ids.slice(at + 1),
        )
      await elena.put('/_data/resume', { k: 'live', v: at })
      for (const each of [again, since]) {
        await each.until(() => each.events.at(-1)?.data['k'] === 'live')
        each.close()
      }
    }
    const everything = await watch(elena, '/_data/resume?watch=1&since=0')
    expect((await everything.take(44)).slice(0, 40).map(({ id }) => id)).toEqual(ids)
  })

  it('says where it began, so that what comes before the first event is not missed either', async () => {
    const idle = await watch(elena, '/_data/begin?watch=1')
    await idle.until(() => idle.lastEventId !== '')
    idle.close()
    await elena.put('/_data/begin', { k: 'x', v: 1 })
    const again = await watch(elena, '/_data/begin?watch=1', { lastEventId: idle.lastEventId })
    expect(brief((await again.take(1))[0]!.data)).toEqual(['create', '/begin', 'x', 1])
  })

  it('beats while nothing happens, and moves the id of its reader past what others wrote', async () => {
    const idle = await watch(elena, '/_data/idle?watch=1&k=x')
    await idle.until(() => idle.lastEventId !== '')
    const start = idle.lastEventId
    await elena.put('/_data/elsewhere', { k: 'x', v: 1 })
    const { comments } = idle
    await idle.until(() => idle.comments > comments + 1)
    expect(idle.events).toEqual([])
    const moved = await poll(elena, `/_data?watch=1&wait=0&since=${idle.lastEventId}`)
    const stayed = await poll(elena, `/_data?watch=1&wait=0&since=${start}`)
    expect([moved.v.length, stayed.v.length]).toEqual([0, 1])
  })

  it('of another tenant tells nothing', async () => {
    const streams = await Promise.all([watch(otto, '/_data?watch=1'), watch(sub, '/_data?watch=1')])
    await elena.put('/_data/secret', { k: 'x', v: 'elenas' })
    await otto.put('/_data/own', { k: 'x', v: 'ottos' })
    await sub.put('/_data/own', { k: 'x', v: 'lilys' })
    await Promise.all(streams.map((stream) => stream.take(1)))
    expect(streams.map(briefs)).toEqual([
      [['create', '/own', 'x', 'ottos']],
      [['create', '/own', 'x', 'lilys']],
    ])
    const cursor = (await poll(elena, '/_data?watch=1&wait=0')).next
    expect(await otto.error(otto.get(`/_data?watch=1&since=${cursor}`))).toBe('400 bad_cursor')
  })

  it('drops a reader who does not take what is sent, and holds no more for him than a bound', async () => {
    const slow = await watch(elena, '/_data/slow?watch=1')
    await slow.until(() => slow.lastEventId !== '')
    slow.pause()
    const value = 'x'.repeat(400_000)
    for (let i = 0; i < 60; i++) await elena.put('/_data/slow', { k: `k${i}`, v: value })
    await wait(1_200)
    slow.resume()
    await slow.until(() => slow.ended)
    // Its last word may be lost with the connection, which is cut when it is not taken either.
    const errors = slow.events.filter(({ event }) => event === 'error')
    for (const { data } of errors) expect(data).toEqual({ v: 'reader_too_slow', s: 'error' })
    const told = slow.events.length - errors.length
    expect(told).toBeLessThan(60)
    const again = await watch(elena, '/_data/slow?watch=1', { lastEventId: slow.lastEventId })
    await again.take(60 - told)
    expect([...slow.events.slice(0, told), ...again.events].map(({ data }) => data['k'])).toEqual(
      Array.from({ length: 60 }, (_, i) => `k${i}`),
    )
  }, 60_000)

  it('answers HEAD with its head, and gives the place back', async () => {
    for (let i = 0; i < 40; i++) {
      const head = await watch(elena, '/_data/head?watch=1', { method: 'HEAD' })
      expect(head.status).toBe(200)
      await head.until(() => head.ended)
    }
  })
})

describe('a long poll', () => {
  it('without a cursor gives one at once, and from there every change once', async () => {
    let { v, next } = await poll(elena, '/_data/poll?watch=1&wait=0')
    expect(v).toEqual([])
    for (let i = 0; i < 5; i++) await elena.put('/_data/poll', { k: `k${i}`, v: i })
    const told: unknown[] = []
    for (let i = 0; i < 5; i++) {
      ;({ v, next } = await poll(elena, `/_data/poll?watch=1&wait=0&limit=1&since=${next}`))
      told.push(...v.map(({ k }) => k))
    }
    expect(told).toEqual(['k0', 'k1', 'k2', 'k3', 'k4'])
    expect((await poll(elena, `/_data/poll?wait=0&since=${next}`)).v).toEqual([])
  })

  it('waits for the first change, or to its end', async () => {
    const { next } = await poll(elena, '/_data/poll?watch=1&wait=0')
    const waiting = poll(elena, `/_data/poll?watch=1&wait=20&since=${next}`)
    await wait(50)
    await elena.put('/_data/poll', { k: 'later', v: 1 })
    const { v, next: behind } = await waiting
    expect(v.map(brief)).toEqual([['create', '/poll', 'later', 1]])
    await elena.put('/_data/elsewhere', { k: 'x', v: 2 })
    const { v: none, next: end } = await poll(elena, `/_data/poll?watch=1&wait=1&since=${behind}`)
    expect(none).toEqual([])
    // Past what was written elsewhere: the next poll does not read it again.
    expect((await poll(elena, `/_data?watch=1&wait=0&since=${end}`)).v).toEqual([])
  })
})

describe('what cannot be watched', () => {
  it.each([
    ['/_data/x?watch=1&since=nonsense', '400 bad_cursor'],
    ['/_data/x?watch=1&since=abc~zzz.1', '400 bad_cursor'],
    ['/_data/x?watch=1&wait=61', '400 bad_request'],
    ['/_data/x?watch=2', '400 bad_request'],
    ['/_data/x?watch=1&depth=-1', '400 bad_request'],
    ['/_data/x?watch=1&k2=a', '400 bad_request'],
    ['/_data/x?watch=1&l=*acc', '400 bad_layer_prefix'],
    ['/_data/x?watch=1&limit=0', '400 bad_request'],
    ['/_reg/limits?watch=1', '400 bad_request'],
    ['/_host/runtime/hosts/active?watch=1', '403 forbidden'],
  ])('%s is refused before the stream begins', async (target, refusal) => {
    expect(await elena.error(elena.get(target))).toBe(refusal)
  })

  it('more watches than an account may have are refused, until one of them ends', async () => {
    const cursor = (await poll(otto, '/_data?watch=1&wait=0')).next
    const streams = await Promise.all(
      Array.from({ length: 30 }, () => watch(otto, `/_data/many?watch=1&since=${cursor}`)),
    )
    expect(await otto.error(otto.get('/_data/many?watch=1'))).toBe('403 limit_reached')
    expect(await otto.error(otto.get('/_data/many?watch=1&wait=0'))).toBe('403 limit_reached')
    expect(await otto.error(otto.get('/_reg/events?wait=1'))).toBe('403 limit_reached')
    expect((await otto.get('/_reg/events')).status).toBe(200)
    streams[0]!.close()
    for (let tries = 0; ; tries++) {
      const { status } = await otto.get('/_data/many?watch=1&wait=0')
      if (status === 200) break
      expect(tries).toBeLessThan(100)
      await wait(20)
    }
  })
})

describe('every service', () => {
  it('shows of a login what its GET shows, and nothing that proves it', async () => {
    const accounts = await watch(elena, '/_acc/accounts?watch=1&prev=1')
    const admins = await watch(elena, '/_acc/users/admins?watch=1')
    const self = await watch(sub, '/_acc/self?watch=1')
    await self.until(() => self.lastEventId !== '')
    const secret = await account(elena, 'rose')
    await elena.post('/_acc/accounts', { k: 'lily', v: { company: 'Lilies', password: 'open sesame' } })
    await elena.put('/_acc/users/admins', { k: 'boss', v: { password: 'a bosses word' } })
    await elena.delete('/_acc/accounts?k=rose')
    await accounts.take(3)
    await admins.take(1)
    await self.take(1)
    const { body } = await elena.get('/_acc/accounts?k=lily')
    const { _ver_, ...shown } = body.v
    expect(accounts.events.find(({ data }) => data['k'] === 'lily')).toMatchObject({
      data: {
        type: 'update',
        path: '/accounts',
        layer: '*acc',
        v: shown,
        version: _ver_,
        prev: { v: { company: null } },
      },
    })
    expect(briefs(self)).toEqual([['update', '/accounts', 'lily', shown]])
    expect(briefs(admins)[0]!.slice(0, 3)).toEqual(['create', '/users/admins', 'boss'])
    const text = JSON.stringify([accounts.events, admins.events, self.events])
    expect(text).not.toMatch(/proof|\$hmac|\$scrypt|password|sesame/)
    expect(text).not.toContain(secret)
  })

  it('tells of configuration in the names of its clients, and of a removal once', async () => {
    const all = await watch(elena, '/_conf/production?watch=1&prev=1')
    const one = await watch(elena, '/_conf/production/cassandra?watch=1&k=listen_ip')
    await elena.put('/_conf/production/cassandra', { k: 'listen_ip', v: 'a' })
    await elena.put('/_conf/production/cassandra', { k: 'listen_ip', v: 'b' })
    await elena.put('/_conf/staging/cassandra', { k: 'listen_ip', v: 'c' })
    await elena.delete('/_conf/production/cassandra?k=listen_ip')
    await elena.put('/_conf/production', { k: 'ending', v: 'z' })
    await all.take(4)
    await one.take(3)
    const expected = [
      ['create', '/production/cassandra', 'listen_ip', 'a'],
      ['update', '/production/cassandra', 'listen_ip', 'b'],
      ['delete', '/production/cassandra', 'listen_ip', undefined],
    ]
    expect(briefs(one)).toEqual(expected)
    expect(briefs(all)).toEqual([...expected, ['create', '/production', 'ending', 'z']])
    expect(all.events[1]!.data['prev']).toMatchObject({ v: 'a' })
  })

  it('tells of samples, namespaces, bans, and by name of every layer', async () => {
    const samples = await watch(elena, '/_stats/router?watch=1&l=hits')
    const spaces = await watch(elena, '/_ns/top?watch=1')
    const bans = await watch(elena, '/_auth?watch=1')
    const names = await watch(elena, '/_ds?watch=1')
    await elena.put('/_stats/router/a?l=hits', { k: 'me', v: 3 })
    await elena.put('/_ns/top/below')
    await elena.put('/_auth/far', { k: '203.0.113.7' })
    await elena.put('/_data/named', { k: 'x', v: 'not told', k2: 'nor this' })
    for (const each of [samples, spaces, bans]) await each.take(1)
    await names.until(() => names.events.some(({ data }) => data['path'] === '/named'))
    expect(briefs(samples)[0]!.slice(0, 3)).toEqual(['sample', '/router/a', 'me'])
    expect(samples.events[0]!.event).toBe('sample')
    expect(briefs(spaces)[0]!.slice(0, 2)).toEqual(['create', '/top/below'])
    expect(briefs(bans)[0]!.slice(0, 3)).toEqual(['create', '/far', '203.0.113.7'])
    const told = JSON.stringify(names.events)
    expect(told).not.toMatch(/not told|nor this|"v"/)
    expect(new Set(names.events.map(({ data }) => data['layer']))).toContain('*auth')
  })

  it('shows of services in the registry what its GET shows, without the token that renews them', async () => {
    const stream = await watch(elena, '/_reg/services?watch=1')
    const { token } = await elena.ok(
      elena.put<{ token: string }>('/_reg/services', {
        k: 'db-1',
        v: { heartbeat_timeout: 30, tags: ['db'] },
      }),
    )
    await stream.take(1)
    expect(stream.events[0]!.data).toMatchObject({
      type: 'create',
      k: 'db-1',
      v: { id: 'db-1', tags: ['db'] },
    })
    expect(JSON.stringify(stream.events)).not.toContain(token)
  })
})

describe('whoever may not go on', () => {
  const refused = { event: 'error', data: { v: 'unauthorized', s: 'error' } }
  async function endsWith(stream: WatchClient, expected: object): Promise<void> {
    await stream.until(() => stream.ended)
    expect(stream.events.at(-1)).toMatchObject(expected)
  }

  it('loses the stream, and a poll that waits, when the secret is rotated away', async () => {
    const mia = platform.as('miapa', await account(platform.sys, 'miapa'))
    const stream = await watch(mia, '/_data?watch=1')
    const waiting = mia.error(mia.get('/_data?watch=1&wait=30'))
    const other = await watch(elena, '/_data?watch=1')
    await wait(50)
    await platform.sys.post('/_acc/accounts', { k: 'miapa', v: { secret: 'rotate', secret_overlap: 0 } })
    await endsWith(stream, refused)
    expect(await waiting).toBe('401 unauthorized')
    expect(other.ended).toBe(false)
  })

  it.each([
    ['deactivated', { active: false }],
    ['deleted', undefined],
  ])('loses it when the account is %s, with its sub-accounts', async (what, change) => {
    const k = `gone-${what}`
    const gone = platform.as(k, await account(platform.sys, k))
    const kid = platform.as(`${k}#kiddo`, await account(gone, 'kiddo'))
    const streams = [await watch(gone, '/_data?watch=1'), await watch(kid, '/_data?watch=1')]
    await wait(50)
    if (change === undefined) await platform.sys.delete(`/_acc/accounts?k=${k}`)
    else await platform.sys.post('/_acc/accounts', { k, v: change })
    for (const stream of streams) {
      await stream.until(() => stream.ended)
      expect(['unauthorized', 'bucket_not_found']).toContain(stream.events.at(-1)?.data['v'])
    }
  })

  it('loses it as an administrator whose password is changed', async () => {
    await elena.put('/_acc/users/admins', { k: 'ada', v: { password: 'first word' } })
    const stream = await watch(platform.as('elena', 'ada#first word'), '/_data?watch=1')
    await wait(50)
    await elena.post('/_acc/users/admins', { k: 'ada', v: { password: 'second word' } })
    await endsWith(stream, refused)
  })

  it('loses it when his address is denied the path, and no other', async () => {
    const below = await watch(sub, '/_data/denied/below?watch=1')
    const events = await watch(sub, '/_data/fine?watch=1')
    await wait(50)
    // Over the engine, since nobody may deny the address that he comes from.
    const { layer } = platform.context.bans
    await platform.engine
      .bucket(BucketName.of('elena', 'lily'))
      .put({ layer, path: Path.parse('/denied'), key: Key.parse('127.0.0.1') }, {}, { by: 'lily' })
    await endsWith(below, { event: 'error', data: { v: 'forbidden' } })
    expect(events.ended).toBe(false)
  })

  it('loses the events of the registry too', async () => {
    const uma = platform.as('umapa', await account(platform.sys, 'umapa'))
    const stream = await WatchClient.open(uma, '/_reg/events', { accept: 'text/event-stream' })
    await wait(50)
    await platform.sys.post('/_acc/accounts', { k: 'umapa', v: { active: false } })
    await endsWith(stream, refused)
  })
})

import { Webhook } from 'standardwebhooks'
import { BucketName, Key, Layer, Path } from '../../../core'
import { HookBook } from '../../../services/hook-book'
import type { Client } from '../../client'
import { eventually } from '../../eventually'
import { makeAccount } from '../../server/external/world'
import { startPlatform, type Platform } from '../../platform'
import { Receiver, answer, hang, ok, reset, type Answering } from './receiver'

let platform: Platform
let elena: Client
const receivers: Receiver[] = []
let accounts = 0

beforeAll(async () => {
  platform = await startPlatform({
    settings: {
      KV4_HOOKS_ALLOW: '127.0.0.0/8',
      KV4_HOOKS_RETRIES_MS: '50,50,100,200',
      KV4_HOOKS_TIMEOUT_MS: '300',
    },
  })
})
afterAll(() => platform.close())
beforeEach(async () => {
  const name = `elena${++accounts}`
  elena = platform.as(name, await makeAccount(platform.sys, name))
})
afterEach(async () => {
  await Promise.all(receivers.splice(0).map((receiver) => receiver.close()))
})

async function receive(answering?: Answering): Promise<Receiver> {
  const receiver = await Receiver.start(answering)
  receivers.push(receiver)
  return receiver
}

const hook = (endpoint: string, more: object = {}, k = 'h', path = '/a') =>
  elena.ok(elena.put<Record<string, unknown>>(`/_hooks${path}`, { k, v: { endpoint, ...more } }))
const put = (k: string, v: unknown, path = '/a') => elena.ok(elena.put(`/_data${path}`, { k, v }))
const status = async (k = 'h', path = '/a') =>
  await elena.ok(elena.get<{ status: Record<string, any>; disabled?: unknown }>(`/_hooks${path}?k=${k}`)) // eslint-disable-line @typescript-eslint/no-explicit-any

it('tells of what happens from the registration on, at the path and below', async () => {
  const receiver = await receive()
  await put('before', 1)
  await hook(receiver.url)
  await put('k', { n: 1 })
  await put('k', { n: 2 })
  await elena.ok(elena.delete('/_data/a?k=k'))
  await put('deep', 'x', '/a/b/c')
  await put('k', 'elsewhere', '/ab')
  await eventually(() => expect(receiver.received).toHaveLength(4))
  expect(receiver.changes).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ type: 'create', path: '/a', k: 'k', layer: '*data', v: { n: 1 } }),
      expect.objectContaining({ type: 'update', k: 'k', v: { n: 2 } }),
      expect.objectContaining({ type: 'create', path: '/a/b/c', k: 'deep', v: 'x' }),
    ]),
  )
  const ofK = receiver.changes.filter(({ k }) => k === 'k')
  expect(ofK.map(({ type }) => type)).toEqual(['create', 'update', 'delete'])
  expect(ofK[2]).not.toHaveProperty('v')
  await eventually(async () =>
    expect((await status()).status).toMatchObject({
      delivered: 4,
      backlog: 0,
      last: { ok: true, status: 204 },
    }),
  )
})

it('tries again what was refused, hung or reset, in order per key and without delaying other keys', async () => {
  const failures: Answering[] = [answer(500), hang, reset, answer(302, { location: 'http://127.0.0.1:1/' })]
  const receiver = await receive((received, response, request) => {
    const { k, v } = (JSON.parse(received.body) as { data: { k: string; v: number } }).data
    if (k === 'bad' && v === 1 && failures.length > 0) failures.shift()!(received, response, request)
    else ok(received, response, request)
  })
  await hook(receiver.url)
  await put('bad', 1)
  await put('bad', 2)
  await put('good', 1)
  await put('bad', 3)
  await eventually(() => expect(receiver.received).toHaveLength(8))
  const order = receiver.changes.map(({ k, v }) => `${String(k)}${String(v)}`)
  expect(order.filter((name) => name.startsWith('bad'))).toEqual([
    'bad1',
    'bad1',
    'bad1',
    'bad1',
    'bad1',
    'bad2',
    'bad3',
  ])
  expect(order.indexOf('good1')).toBeLessThan(order.indexOf('bad2'))
  const ids = new Set(
    receiver.received.filter((_, i) => order[i] === 'bad1').map(({ headers }) => headers['webhook-id']),
  )
  expect(ids.size).toBe(1)
})

it('is signed as the reference library wants it, by the old secret too for a while after a rotation', async () => {
  const receiver = await receive()
  const { secret } = (await hook(receiver.url)) as { secret: string }
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  await put('k', 1)
  await eventually(() => expect(receiver.received).toHaveLength(1))
  const rotated = await elena.ok(elena.post<{ secret: string }>('/_hooks/a?k=h&rotate'))
  expect(rotated.secret).not.toBe(secret)
  await put('k', 2)
  await eventually(() => expect(receiver.received).toHaveLength(2))
  const verify = (i: number, by: string) => () =>
    new Webhook(by).verify(
      receiver.received[i]!.body,
      receiver.received[i]!.headers as Record<string, string>,
    )
  expect(verify(0, secret)()).toMatchObject({
    type: 'entry.created',
    timestamp: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
    data: { path: '/a', k: 'k', layer: '*data', type: 'create', v: 1, by: elena.user, version: 'v1' },
  })
  expect(verify(0, rotated.secret)).toThrow()
  expect(verify(1, secret)).not.toThrow()
  expect(verify(1, rotated.secret)).not.toThrow()
  const { headers, method } = receiver.received[0]!
  expect([method, headers['content-type']]).toEqual(['POST', 'application/json'])
  // Shown once: not by GET, not by a change, and not in the store.
  expect(JSON.stringify(await elena.get('/_hooks/a?k=h'))).not.toContain('whsec_')
  expect(JSON.stringify(await hook(receiver.url))).not.toContain('whsec_')
  const bucket = platform.engine.bucket(BucketName.of(elena.user))
  const stored = await bucket.history({
    layer: Layer.parse('*hooks'),
    path: Path.parse('/a'),
    key: Key.parse('h'),
  })
  expect(stored.items).toHaveLength(3)
  expect(JSON.stringify(stored)).not.toContain(secret.slice('whsec_'.length))
})

it('tells only of the events, depth, key and names that are asked for, without values if so', async () => {
  const receiver = await receive()
  for (const [k, more] of Object.entries({
    deletes: { events: ['delete'] },
    here: { depth: 0 },
    key: { key: 'k' },
    prefix: { prefix: 'b/test' },
    blind: { values: false, depth: 0, key: 'k' },
    own: { layer: 'mine' },
  }))
    await hook(`${receiver.url}/${k}`, more, k)
  await put('k', { secret: 1 })
  await put('x', 1)
  await put('test1', 1, '/a/b')
  await put('tes', 1, '/a/b')
  await elena.ok(elena.put('/_data/a?l=mine', { k: 'own', v: 1 }))
  await elena.ok(elena.delete('/_data/a?k=x'))
  const seen = () =>
    receiver.received
      .map(
        ({ path }, i) =>
          `${path.slice(6)} ${String(receiver.changes[i]!.type)} ${String(receiver.changes[i]!.k)}`,
      )
      .sort()
  await eventually(() => expect(seen()).toHaveLength(8))
  expect(seen()).toEqual([
    'blind create k',
    'deletes delete x',
    'here create k',
    'here create x',
    'here delete x',
    'key create k',
    'own create own',
    'prefix create test1',
  ])
  expect(receiver.changes[seen().length - 1]).toBeDefined()
  const blind = receiver.received.find(({ path }) => path.endsWith('blind'))!
  expect(blind.body).not.toContain('secret')
})

it('leaves a value out that makes the body too large, and says so', async () => {
  const receiver = await receive()
  await hook(receiver.url)
  await put('k', 'x'.repeat(300_000))
  await eventually(() => expect(receiver.received).toHaveLength(1))
  expect(receiver.changes[0]).toMatchObject({ k: 'k', omitted: ['v'] })
  expect(receiver.changes[0]).not.toHaveProperty('v')
})

it('stops at a 410, tells why, and when it is enabled again sends what has happened meanwhile', async () => {
  const receiver = await receive(answer(410))
  await hook(receiver.url)
  await put('k', 1)
  await eventually(async () =>
    expect(await status()).toMatchObject({
      disabled: { reason: 'the endpoint answered 410 Gone', at: expect.any(Number) as unknown },
      status: { last: { ok: false, status: 410 } },
    }),
  )
  const before = receiver.received.length
  receiver.answering = ok
  await put('k', 2)
  await put('other', 1)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(receiver.received).toHaveLength(before)
  expect((await status()).status).toMatchObject({ backlog: 3, delivered: 0 })
  expect(await elena.ok(elena.post('/_hooks/a?k=h&enable'))).not.toHaveProperty('disabled')
  await eventually(() => expect(receiver.received.length).toBe(before + 3))
  const values = receiver.changes.slice(before).filter(({ k }) => k === 'k')
  expect(values.map(({ v }) => v)).toEqual([1, 2])
})

it('after the last try keeps an event as a dead letter, which can be read, sent again and removed', async () => {
  const receiver = await receive((received, response, request) =>
    answer(received.body.includes('poison') ? 500 : 200)(received, response, request),
  )
  await hook(receiver.url)
  await put('k', 'poison 1')
  await put('k', 'fine')
  await put('x', 'poison 2')
  type Dead = { id: string; tries: number; body: string; last: object }[]
  const dead = async (more = '') => (await elena.get<Dead>(`/_hooks/a?k=h&dead${more}`)).body
  await eventually(async () => expect((await dead()).v).toHaveLength(2))
  const { v: letters } = await dead()
  expect(letters[0]).toMatchObject({ tries: 5, last: { ok: false, status: 500 } })
  await eventually(async () =>
    expect((await status()).status).toMatchObject({ dead: 2, aside: 0, delivered: 1, backlog: 0 }),
  )
  expect(receiver.changes.filter(({ v }) => v === 'fine')).toHaveLength(1)
  const page = await dead('&limit=1')
  expect([page.v.length, typeof page.next]).toEqual([1, 'string'])
  expect((await dead(`&limit=1&after=${encodeURIComponent(page.next!)}`)).v).toEqual([letters[1]])

  receiver.answering = ok
  const came = receiver.received.length
  await elena.ok(elena.post(`/_hooks/a?k=h&resend&id=${letters[0]!.id}`))
  await eventually(() => expect(receiver.received).toHaveLength(came + 1))
  expect(receiver.received.at(-1)).toMatchObject({
    body: letters[0]!.body,
    headers: { 'webhook-id': letters[0]!.id },
  })
  await eventually(async () => expect((await dead()).v).toHaveLength(1))
  await elena.ok(elena.post('/_hooks/a?k=h&resend'))
  await eventually(async () => expect((await dead()).v).toEqual([]))
  await eventually(() => expect(receiver.received).toHaveLength(came + 2))

  receiver.answering = answer(500)
  await put('k', 'poison 3')
  await eventually(async () => expect((await dead()).v).toHaveLength(1))
  expect(await elena.ok(elena.delete('/_hooks/a?k=h&dead'))).toBe(1)
  expect((await dead()).v).toEqual([])
})

it('sends any past interval again from the series, each key in its order, with the same ids', async () => {
  const receiver = await receive()
  await put('old', 1)
  await new Promise((resolve) => setTimeout(resolve, 5))
  const from = Date.now()
  await put('k', 1)
  await put('k', 2)
  await put('gone', 1)
  await elena.ok(elena.delete('/_data/a?k=gone'))
  const to = Date.now()
  await new Promise((resolve) => setTimeout(resolve, 5))
  await put('k', 3)
  await hook(receiver.url)
  await put('k', 4)
  await eventually(() => expect(receiver.received).toHaveLength(1))
  const replay = async () => {
    const before = receiver.received.length
    await elena.ok(elena.post(`/_hooks/a?k=h&replay&from=${from}&to=${to}`))
    await eventually(async () =>
      expect((await status()).status).toMatchObject({ replayed: { from, to, sent: 4 } }),
    )
    await eventually(() => expect(receiver.received).toHaveLength(before + 4))
    return receiver.received.slice(before)
  }
  const first = await replay()
  const told = first.map(
    ({ body }) => (JSON.parse(body) as { data: { k: string; type: string; v?: unknown } }).data,
  )
  expect(told.filter(({ k }) => k === 'k').map(({ v }) => v)).toEqual([1, 2])
  expect(told.filter(({ k }) => k === 'gone').map(({ type }) => type)).toEqual(['create', 'delete'])
  const ids = (all: typeof first) => new Set(all.map(({ headers }) => headers['webhook-id']))
  expect(ids(await replay())).toEqual(ids(first))
  for (const query of ['', '&from=soon', `&from=${to}&to=${from}`, '&from=2099-01-01'])
    expect(await elena.error(elena.post(`/_hooks/a?k=h&replay${query}`))).toBe('400 bad_range')
  expect(await elena.error(elena.post(`/_hooks/a?k=none&replay&from=${from}`))).toBe('404 not_found')
  expect(await elena.error(elena.post('/_hooks/a?k=h&enable&rotate'))).toBe('400 bad_request')
})

it('a slow or dead endpoint delays nobody else', async () => {
  const dead = await receive(hang)
  const alive = await receive()
  await hook(dead.url, {}, 'dead')
  await hook(alive.url, {}, 'alive')
  for (let i = 0; i < 60; i++) await put(`k${i}`, i)
  await eventually(() => expect(alive.received).toHaveLength(60))
  // One that hangs whatever it is sent is left in peace, and what it is to be told waits.
  expect(new Set(dead.changes.map(({ k }) => k)).size).toBeLessThan(50)
  expect((await status('dead')).status).toMatchObject({ delivered: 0 })
  await eventually(async () =>
    expect((await status('alive')).status).toMatchObject({ delivered: 60, backlog: 0 }),
  )
  dead.answering = ok
  await eventually(async () => {
    const { status: now } = await status('dead')
    expect([now.backlog, now.delivered + now.dead]).toEqual([0, 60])
  }, 25_000)
})

it('as many slow endpoints as an account has calls delay no other one, be it at the same host', async () => {
  const patient = await startPlatform({ settings: { KV4_HOOKS_ALLOW: '127.0.0.0/8' } })
  try {
    const held: (() => void)[] = []
    const receiver = await receive((received, response, request) => {
      if (received.path === '/hook') ok(received, response, request)
      else held.push(() => ok(received, response, request))
    })
    const api = patient.sys
    const wanted = (k: string, path: string) =>
      api.ok(api.put('/_hooks/a', { k, v: { endpoint: new URL(path, receiver.url).href } }))
    for (let i = 0; i < 5; i++) await wanted(`slow${i}`, `/slow/${i}`)
    for (let i = 0; i < 20; i++) await api.ok(api.put('/_data/a', { k: `k${i}`, v: i }))
    await eventually(() => expect(held.length).toBeGreaterThanOrEqual(32))
    await wanted('fast', '/hook')
    for (let i = 0; i < 20; i++) await api.ok(api.put('/_data/a', { k: `k${i}`, v: i }))
    const came = () => receiver.received.filter(({ path }) => path === '/hook')
    // The slow ones have 15 s.
    await eventually(() => expect(came()).toHaveLength(20), 10_000)
    receiver.answering = ok
    for (const go of held) go()
  } finally {
    await patient.close()
  }
}, 60_000)

it('registers, lists, changes and removes', async () => {
  const receiver = await receive()
  const other = await receive()
  expect((await elena.put('/_hooks/a', { k: 'h', v: { endpoint: receiver.url } })).status).toBe(201)
  await hook(receiver.url, { description: 'deep' }, 'deep', '/a/b')
  expect(await elena.ok(elena.get('/_hooks/a'))).toEqual(['h'])
  const below = await elena.ok(elena.get<{ path: string; k: string }[]>('/_hooks?as=values&depth=9'))
  expect(below.map(({ path, k }) => `${path} ${k}`)).toEqual(['/a h', '/a/b deep'])
  const one = await elena.get<Record<string, unknown>>('/_hooks/a?k=h')
  expect(one.body.v).toMatchObject({
    k: 'h',
    path: '/a',
    endpoint: receiver.url,
    layer: '*data',
    status: { delivered: 0 },
  })
  // What was got can be sent back.
  const { status: code } = await elena.put('/_hooks/a', { k: 'h', v: { ...one.body.v, endpoint: other.url } })
  expect(code).toBe(200)
  expect(await elena.error(elena.put('/_hooks/a', { k: 'h', v: { ...one.body.v } }))).toBe(
    '409 version_conflict',
  )
  expect(
    await elena.error(
      elena.put('/_hooks/a', { k: 'h', v: { endpoint: other.url } }, { 'If-None-Match': '*' }),
    ),
  ).toBe('412 precondition_failed')
  await put('k', 1)
  await eventually(() => expect(other.received).toHaveLength(1))
  expect(receiver.received).toEqual([])
  expect(await elena.ok(elena.delete('/_hooks/a?k=h'))).toBe(1)
  expect(await elena.error(elena.delete('/_hooks/a?k=h'))).toBe('404 not_found')
  await put('k', 2)
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(other.received).toHaveLength(1)
  // Made again it is another: it begins now.
  await hook(other.url)
  await put('k', 3)
  await eventually(() => expect(other.received).toHaveLength(2))
  expect(other.changes[1]!.v).toBe(3)
})

it('refuses what it cannot do, each with a clear error', async () => {
  const { url } = await receive()
  const bad = async (v: unknown) => {
    const { status: code, body } = await elena.put<unknown>('/_hooks/a', { k: 'h', v })
    return `${code} ${String(body.v)} ${JSON.stringify(body.d ?? {})}`
  }
  expect(await bad(undefined)).toMatch(/^400 value_missing/)
  expect(await bad({})).toMatch(/^400 bad_request .*endpoint/)
  expect(await bad({ endpoint: url, event: ['delete'] })).toMatch(/^400 bad_request/)
  expect(await bad({ endpoint: url, events: ['deleted'] })).toMatch(/^400 bad_request .*events/)
  expect(await bad({ endpoint: url, depth: -1 })).toMatch(/^400 bad_request .*depth/)
  expect(await bad('http://127.0.0.1/')).toMatch(/^400 bad_request/)
  for (const layer of ['*acc', '*auth', '*hooks', '*hooks:progress', '*reg', '*reg:tokens', '*nobody'])
    expect(await bad({ endpoint: url, layer })).toMatch(/^400 bad_layer_prefix/)
  expect(await bad({ endpoint: url, layer: '^claims' })).toMatch(/^400 bad_layer /)
  expect(await elena.error(elena.put('/_hooks/a', { v: { endpoint: url } }))).toBe('400 key_missing')
  expect(await elena.error(elena.get('/_hooks/a?k=h'))).toBe('404 not_found')
  expect(await elena.error(elena.get('/_hooks/a?dead'))).toBe('400 key_missing')
  expect(await elena.ok(elena.get('/_hooks/a'))).toEqual([])
})

it('an account has at most 100', async () => {
  const { url } = await receive()
  for (let i = 0; i < 100; i++) await hook(url, {}, `h${i}`, `/p${i % 7}`)
  expect(await elena.error(elena.put('/_hooks/p', { k: 'one more', v: { endpoint: url } }))).toMatch(
    /limit_reached$/,
  )
  await hook(url, { depth: 1 }, 'h1', '/p1')
})

it('delivers hooks of services, with their own bodies and without a signature', async () => {
  const receiver = await receive()
  const book = HookBook.of(platform.context)
  book.declare({
    name: 'test format',
    signed: false,
    timeoutMs: 200,
    message: (event, { address }, id) => ({
      body: `${address.name} ${event.address.key} ${id}`,
      headers: {},
    }),
  })
  const bucket = platform.engine.bucket(BucketName.of(elena.user))
  const address = { service: 'tests', path: Path.parse('/test'), name: Key.parse('h1') }
  const wanted = {
    endpoint: receiver.url,
    format: 'test format',
    layer: Layer.parse('*data'),
    path: Path.root,
    prefix: 'test',
  }
  const { stored, created } = await book.put(bucket, address, wanted, { by: 'tests', expect: 'absent' })
  expect(created).toBe(true)
  await expect(book.put(bucket, address, wanted, { by: 'tests', expect: 'absent' })).rejects.toMatchObject({
    code: 'version_conflict',
  })
  await put('test2', 1, '/')
  await put('other', 1, '/')
  await put('h', 1, '/test')
  await eventually(() => expect(receiver.received).toHaveLength(2))
  expect(receiver.received.map(({ body }) => body.split(' ').slice(0, 2).join(' ')).sort()).toEqual([
    'h1 h',
    'h1 test2',
  ])
  expect(receiver.received[0]!.headers).not.toHaveProperty('content-type')
  expect(receiver.received[0]!.headers).not.toHaveProperty('webhook-signature')
  await eventually(async () =>
    expect(await book.status(bucket, stored.hook)).toMatchObject({
      delivered: 2,
      lastHit: expect.any(Number) as unknown,
    }),
  )
  // In a tree of their own: the account's listing does not show them.
  expect(await elena.ok(elena.get('/_hooks?as=values&depth=9'))).toEqual([])
  expect(
    (await book.list(bucket, { service: 'tests', path: Path.parse('/test') })).map(
      ({ address: { name } }) => name,
    ),
  ).toEqual(['h1'])
  expect(await book.remove(bucket, address, { by: 'tests' })).toBe(true)
  await put('test3', 1, '/')
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(receiver.received).toHaveLength(2)
})

it('of an account that is deleted and made again nothing is left', async () => {
  const receiver = await receive()
  await hook(receiver.url)
  await put('k', 1)
  await eventually(() => expect(receiver.received).toHaveLength(1))
  await platform.sys.ok(platform.sys.delete(`/_acc/accounts?k=${elena.user}`))
  elena = platform.as(elena.user, await makeAccount(platform.sys, elena.user))
  await put('k', 2)
  expect(await elena.ok(elena.get('/_hooks/a'))).toEqual([])
  await hook(receiver.url)
  await put('k', 3)
  await eventually(() => expect(receiver.received).toHaveLength(2))
  expect(receiver.changes[1]!.v).toBe(3)
})

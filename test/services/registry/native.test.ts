import { setTimeout as wait } from 'node:timers/promises'
import { ask } from '../../server/world'
import { SYS, newAccount, openStream, openWorld, take } from './world'
import type { Event, RegistryClient, World } from './world'

let world: World
let names = 0
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

const account = (): Promise<RegistryClient> => newAccount(world.server.port, `native-${++names}`)

test('services and sessions in the envelope', async () => {
  const client = await account()
  const put = await client.native('PUT', '/_reg/services', {
    k: 'svc',
    v: { heartbeat_timeout: 60, tags: ['a'] },
  })
  expect([put.status, put.json.s]).toEqual([201, 'ok'])
  const beat = await client.native('POST', '/_reg/services/heartbeat', { k: 'svc', v: put.json.v })
  expect(beat.json.v.token).not.toBe(put.json.v.token)
  const again = await client.native('POST', '/_reg/services/heartbeat', { k: 'svc', v: put.json.v })
  expect([again.status, again.json]).toEqual([409, { v: 'bad_token', s: 'error', d: { k: 'svc' } }])
  expect(
    (await client.native('PUT', '/_reg/services', { k: 'svc', v: { heartbeat_timeout: 60 } })).json.v,
  ).toBe('service_exists')
  const post = await client.native('POST', '/_reg/services', { k: 'svc', v: { metadata: { x: 'y' } } })
  expect(post.json.v).toMatchObject({ id: 'svc', tags: ['a'], metadata: { x: 'y' } })

  const session = (await client.native('PUT', '/_reg/sessions', { v: { heartbeat_timeout: 60 } })).json.v as {
    id: string
    token: string
  }
  await client.native('PUT', '/_reg/services', { k: 'child', v: { session_id: session.id } })
  expect((await client.native('GET', '/_reg/overview')).json.v).toMatchObject([
    { session: { id: session.id }, services: [{ id: 'child' }] },
  ])
  const renewed = await client.native('POST', '/_reg/sessions/heartbeat', {
    k: session.id,
    v: { token: session.token },
  })
  expect(renewed.status).toBe(200)

  const page = (await client.native('GET', '/_reg/services?limit=1')).json
  expect(page).toMatchObject({ v: [{ id: 'child' }], next: 'svc' })
  expect((await client.native('GET', '/_reg/services?limit=1&after=svc')).json).toMatchObject({
    v: [{ id: 'svc' }],
  })
  expect((await client.native('GET', '/_reg/services?tag=a')).json.v).toMatchObject([{ id: 'svc' }])
  expect((await client.native('DELETE', '/_reg/services?k=svc')).json.v).toBe(1)
  expect((await client.native('GET', '/_reg/services?k=svc')).json.v).toBe('not_found')
  const bad = await client.native('PUT', '/_reg/services', { k: 'x', v: { heartbeat_timeout: 60 } })
  expect([bad.status, bad.json.v, bad.json.d.key]).toEqual([400, 'bad_request', 'id'])
})

test('an account sees its own, whatever the other has', async () => {
  const [one, other] = [await account(), await account()]
  await one.native('PUT', '/_reg/services', { k: 'mine', v: { heartbeat_timeout: 60 } })
  await one.native('PUT', '/_conf', { k: 'mine', v: 'x' })
  for (const path of ['/_reg/services', '/_reg/events', '/_conf'])
    expect((await other.native('GET', path)).json.v).toEqual([])
  expect((await other.native('GET', '/_reg/services?k=mine')).status).toBe(404)
  expect((await ask(world.server.port, 'GET', '/_reg/services')).status).toBe(401)
})

test('configuration is written and removed under a condition', async () => {
  const client = await account()
  const call = (method: string, headers: Record<string, string>, v?: string) =>
    ask(client.port, method, v === undefined ? '/_conf/production?k=limit' : '/_conf/production', {
      as: client.as,
      headers,
      ...(v !== undefined && { body: { k: 'limit', v } }),
    })
  expect((await call('PUT', { 'If-Match': '*' }, '1')).status).toBe(412)
  const made = await call('PUT', { 'If-None-Match': '*' }, '1')
  expect(made.status).toBe(201)
  expect((await call('PUT', { 'If-None-Match': '*' }, '2')).status).toBe(412)
  const { headers } = await call('GET', {})
  expect(headers.etag).toBe(made.headers.etag)
  expect((await call('GET', { 'If-None-Match': headers.etag! })).status).toBe(304)
  const changed = await call('PUT', { 'If-Match': headers.etag! }, '2')
  expect([changed.status, changed.headers.etag === headers.etag]).toEqual([200, false])
  expect((await call('PUT', { 'If-Match': headers.etag! }, '3')).json).toEqual({
    v: 'precondition_failed',
    s: 'error',
  })
  expect((await call('DELETE', { 'If-Match': headers.etag! })).status).toBe(412)
  // What is there already is no other version.
  expect((await call('PUT', {}, '2')).headers.etag).toBe(changed.headers.etag)
  expect((await call('DELETE', { 'If-Match': changed.headers.etag! })).status).toBe(200)
  // Of many who saw the same, one writes.
  const first = (await call('PUT', {}, '0')).headers.etag!
  const all = await Promise.all(
    Array.from({ length: 8 }, (_, i) => call('PUT', { 'If-Match': first }, `by ${i}`)),
  )
  expect(all.map(({ status }) => status).sort()).toEqual([200, ...Array<number>(7).fill(412)])
})

test('what asks for something of one value needs its key', async () => {
  const client = await account()
  for (const query of ['at=2026-01-01', 'time_series=1', 'gs=2026', 'ge=2026']) {
    const { status, json } = await client.native('GET', `/_conf?${query}`)
    expect([status, json.v]).toEqual([400, 'bad_request'])
  }
})

test('configuration has namespaces and its history', async () => {
  const client = await account()
  await client.native('PUT', '/_conf/production/cassandra', { k: 'listen_ip', v: '10.0.0.1' })
  const between = Date.now()
  await wait(5)
  await client.native('PUT', '/_conf/production/cassandra', { k: 'listen_ip', v: '10.0.0.2' })
  await client.native('PUT', '/_conf/production', { k: 'region', v: 'dfw' })
  expect((await client.native('GET', '/_conf/production/cassandra')).json.v).toEqual([
    { id: '/production/cassandra/listen_ip', value: '10.0.0.2' },
  ])
  expect((await client.native('GET', '/_conf/production')).json.v).toHaveLength(2)
  const one = '/_conf/production/cassandra?k=listen_ip'
  expect((await client.native('GET', one)).json.v).toBe('10.0.0.2')
  expect((await client.native('GET', `${one}&at=${between}`)).json.v).toBe('10.0.0.1')
  expect((await client.native('DELETE', one)).json.v).toBe(1)
  const rows = (await client.native('GET', `${one}&time_series=1`)).json.v as [
    number,
    string,
    string | null,
  ][]
  expect(rows.map(([, by, value]) => [by, value])).toEqual([
    [client.user, null],
    [client.user, '10.0.0.2'],
    [client.user, '10.0.0.1'],
  ])
  const first = (await client.native('GET', `${one}&time_series=1&limit=2`)).json
  expect((await client.native('GET', `${one}&time_series=1&after=${first.next}`)).json.v).toHaveLength(1)
  expect((await client.native('GET', one)).status).toBe(404)
})

test('the history of a value is read period by period, and as it was at an instant', async () => {
  const client = await account()
  const instants: number[] = []
  for (const v of ['one', 'two']) {
    await wait(1_010 - (Date.now() % 1_000))
    await client.native('PUT', '/_conf/app', { k: 'port', v })
    instants.push(Date.now())
    await wait(5)
  }
  const [afterFirst, afterSecond] = instants as [number, number]
  const asked = async (query: string) =>
    (await client.native('GET', `/_conf/app?k=port&${query}`)).json as { v: unknown }
  const iso = (at: number) => new Date(at).toISOString()
  for (const at of [String(afterFirst), iso(afterFirst), iso(afterFirst).replace('Z', '%2B00:00')])
    expect((await asked(`at=${at}`)).v).toBe('one')
  expect((await asked(`at=${iso(afterSecond)}`)).v).toBe('two')
  expect((await asked('at=2020-01-01')).v).toBe('not_found')
  expect((await asked('at=tomorrow')).v).toBe('bad_range')

  const period = (at: number) => iso(at).slice(0, 19).replaceAll(/[-T]/g, ':')
  const rows = async (query = '') =>
    (await asked(`time_series=1${query && '&' + query}`)).v as [number, string, string][]
  const values = async (query: string) => (await rows(query)).map(([, , value]) => value)
  const [second, first] = (await rows()).map(([at]) => at * 1_000) as [number, number]
  expect(await values(`gs=${period(first)}`)).toEqual(['one'])
  expect(await values(`gs=${period(second)}`)).toEqual(['two'])
  expect(await values(`gs=${period(first)}&ge=${period(second)}`)).toEqual(['two', 'one'])
  expect(await values(`ge=${period(first)}`)).toEqual(['one'])
  expect(await values('gs=2020&ge=2025')).toEqual([])
  for (const range of ['gs=soon', `gs=${iso(first)}`, `gs=${period(second)}&ge=${period(first)}`])
    expect((await asked(`time_series=1&${range}`)).v).toBe('bad_range')
})

test('a configuration value has one name, whatever slashes its id has', async () => {
  const client = await account()
  await client.login()
  const ids = ['/abc', '/abc//def', '/abc/def', 'abc']
  for (const id of ids) expect((await client.put(`/configuration/${id}`, { value: id })).status).toBe(204)
  const listed = (await client.native('GET', '/_conf')).json.v as { id: string }[]
  expect(listed.map(({ id }) => id)).toEqual(ids)
  const names = ['/_conf?k=/abc', '/_conf?k=/abc//def', '/_conf/abc?k=def', '/_conf?k=abc']
  for (const [i, name] of names.entries()) expect((await client.native('GET', name)).json.v).toBe(ids[i])
  // A path that is denied must not be reached by another one.
  for (const other of ['/_conf?k=/abc/def', '/_conf/abc?k=/def', '/_conf?k=abc/def']) {
    const { status, json } = await client.native('GET', other)
    expect([status, json.v, json.d.parameter]).toEqual([400, 'bad_request', 'k'])
  }
  // A watcher is told the same names.
  const watch = await openStream(client, '/_conf?watch=1&since=0')
  let text = ''
  for await (const chunk of watch.setEncoding('utf8')) {
    text += chunk as string
    if (text.split('"k":').length > ids.length) break
  }
  const told = [...text.matchAll(/"path":"([^"]*)","k":"([^"]*)"/g)].map(([, path, k]) => [path, k])
  expect(told).toEqual([
    ['/', '/abc'],
    ['/', '/abc//def'],
    ['/abc', 'def'],
    ['/', 'abc'],
  ])
})

test('a long poll answers when something happens, from where its reader was', async () => {
  const client = await account()
  await client.native('PUT', '/_conf', { k: 'one', v: '1' })
  const { v, next } = (await client.native('GET', '/_reg/events')).json as { v: Event[]; next: string }
  expect(v.map(({ id }) => id)).toEqual([next])
  const poll = client.native('GET', `/_reg/events?after=${next}&wait=20`)
  await wait(200)
  const start = performance.now()
  await client.native('PUT', '/_conf', { k: 'two', v: '2' })
  const answer = (await poll).json as { v: Event[]; next: string }
  expect(performance.now() - start).toBeLessThan(2_000)
  expect(answer.v).toMatchObject([{ type: 'configuration_value.update', payload: { new_value: '2' } }])
  expect(answer.next).toBe(answer.v[0]!.id)
  const empty = (await client.native('GET', `/_reg/events?after=${answer.next}&wait=1`)).json
  expect(empty).toEqual({ v: [], s: 'ok', next: answer.next })
  const typed = (await client.native('GET', `/_reg/events?marker=${next}&type=service.join`)).json as {
    v: Event[]
  }
  expect(typed.v).toEqual([])
  for (const parameter of ['marker', 'after'])
    expect((await client.native('GET', `/_reg/events?${parameter}=x`)).json).toEqual({
      v: 'bad_request',
      s: 'error',
      d: { parameter, reason: 'Invalid UUID' },
    })
})

test('a chain of long polls under writers loses and doubles nothing', async () => {
  const client = await account()
  const [writers, each] = [3, 20]
  const total = writers * each
  const writing = Promise.all(
    Array.from({ length: writers }, async (_, w) => {
      for (let i = 0; i < each; i++) await client.native('PUT', '/_conf', { k: `by-${w}`, v: String(i) })
    }),
  )
  const seen: Event[] = []
  let after = ''
  while (seen.length < total) {
    const { v, next } = (await client.native('GET', `/_reg/events?limit=7&wait=5${after}`)).json as {
      v: Event[]
      next: string
    }
    expect(v.length).toBeGreaterThan(0)
    seen.push(...v)
    after = `&after=${next}`
  }
  await writing
  expect(new Set(seen.map(({ id }) => id)).size).toBe(total)
  for (let w = 0; w < writers; w++)
    expect(
      seen
        .filter(({ payload }) => payload.configuration_value_id === `by-${w}`)
        .map(({ payload }) => payload.new_value),
    ).toEqual(Array.from({ length: each }, (_, i) => String(i)))
})

test('a stream broken off and resumed, again and again, loses and doubles nothing', async () => {
  const client = await account()
  const total = 60
  const writer = (async () => {
    for (let i = 0; i < total; i++) await client.native('PUT', '/_conf', { k: 'count', v: String(i) })
  })()
  const seen: Event[] = []
  while (seen.length < total) {
    const response = await openStream(client, '/_reg/events', seen.at(-1)?.id)
    seen.push(...(await take(response, Math.min(7, total - seen.length))))
  }
  await writer
  expect(seen.slice(0, total).map(({ payload }) => payload.new_value)).toEqual(
    Array.from({ length: total }, (_, i) => String(i)),
  )
})

test('who connects again goes on behind what he saw last, wherever he began', async () => {
  const client = await account()
  for (const v of ['1', '2', '3', '4']) await client.native('PUT', '/_conf', { k: 'count', v })
  const { v } = (await client.native('GET', '/_reg/events')).json as { v: { id: string }[] }
  const [first, , third, fourth] = v.map(({ id }) => id)
  for (const began of ['after', 'marker']) {
    const [next] = await take(await openStream(client, `/_reg/events?${began}=${first}`, third), 1)
    expect(next!.id).toBe(fourth)
  }
})

test('a place that is none is refused before the stream begins', async () => {
  const client = await account()
  expect((await openStream(client, '/_reg/events?after=x')).statusCode).toBe(400)
  expect((await openStream(client, '/_reg/events', 'x')).statusCode).toBe(400)
})

test('a watcher hears of a death that nobody else looks for', async () => {
  const client = await account()
  await client.native('PUT', '/_reg/services', { k: 'mortal', v: { heartbeat_timeout: 3 } })
  const start = performance.now()
  const [event] = await take(await openStream(client, '/_reg/events?type=service.timeout'), 1)
  expect(event!.payload.id).toBe('mortal')
  expect(performance.now() - start).toBeLessThan(5_000)
})

test('limits are the system’s to set', async () => {
  const client = await account()
  const body = { k: client.user, v: { resource: { session: 1 } } }
  expect((await client.native('PUT', '/_reg/limits', body)).status).toBe(403)
  const set = await ask(world.server.port, 'PUT', '/_reg/limits', { as: SYS, body })
  expect(set.json.v.resource).toEqual({ session: 1, service: 200, configuration_value: 1000 })
  const limits = (k: string) => `/_reg/limits?k=${encodeURIComponent(k)}`
  const shown = await ask(world.server.port, 'GET', limits(client.user), { as: SYS })
  expect(shown.json.v.resource.session).toBe(1)
  expect((await client.native('GET', limits(client.user))).status).toBe(403)
  for (const v of [{ resource: { sessions: 1 } }, { rate: { bar: 2 } }, { resource: 5 }, { limit: 3 }])
    expect(
      (await ask(world.server.port, 'PUT', '/_reg/limits', { as: SYS, body: { k: client.user, v } })).status,
    ).toBe(400)
  for (const [method, k] of [
    ['PUT', 'nobody-there'],
    ['GET', 'nobody-there'],
  ] as const) {
    const body = { k, v: { resource: { session: 1 } } }
    const path = method === 'GET' ? limits(k) : '/_reg/limits'
    const asked = method === 'GET' ? { as: SYS } : { as: SYS, body }
    expect((await ask(world.server.port, method, path, asked)).json.v).toBe('bucket_not_found')
  }
  await client.native('PUT', '/_reg/sessions', { v: { heartbeat_timeout: 60 } })
  const full = await client.native('PUT', '/_reg/sessions', { v: { heartbeat_timeout: 60 } })
  expect([full.status, full.json.v]).toEqual([403, 'limit_reached'])
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { BucketName } from '../../../core'
import { PLACES } from '../../../services/registry/places'
import { FaultProxy } from '../../couchdb/fault-proxy'
import { CouchServer } from '../../couchdb/server'
import { eventually } from '../../eventually'
import { startProcess } from '../../server/process'
import { SYS_SECRET, ask, openWorld } from '../../server/world'
import type { World } from '../../server/world'
import { RegistryClient, SYS, newAccount, openStream, take } from './world'
import type { Event } from './world'

/** Two nodes of the platform over one CouchDB. */

let couch: CouchServer
let nodes: World[]

const PEPPER = 'a pepper that both nodes have, long enough'

function join(name: string): Promise<World> {
  return openWorld({ KV4_COUCHDB_URL: couch.url, KV4_NODE: name, KV4_PEPPER: PEPPER })
}

beforeEach(async () => {
  couch = await CouchServer.start()
  nodes = []
})
afterEach(async () => {
  for (const node of nodes) await node.close()
  await couch.close()
})

async function clients(): Promise<readonly [RegistryClient, RegistryClient]> {
  for (const name of ['one', 'two']) nodes.push(await join(name))
  const one = await newAccount(nodes[0]!.server.port, 'shared')
  await one.login()
  const two = new RegistryClient(nodes[1]!.server.port, one.user, one.secret)
  // A token of one node opens the other.
  two.token = one.token
  two.tenant = one.tenant
  return [one, two]
}

test('the chain of tokens holds across nodes, and each death is told once', async () => {
  const [one, two] = await clients()
  let { token } = (await one.post('/services', { id: 'roamer', heartbeat_timeout: 3 })).json as {
    token: string
  }
  for (let i = 0; i < 6; i++) {
    const beat = await (i % 2 === 0 ? two : one).post('/services/roamer/heartbeat', { token })
    expect(beat.status).toBe(200)
    // Taken by one node, it is used at the other too.
    expect((await (i % 2 === 0 ? one : two).post('/services/roamer/heartbeat', { token })).status).toBe(404)
    token = beat.json.token as string
  }
  for (let i = 0; i < 5; i++)
    await (i % 2 ? one : two).post('/services', { id: `svc-${i}`, heartbeat_timeout: 3 })
  await wait(3_050)
  // Both look at the same moment; both find them gone.
  const lists = await Promise.all([
    one.get('/services'),
    two.get('/services'),
    one.get('/events'),
    two.get('/events'),
  ])
  expect(lists[0].json.values).toEqual([])
  expect(lists[1].json.values).toEqual([])
  const [first, second] = [
    (await one.get('/events')).json.values,
    (await two.get('/events')).json.values,
  ] as {
    type: string
    payload: { id: string }
  }[][]
  expect(second).toEqual(first)
  const timeouts = first!.filter(({ type }) => type === 'service.timeout').map(({ payload }) => payload.id)
  expect([...timeouts].sort()).toEqual(['roamer', 'svc-0', 'svc-1', 'svc-2', 'svc-3', 'svc-4'])
}, 30_000)

test('the death of a session is told once, with its services, whichever nodes look', async () => {
  const [one, two] = await clients()
  const { headers } = await one.post('/sessions', { heartbeat_timeout: 3 })
  const session_id = headers.location!.split('/').at(-1)!
  for (let i = 0; i < 4; i++) await (i % 2 ? one : two).post('/services', { id: `svc-${i}`, session_id })
  await wait(3_050)
  const look = (client: RegistryClient) => [
    client.get(`/sessions/${session_id}`),
    client.get('/services'),
    client.get('/services/svc-0'),
    client.get('/events'),
  ]
  await Promise.all([...look(one), ...look(two)])
  const [first, second] = [
    (await one.get('/events')).json.values,
    (await two.get('/events')).json.values,
  ] as { type: string; payload: { id: string }[] }[][]
  expect(second).toEqual(first)
  const deaths = first!.filter(({ type }) => type === 'services.timeout')
  expect(deaths.map(({ payload }) => payload.map(({ id }) => id).sort())).toEqual([
    ['svc-0', 'svc-1', 'svc-2', 'svc-3'],
  ])
  expect(first!.filter(({ type }) => type === 'service.timeout')).toEqual([])
}, 30_000)

test('what is made anew at the node that does not sweep is told dead in its new time', async () => {
  const [one, two] = await clients()
  await one.post('/services', { id: 'again', heartbeat_timeout: 120 })
  await one.get('/services')
  await wait(1_000)
  expect((await two.delete('/services/again')).status).toBe(204)
  expect((await two.post('/services', { id: 'again', heartbeat_timeout: 3 })).status).toBe(201)
  await wait(5_000)
  // Past the API, whose readers bury what has expired before they are answered.
  const bucket = nodes[1]!.server.engine.bucket(BucketName.of('shared'))
  const { items } = await bucket.entries(PLACES.events, { consistent: true })
  const types = items.flatMap(({ version }) =>
    (version.v as unknown as { events: { type: string }[] }).events.map(({ type }) => type),
  )
  expect(types).toEqual(['service.join', 'service.remove', 'service.join', 'service.timeout'])
}, 30_000)

test('a stream that is resumed at the other node loses and doubles nothing, while both write', async () => {
  const [one, two] = await clients()
  const each = 30
  const writing = Promise.all(
    [one, two].map(async (client, w) => {
      for (let i = 0; i < each; i++) await client.put(`/configuration/by-${w}`, { value: String(i) })
    }),
  )
  const seen: Event[] = []
  for (let turn = 0; seen.length < 2 * each; turn++) {
    const stream = await openStream(turn % 2 === 0 ? one : two, '/_reg/events', seen.at(-1)?.id)
    seen.push(...(await take(stream, Math.min(7, 2 * each - seen.length))))
  }
  await writing
  const { values } = (await two.get('/events')).json as { values: Event[] }
  expect(seen.map(({ id }) => id)).toEqual(values.map(({ id }) => id))
  for (const w of [0, 1])
    expect(
      seen
        .filter(({ payload }) => payload.configuration_value_id === `by-${w}`)
        .map(({ payload }) => payload.new_value),
    ).toEqual(Array.from({ length: each }, (_, i) => String(i)))
}, 30_000)

test('while the store is away clients are told so in their own words, and when to come back', async () => {
  const proxy = await FaultProxy.start(couch.url)
  try {
    nodes.push(await openWorld({ KV4_COUCHDB_URL: proxy.url, KV4_NODE: 'one', KV4_PEPPER: PEPPER }))
    const client = await newAccount(nodes[0]!.server.port, 'waiting')
    await client.login()
    await client.post('/services', { id: 'known', heartbeat_timeout: 120 })
    await proxy.leave()
    const write = () => client.put('/configuration/port', { value: '1' })
    for (const { status, headers, json } of [
      await client.post('/services', { id: 'unknown', heartbeat_timeout: 60 }),
      await write(),
    ]) {
      expect([status, json]).toEqual([
        503,
        {
          type: 'systemFailureError',
          code: 503,
          message: 'The service is temporarily unavailable',
          details: expect.any(String),
          txnId: expect.any(String),
        },
      ])
      expect(Number(headers['retry-after'])).toBeGreaterThan(0)
      expect(headers['x-ratelimit-limit']).toBe('500000')
    }
    await proxy.back()
    await eventually(async () => expect((await write()).status).toBe(204))
    expect((await client.get('/services')).json.values).toMatchObject([{ id: 'known' }])
  } finally {
    for (const node of nodes.splice(0)) await node.close()
    await proxy.close()
  }
}, 60_000)

test('an account that is made anew begins a feed of its own, at every node', async () => {
  const [one, two] = await clients()
  await two.put('/configuration/first', { value: 'old' })
  for (let i = 0; i < 4; i++) await one.put('/configuration/first', { value: String(i) })
  const gone = await ask(one.port, 'DELETE', '/_acc/accounts?k=shared', { as: SYS })
  expect(gone.status).toBe(200)
  const again = await newAccount(one.port, 'shared')
  await again.login()
  const other = new RegistryClient(two.port, again.user, again.secret)
  other.token = again.token
  other.tenant = again.tenant
  const ids: string[] = []
  for (const [i, client] of [again, other, again, other].entries()) {
    const id = `value-${i}`
    for (
      let tries = 0;
      (await client.put(`/configuration/${id}`, { value: 'new' })).status !== 204;
      tries++
    ) {
      // The other node may hear of the end a moment later.
      if (tries > 50) throw new Error('the account is not known')
      await wait(100)
    }
    ids.push(id)
    // Read at the other node, which hears of it with the feed; what it read before stays where it is.
    let told: string[] = []
    for (let tries = 0; told.length < ids.length && tries < 50; tries++) {
      await wait(100)
      const values = (await again.get('/events')).json.values as {
        payload: { configuration_value_id: string }
      }[]
      told = values.map(({ payload }) => payload.configuration_value_id)
    }
    expect(told).toEqual(ids)
  }
}, 40_000)

test('when the node that sweeps is gone, the other one sweeps', async () => {
  const [, two] = await clients()
  await two.post('/services', { id: 'orphan', heartbeat_timeout: 3 })
  await nodes.shift()!.close()
  const native = () => two.native('GET', '/_reg/events?wait=12&type=service.timeout')
  const { json } = await native()
  expect((json.v as { type: string }[]).map(({ type }) => type)).toEqual(['service.timeout'])
}, 30_000)

test('when the node that sweeps is killed, the other one takes over and tells each death once', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'kv4-sweeper-'))
  const sweeper = startProcess({
    KV4_COUCHDB_URL: couch.url,
    KV4_DATA_DIR: directory,
    KV4_NODE: 'sweeper',
    KV4_PEPPER: PEPPER,
    KV4_SYS_SECRET: SYS_SECRET,
  })
  try {
    await sweeper.port
    const other = await join('other')
    nodes.push(other)
    const client = await newAccount(other.server.port, 'killed')
    await client.login()
    for (let i = 0; i < 20; i++) await client.post('/services', { id: `svc-${i}`, heartbeat_timeout: 3 })
    // About when their time comes, so that some ends may be half done.
    await wait(4_000)
    sweeper.child.kill('SIGKILL')
    await sweeper.exit
    await wait(9_000)
    const { json } = await client.native('GET', '/_reg/events?limit=1000&type=service.timeout')
    const ids = (json.v as { payload: { id: string } }[]).map(({ payload }) => payload.id)
    expect([...ids].sort()).toEqual(Array.from({ length: 20 }, (_, i) => `svc-${i}`).sort())
  } finally {
    sweeper.child.kill('SIGKILL')
    await sweeper.exit
    await rm(directory, { recursive: true, force: true })
  }
}, 40_000)

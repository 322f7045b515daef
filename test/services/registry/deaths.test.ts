import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { BucketName, Key } from '../../../core'
import type { Bucket, Json } from '../../../core'
import type { ServiceContext } from '../../../services/module'
import { PLACES, TIMER_LAYER } from '../../../services/registry/places'
import { Registry } from '../../../services/registry/registry'
import { Path } from '../../../core'
import { editLease, loggedIn, openWorld } from './world'
import type { Change, RegistryClient, World } from './world'

/** What a node finds that another one, now dead, has left half done: each step of an end, as it would stand in the store. */

let world: World
let client: RegistryClient
let bucket: Bucket
let names = 0

beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())
beforeEach(async () => {
  client = await loggedIn(world.server.port, `half-${++names}`)
  bucket = world.server.engine.bucket(BucketName.of(client.user))
})

async function events(): Promise<{ type: string; payload: Json }[]> {
  return (await client.get('/events')).json.values as { type: string; payload: Json }[]
}

async function types(): Promise<string[]> {
  return (await events()).map(({ type }) => type)
}

/** What stands in the feed, without the look of a reader, which buries what has expired. */
async function stored(): Promise<string[]> {
  return (await bucket.entries(PLACES.events)).items.flatMap(({ version }) =>
    (version.v as unknown as { events: { type: string }[] }).events.map(({ type }) => type),
  )
}

const edit = (...change: Change) => editLease(bucket, ...change)

test('marked, not told: whoever looks tells it once and removes it', async () => {
  await client.post('/services', { id: 'marked', heartbeat_timeout: 60 })
  await edit('services', 'marked', { dying: { type: 'service.timeout', cause: randomUUID(), since: 1 } })
  const looks = await Promise.all(Array.from({ length: 8 }, () => client.get('/services/marked')))
  expect(looks.map(({ status }) => status)).toEqual(Array(8).fill(404))
  expect((await client.get('/services')).json.values).toEqual([])
  expect(await types()).toEqual(['service.join', 'service.timeout'])
  expect((await client.post('/services', { id: 'marked', heartbeat_timeout: 60 })).status).toBe(201)
})

test('told, not removed: it is not told again', async () => {
  const { json } = await client.post('/services', { id: 'told', heartbeat_timeout: 60 })
  const cause = randomUUID()
  const told = {
    id: '58e0a7d7-eebc-11d8-9669-0800200c9a66',
    timestamp: 1,
    type: 'service.timeout',
    payload: { id: 'told' },
    cause,
  }
  // As another node would have: the next entry of the feed.
  await bucket.put(
    { ...PLACES.events, key: Key.parse('000000000002') },
    { events: [told] },
    {
      by: '$sys',
      expect: 'absent',
    },
  )
  await edit('services', 'told', { dying: { type: 'service.timeout', cause, since: 1 } })
  // No heartbeat reaches it any more.
  expect((await client.post('/services/told/heartbeat', { token: json.token })).status).toBe(404)
  expect((await client.get('/services/told')).status).toBe(404)
  const causes = (await bucket.entries(PLACES.events)).items.flatMap(({ version }) =>
    (version.v as unknown as { events: { cause: string }[] }).events.map((event) => event.cause),
  )
  expect(causes.filter((one) => one === cause)).toHaveLength(1)
  expect((await bucket.keys(PLACES.services)).items).toEqual([])
})

test('joined, not announced: it is announced before anything else is told of it, and within seconds by itself', async () => {
  await client.post('/services', { id: 'first', heartbeat_timeout: 60 })
  const stored = { tags: [], metadata: {}, owes: { cause: randomUUID(), since: 1 } }
  const now = Date.now()
  const lease = { heartbeat_timeout: 60, token: 'x', granted: now, deadline: now + 60_000, last_seen: null }
  await world.server.engine
    .bucket(BucketName.system)
    .put({ layer: TIMER_LAYER, path: Path.parse(bucket.name), key: Key.parse('service silent') }, 0, {
      by: '$sys',
    })
  for (const id of ['silent', 'leaver'])
    await bucket.put(
      { ...PLACES.services, key: Key.parse(id) },
      { ...stored, owes: { ...stored.owes, cause: id }, lease },
      { by: '$sys' },
    )
  expect((await client.delete('/services/leaver')).status).toBe(204)
  expect(await types()).toEqual(['service.join', 'service.join', 'service.remove'])
  await wait(7_500)
  expect((await events()).map(({ type, payload }) => [type, (payload as { id: string }).id])).toEqual([
    ['service.join', 'first'],
    ['service.join', 'leaver'],
    ['service.remove', 'leaver'],
    ['service.join', 'silent'],
  ])
}, 15_000)

test('a lease that comes after its timer was looked at is told dead in time', async () => {
  await world.server.engine
    .bucket(BucketName.system)
    .put({ layer: TIMER_LAYER, path: Path.parse(bucket.name), key: Key.parse('service slow') }, 0, {
      by: '$sys',
    })
  await wait(700)
  const now = Date.now()
  const lease = { heartbeat_timeout: 3, token: 'x', granted: now, deadline: now + 3_000, last_seen: null }
  await bucket.put(
    { ...PLACES.services, key: Key.parse('slow') },
    { tags: [], metadata: {}, lease },
    { by: '$sys' },
  )
  await wait(5_000)
  expect(await stored()).toEqual(['service.timeout'])
}, 15_000)

test('a service that its session took along is looked at again, so that its timer goes too', async () => {
  const { headers } = await client.post('/sessions', { heartbeat_timeout: 3 })
  const id = headers.location!.split('/').at(-1)!
  await client.post('/services', { id: 'child', session_id: id })
  await wait(5_000)
  expect(await stored()).toEqual(['service.join', 'services.timeout'])
  const { timers } = Registry.of({ engine: world.server.engine } as unknown as ServiceContext)
  expect(timers.due(bucket.name, Date.now() + 10 * 60_000).map(({ id }) => id)).toContain('child')
}, 15_000)

test('an account that cannot be looked after keeps no other account’s dead alive', async () => {
  const timer = { layer: TIMER_LAYER, path: Path.parse(bucket.name), key: Key.parse('service broken') }
  const broken = bucket
  const address = { ...PLACES.services, key: Key.parse('broken') }
  await broken.put(address, { tags: [] }, { by: '$sys' })
  await world.server.engine.bucket(BucketName.system).put(timer, 0, { by: '$sys' })
  // Looked after later than the one that is broken.
  client = await loggedIn(world.server.port, `half-${++names}`)
  bucket = world.server.engine.bucket(BucketName.of(client.user))
  await client.native('PUT', '/_reg/services', { k: 'mortal', v: { heartbeat_timeout: 3 } })
  await wait(5_000)
  expect(await stored()).toEqual(['service.join', 'service.timeout'])
  await broken.remove(address, { by: '$sys' })
}, 15_000)

test('a session marked: its services go with it in one event', async () => {
  const { headers } = await client.post('/sessions', { heartbeat_timeout: 60 })
  const id = headers.location!.split('/').at(-1)!
  for (const child of ['one', 'two']) await client.post('/services', { id: child, session_id: id })
  await edit('sessions', id, { dying: { type: 'services.timeout', cause: randomUUID(), since: 2 } })
  const looks = await Promise.all([
    client.get('/services/one'),
    client.get('/services'),
    client.get(`/sessions/${id}`),
    client.get('/views/overview'),
    client.post('/services', { id: 'three', session_id: id }),
  ])
  expect([
    looks[0].status,
    looks[1].json.values,
    looks[2].status,
    looks[3].json.values,
    looks[4].status,
  ]).toEqual([404, [], 404, [], 404])
  expect(await types()).toEqual(['service.join', 'service.join', 'services.timeout'])
  expect((await events())[2]!.payload).toMatchObject([{ id: 'one' }, { id: 'two' }])
})

test('who joins a session as it dies is told of nowhere, and is not there', async () => {
  const { headers } = await client.post('/sessions', { heartbeat_timeout: 60 })
  const id = headers.location!.split('/').at(-1)!
  await client.post('/services', { id: 'child', session_id: id })
  const cause = randomUUID()
  const told = {
    id: '58e0a7d7-eebc-11d8-9669-0800200c9a66',
    timestamp: 1,
    type: 'services.timeout',
    payload: [{ id: 'child' }],
    cause,
  }
  // Told by another node, which has not removed anything yet.
  await bucket.put(
    { ...PLACES.events, key: Key.parse('000000000002') },
    { events: [told] },
    { by: '$sys', expect: 'absent' },
  )
  await edit('sessions', id, { dying: { type: 'services.timeout', cause, since: 1, services: ['child'] } })
  const late = { tags: [], metadata: {}, session_id: id, owes: { cause: randomUUID(), since: 2 } }
  await bucket.put({ ...PLACES.services, key: Key.parse('late') }, late, { by: '$sys' })
  for (const one of ['late', 'child']) expect((await client.get(`/services/${one}`)).status).toBe(404)
  expect(await stored()).toEqual(['service.join', 'services.timeout'])
  expect((await bucket.keys(PLACES.services)).items).toEqual([])
  expect((await bucket.keys(PLACES.sessions)).items).toEqual([])
})

test('a dead session that many look at is buried once, and nobody is sent away', async () => {
  const { headers } = await client.post('/sessions', { heartbeat_timeout: 60 })
  const id = headers.location!.split('/').at(-1)!
  const ids = Array.from({ length: 160 }, (_, i) => `child-${i}`)
  const made = await Promise.all(ids.map((child) => client.post('/services', { id: child, session_id: id })))
  expect(new Set(made.map(({ status }) => status))).toEqual(new Set([201]))
  const now = Date.now()
  await edit('sessions', id, {
    lease: { heartbeat_timeout: 60, token: 'x', granted: now - 60_000, deadline: now - 1, last_seen: null },
  })
  const looks = await Promise.all(ids.map((child) => client.get(`/services/${child}`)))
  expect(new Set(looks.map(({ status }) => status))).toEqual(new Set([404]))
  expect((await stored()).filter((type) => type === 'services.timeout')).toHaveLength(1)
  expect((await bucket.keys(PLACES.services)).items).toEqual([])
})

test.each(['of the mount', 'of its own'])(
  'a heartbeat by the route %s that comes in time counts, though others look at once when its time is over',
  async (route) => {
    const { leases } = Registry.of(world.server.context)
    const heartbeat = async (id: string, token: string) => {
      const { status, json } =
        route === 'of the mount'
          ? await client.post(`/services/${id}/heartbeat`, { token })
          : await client.native('POST', '/_reg/services/heartbeat', { k: id, v: { token } })
      expect([200, 404]).toContain(status)
      return status === 200 && json !== undefined
    }
    let counted = 0
    // It has to be stored within 90 ms, which a busy machine does not always manage.
    for (let i = 0; i < 20 && counted === 0; i++) {
      const id = `late-${i}`
      const { json } = await client.post('/services', { id, heartbeat_timeout: 60 })
      const now = Date.now()
      await edit('services', id, {
        lease: {
          heartbeat_timeout: 60,
          token: json.token,
          granted: now,
          deadline: now + 90,
          last_seen: null,
        },
      })
      const look = wait(Math.max(0, now + 92 - Date.now())).then(() => leases.service(bucket, id))
      if (await heartbeat(id, json.token as string)) counted++
      await look
    }
    expect(counted).toBe(1)
  },
)

test.each([
  ['PUT', { tags: [] }],
  ['DELETE', undefined],
])(
  '%s of a service whose time is over finds none, and its death is told, not its removal',
  async (method, body) => {
    await client.post('/services', { id: 'over', heartbeat_timeout: 60 })
    const now = Date.now()
    await edit('services', 'over', {
      lease: { heartbeat_timeout: 60, token: 'x', granted: now - 60_000, deadline: now - 1, last_seen: null },
    })
    expect((await client.call(method, '/services/over', body === undefined ? {} : { body })).status).toBe(404)
    expect(await stored()).toEqual(['service.join', 'service.timeout'])
  },
)

test('heartbeats rewrite one entry: there is no history of them', async () => {
  let { token } = (await client.post('/services', { id: 'one', heartbeat_timeout: 60 })).json as {
    token: string
  }
  for (let i = 0; i < 3; i++)
    token = (await client.post('/services/one/heartbeat', { token })).json.token as string
  await expect(bucket.history({ ...PLACES.services, key: Key.parse('one') })).rejects.toMatchObject({
    code: 'wrong_layer_kind',
  })
})

test('a timeout that was lowered counts from the next heartbeat on, for those who tell of deaths too', async () => {
  const { headers, json: session } = await client.post('/sessions', { heartbeat_timeout: 60 })
  const id = headers.location!.split('/').at(-1)!
  const { json: service } = await client.post('/services', { id: 'lowered', heartbeat_timeout: 60 })
  for (const [path, { token }] of [
    [`/sessions/${id}`, session],
    ['/services/lowered', service],
  ] as const) {
    expect((await client.put(path, { heartbeat_timeout: 3 })).status).toBe(204)
    expect((await client.post(`${path}/heartbeat`, { token })).status).toBe(200)
  }
  const start = Date.now()
  while (Date.now() - start < 15_000 && (await stored()).length < 3) await wait(50)
  expect((await stored()).slice(1).sort()).toEqual(['service.timeout', 'services.timeout'])
  expect(Date.now() - start).toBeGreaterThan(2_900)
}, 30_000)

test('a value written, not announced: the next writer announces it first', async () => {
  await client.put('/configuration/value', { value: 'a' })
  const written = { value: 'b', old: 'a', owes: { cause: randomUUID(), since: 1 } }
  await bucket.put({ ...PLACES.configuration, key: Key.parse('value') }, written, { by: 'elena' })
  await client.put('/configuration/value', { value: 'c' })
  expect((await events()).map(({ payload }) => payload)).toEqual([
    { configuration_value_id: 'value', old_value: null, new_value: 'a' },
    { configuration_value_id: 'value', old_value: 'a', new_value: 'b' },
    { configuration_value_id: 'value', old_value: 'b', new_value: 'c' },
  ])
  // Half removed: absent to readers, and finished by whoever writes.
  const removal = { cause: randomUUID(), since: 3 }
  const half = { value: 'c', old: 'b', owes: { cause: randomUUID(), since: 0 }, removal }
  const { owes } = (await bucket.get({ ...PLACES.configuration, key: Key.parse('value') }))!.v as {
    owes: typeof half.owes
  }
  await bucket.put({ ...PLACES.configuration, key: Key.parse('value') }, { ...half, owes }, { by: 'elena' })
  expect((await client.get('/configuration/value')).status).toBe(404)
  expect((await client.get('/configuration')).json.values).toEqual([])
  expect((await client.put('/configuration/value', { value: 'd' })).status).toBe(204)
  expect((await types()).slice(3)).toEqual(['configuration_value.remove', 'configuration_value.update'])
})

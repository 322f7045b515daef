import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { BucketName, Key } from '../../../core'
import type { Bucket, Json } from '../../../core'
import { EventLog } from '../../../services/registry/event-log'
import { Leases } from '../../../services/registry/leases'
import { PLACES } from '../../../services/registry/places'
import { Registry } from '../../../services/registry/registry'
import { editLease, loggedIn, openWorld } from './world'
import type { RegistryClient, World } from './world'

/** A session that two nodes bury at once: whatever comes between, each of its services is told of once, with it. */

let world: World
let client: RegistryClient
let bucket: Bucket
let names = 0

beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())
beforeEach(async () => {
  client = await loggedIn(world.server.port, `buried-${++names}`)
  bucket = world.server.engine.bucket(BucketName.of(client.user))
})
// The sweep looks at what is new within 250 ms, and would be a third one.
beforeEach(() => {
  jest.spyOn(Registry.of(world.server.context).pulse, 'leads', 'get').mockReturnValue(false)
})
afterEach(() => jest.restoreAllMocks())

/** Somebody who waits until others let him go on. */
function gate() {
  let open!: () => void
  const passed = new Promise<void>((resolve) => (open = resolve))
  return { passed, open }
}

/** A session with the service `child`. */
async function session(): Promise<string> {
  const { headers } = await client.post('/sessions', { heartbeat_timeout: 60 })
  const id = headers.location!.split('/').at(-1)!
  await client.post('/services', { id: 'child', session_id: id })
  return id
}

const end = (id: string, more: object = {}) =>
  editLease(bucket, 'sessions', id, {
    dying: { type: 'services.timeout', cause: randomUUID(), since: 0, ...more },
  })
const join = (id: string, session_id: string) =>
  bucket.put(
    { ...PLACES.services, key: Key.parse(id) },
    { tags: [], metadata: {}, session_id, owes: { cause: randomUUID(), since: 1 } },
    { by: '$sys' },
  )

/** Another node; `before` is waited for before anything that it tells. */
function node(before: (type: string) => Promise<void> = async () => undefined): Leases {
  const { clock } = Registry.of(world.server.context)
  const log = new EventLog(clock)
  const publish = log.publish.bind(log)
  log.publish = async (to, happening) => {
    await before(happening.type)
    await publish(to, happening)
  }
  return new Leases(log, clock, async () => undefined)
}

/** What is told, and of whom. */
async function told(): Promise<unknown[]> {
  const ids = (payload: Json): unknown =>
    Array.isArray(payload) ? payload.map(ids) : (payload as { id: string }).id
  expect((await bucket.keys(PLACES.services, { consistent: true })).items).toEqual([])
  expect((await bucket.keys(PLACES.sessions, { consistent: true })).items).toEqual([])
  const events = (await client.get('/events')).json.values as { type: string; payload: Json }[]
  return events.map(({ type, payload }) => [type, ids(payload)])
}

test('who joins when one of them has decided is told of nowhere', async () => {
  const id = await session()
  await end(id)
  let looking: Promise<unknown> | undefined
  const decided = gate()
  const other = node(() => decided.passed)
  const one = node(async () => {
    if (looking !== undefined) return
    await join('late', id)
    looking = other.session(bucket, id)
    await wait(200)
  })
  await one.session(bucket, id)
  decided.open()
  expect(looking).toBeDefined()
  await looking
  expect((await client.get('/services/late')).status).toBe(404)
  expect(await told()).toEqual([
    ['service.join', 'child'],
    ['services.timeout', ['child']],
  ])
})

test('who joins before the decision is told of by the one that did not see him, too', async () => {
  const id = await session()
  await end(id)
  const [listed, goesOn] = [gate(), gate()]
  // It pauses once it has listed.
  const entries: Bucket['entries'] = async (...how) => {
    const page = await bucket.entries(...how)
    listed.open()
    await goesOn.passed
    return page
  }
  const slow = new Proxy(bucket, {
    get(target, name) {
      if (name === 'entries') return entries
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  const looking = node().session(slow, id)
  await listed.passed
  await join('late', id)
  const one = node(async (type) => {
    if (type !== 'services.timeout') return
    goesOn.open()
    await looking
  })
  await one.session(bucket, id)
  expect(await told()).toEqual([
    ['service.join', 'child'],
    ['service.join', 'late'],
    ['services.timeout', ['child', 'late']],
  ])
})

test('who comes under the id of one that was taken along is told of nowhere', async () => {
  const id = await session()
  const cause = randomUUID()
  await end(id, { cause, services: ['child'] })
  const log = new EventLog(Registry.of(world.server.context).clock)
  await log.publish(bucket, { cause, since: 0, type: 'services.timeout', payload: [{ id: 'child' }] })
  await bucket.remove({ ...PLACES.services, key: Key.parse('child') }, { by: '$sys' })
  await join('child', id)
  expect((await client.get('/services/child')).status).toBe(404)
  expect(await told()).toEqual([
    ['service.join', 'child'],
    ['services.timeout', ['child']],
  ])
})

/** The session ends as soon as this node is about to write; `then` comes before it does. */
function endAtWrite(id: string, then: () => Promise<void> = async () => undefined): void {
  const { leases } = Registry.of(world.server.context)
  jest.spyOn(leases, 'debt').mockImplementationOnce(async (of) => {
    const debt = await leases.debt(of)
    await end(id)
    await then()
    return debt
  })
}

test('whom it takes along has joined, though it ended as he came', async () => {
  const id = await session()
  endAtWrite(id)
  expect((await client.post('/services', { id: 'late', session_id: id })).status).toBe(201)
  expect(await told()).toEqual([
    ['service.join', 'child'],
    ['service.join', 'late'],
    ['services.timeout', ['child', 'late']],
  ])
})

test('a removal under way of one that it takes along is told with the session', async () => {
  const id = await session()
  const [decided, goesOn] = [gate(), gate()]
  const other = node(async () => {
    decided.open()
    await goesOn.passed
  })
  let burying: Promise<unknown> | undefined
  endAtWrite(id, async () => {
    burying = other.session(bucket, id)
    await decided.passed
  })
  expect((await client.delete('/services/child')).status).toBe(204)
  goesOn.open()
  await burying
  expect(await told()).toEqual([
    ['service.join', 'child'],
    ['services.timeout', ['child']],
  ])
})

test('a removal that was marked before is told as that', async () => {
  const id = await session()
  await client.post('/services', { id: 'other', session_id: id })
  await editLease(bucket, 'services', 'child', {
    dying: { type: 'service.remove', cause: randomUUID(), since: 0 },
  })
  await end(id)
  await node().session(bucket, id)
  expect((await client.get('/services/child')).status).toBe(404)
  expect(await told()).toEqual([
    ['service.join', 'child'],
    ['service.join', 'other'],
    ['services.timeout', ['other']],
    ['service.remove', 'child'],
  ])
})

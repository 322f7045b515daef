import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { BucketName, Key, Path, addressIn } from '../../../core'
import { PLACES } from '../../../services/registry/places'
import { Registry } from '../../../services/registry/registry'
import { until } from '../../eventually'
import { ask } from '../../server/world'
import { SYS, loggedIn, openWorld } from './world'
import type { RegistryClient, World } from './world'

// The wait of a heartbeat for others: docs/decisions/0083.

let world: World
let port: number
let names = 0

beforeAll(async () => {
  world = await openWorld()
  port = world.server.port
})
afterAll(() => world.close())

const account = (): Promise<RegistryClient> => loggedIn(port, `beat-${++names}`)

const registry = () => Registry.of(world.server.context)
afterEach(() => jest.restoreAllMocks())

/** Waits that end when they are told to. */
function held() {
  const waits: (() => void)[] = []
  jest
    .spyOn(registry().services, 'together')
    .mockImplementation(() => new Promise((resolve) => waits.push(resolve)))
  return { waits, release: () => waits.splice(0).forEach((end) => end()) }
}
async function made(client: RegistryClient, kind: 'services' | 'sessions') {
  const { headers, json } = await client.post(`/${kind}`, {
    heartbeat_timeout: 60,
    ...(kind === 'services' && { id: 'one' }),
  })
  return { path: `/${kind}/${headers.location!.split('/').at(-1)!}/heartbeat`, token: json.token as string }
}

/** A service whose caller is known; `token` is the one to show next. */
async function beating() {
  const client = await account()
  const { path, token } = await made(client, 'services')
  const { json } = await client.post(path, { token })
  const bucket = world.server.engine.bucket(BucketName.of(client.user))
  const address = addressIn(PLACES.services, Key.parse('one'))
  const before = (await bucket.get(address))!
  expect(before.v).toMatchObject({ lease: { token: json.token } })
  return { client, path, token: json.token as string, bucket, address, before }
}

test.each(['services', 'sessions'] as const)(
  'the wait is of %s, and of callers who were admitted: those who are not known are not told by it what there is',
  async (kind) => {
    const [own, other] = [await account(), await account()]
    const together = jest.spyOn(registry()[kind], 'together')
    const { path, token } = await made(own, kind)
    expect((await other.get('/services')).status).toBe(200)
    const refused = async (headers: Record<string, string>) =>
      expect((await own.call('POST', path, { body: { token }, headers })).status).toBe(401)
    await refused({ 'X-Auth-Token': other.token })
    await refused({ 'X-Auth-Token': 'x'.repeat(43) })
    expect(together).not.toHaveBeenCalled()

    // Once he is known, the first time.
    const first = await own.post(path, { token })
    expect(first.status).toBe(200)
    const id = path.split('/')[2]
    const mine = [BucketName.of(own.user), id]
    const waited = () => together.mock.calls.map(([bucket, key]) => [bucket.name, key])
    expect(waited()).toEqual([mine])
    // By a header, and by the query.
    const unnamed = await ask(port, 'POST', `/v1.0${path}?x-auth-token=${own.token}`, {
      headers: { 'X-Tenant-Id': own.tenant },
      body: { token: first.json.token },
    })
    expect(unnamed.status).toBe(200)
    expect(waited()).toEqual([mine, mine])

    await refused({ 'X-Auth-Token': other.token })
    // As its time does, or another node.
    const key = Key.parse(createHash('sha256').update(own.token).digest('hex'))
    const system = world.server.engine.bucket(BucketName.system)
    expect(await system.remove(addressIn(PLACES.tokens, key), { by: '$sys' })).toBeDefined()
    await refused({})
    expect(waited()).toEqual([mine, mine])
  },
)

test('the wait is not of those who are denied the place', async () => {
  const { client, path, token, bucket } = await beating()
  const together = jest.spyOn(registry().services, 'together')
  const { bans } = world.server.context
  const place = { layer: bans.layer, path: Path.parse('/services/heartbeat') }
  await bucket.put({ ...place, key: bans.range('127.0.0.1') }, {}, { by: client.user })
  // The first may have been on its way when the ban came.
  expect((await client.post(path, { token })).status).toBe(403)
  expect((await client.get('/services')).status).toBe(200)
  together.mockClear()
  expect((await client.post(path, { token })).status).toBe(403)
  expect(together).not.toHaveBeenCalled()
})

test('a heartbeat is looked at behind the wait: who may not any more is refused, and nothing is stored', async () => {
  const { client, path, token, bucket, address, before } = await beating()
  const { waits, release } = held()
  let answered = false
  const beat = client.post(path, { token }).finally(() => (answered = true))
  await until(() => waits.length === 1)
  const off = { k: client.user, v: { active: false } }
  expect((await ask(port, 'POST', '/_acc/accounts', { as: SYS, body: off })).status).toBe(200)
  expect(answered).toBe(false)
  release()
  expect((await beat).status).toBe(401)
  expect(await bucket.get(address, { consistent: true })).toEqual(before)
})

test('a heartbeat counts, though its client hangs up meanwhile', async () => {
  const { client, path, token, bucket, address, before } = await beating()
  const { waits, release } = held()
  const body = JSON.stringify({ token })
  const socket = connect(port, '127.0.0.1')
  socket.write(
    `POST /v1.0/${client.tenant}${path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${client.token}\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  )
  await until(() => waits.length === 1)
  socket.destroy()
  await wait(50)
  release()
  await until(async () => (await bucket.get(address))!.n > before.n)
})

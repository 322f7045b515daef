import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { SYS_SECRET } from '../../server/world'
import { startProcess } from '../../server/process'
import type { ServerProcess } from '../../server/process'
import { RegistryClient, newAccount } from './world'

/** What the registry promises while the server dies, sleeps and comes back; on real processes. */

interface RegistryEvent {
  readonly id: string
  readonly type: string
  readonly payload: { readonly id?: string; readonly new_value?: string } & Record<string, unknown>
}

let directory: string
let server: ServerProcess

async function start(): Promise<number> {
  server = startProcess({
    KV4_DATA_DIR: directory,
    KV4_SYS_SECRET: SYS_SECRET,
    KV4_LOG_LEVEL: 'info',
    KV4_NODE: 'survivor',
  })
  return server.port
}

async function kill(): Promise<void> {
  server.child.kill('SIGKILL')
  await server.exit
}

/** The same account at the server as it is now. */
async function again(client: RegistryClient, port: number): Promise<RegistryClient> {
  const renewed = new RegistryClient(port, client.user, client.secret)
  await renewed.login()
  return renewed
}

async function allEvents(client: RegistryClient): Promise<RegistryEvent[]> {
  const all: RegistryEvent[] = []
  let next: string | null = null
  do {
    const { json } = await client.get(`/events?limit=1000${next === null ? '' : `&marker=${next}`}`)
    all.push(...(json.values as RegistryEvent[]))
    next = json.metadata.next_marker as string | null
  } while (next !== null)
  return all
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kv4-survival-'))
})
afterEach(async () => {
  await kill()
  await rm(directory, { recursive: true, force: true })
})

test('kill -9 under joins, heartbeats and configuration writes: nothing acknowledged is lost, no event lost or doubled', async () => {
  const rounds = 5
  let port = await start()
  let client = await newAccount(port, 'killed')
  await client.login()
  const joined: string[] = []
  const written = new Map<string, { acknowledged: string; tried: string }>()
  const acknowledged: string[] = []
  const beating = new Map<string, { token: string; inFlight: boolean }>()
  let n = 0

  for (let round = 0; round < rounds; round++) {
    let on = true
    const at = client
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      while (on)
        try {
          const id = `svc-${n++}`
          const { status, json } = await at.post('/services', { id, heartbeat_timeout: 60 })
          if (status !== 201) throw new Error(`${status}`)
          joined.push(id)
          beating.set(id, { token: json.token as string, inFlight: false })
          const beat = beating.get(id)!
          beat.inFlight = true
          const { json: answer } = await at.post(`/services/${id}/heartbeat`, { token: beat.token })
          beat.token = answer.token as string
          beat.inFlight = false
          const key = `value-${writer}`
          const value = `v${n++}`
          written.set(key, { acknowledged: written.get(key)?.acknowledged ?? '', tried: value })
          const put = await at.put(`/configuration/${key}`, { value })
          if (put.status !== 204) throw new Error(`${put.status}`)
          written.get(key)!.acknowledged = value
          acknowledged.push(value)
        } catch (error) {
          // A fault would be a finding; a broken connection is what this is about.
          if (!on || (error as NodeJS.ErrnoException).code !== undefined) return
          throw error
        }
    })
    await wait(300 + Math.random() * 200)
    await kill()
    on = false
    await Promise.all(writers)
    port = await start()
    client = await again(client, port)
    await client.native('GET', '/_reg/limits')
  }
  expect(joined.length).toBeGreaterThan(rounds * 5)

  const listed: string[] = []
  for (let next: string | null = ''; next !== null;) {
    const { json }: { json: { values: { id: string }[]; metadata: { next_marker: string | null } } } =
      await client.get(`/services?limit=1000&marker=${next}`)
    listed.push(...json.values.map(({ id }) => id))
    next = json.metadata.next_marker
  }
  expect(listed).toEqual(expect.arrayContaining(joined))
  for (const [key, { acknowledged: last, tried }] of written) {
    const { json } = await client.get(`/configuration/${key}`)
    expect([last, tried]).toContain(json.value)
  }
  for (const [id, { token, inFlight }] of beating) {
    const { status } = await client.post(`/services/${id}/heartbeat`, { token })
    // One that was under way may have been taken without an answer.
    if (!inFlight) expect(status).toBe(200)
  }

  // What was written but not announced when it died is announced within seconds.
  await wait(7_000)
  const events = await allEvents(client)
  const joins = events.filter(({ type }) => type === 'service.join').map(({ payload }) => payload.id!)
  expect(new Set(joins).size).toBe(joins.length)
  expect([...joins].sort()).toEqual([...listed].sort())
  const updates = events
    .filter(({ type }) => type === 'configuration_value.update')
    .map(({ payload }) => payload.new_value!)
  expect(new Set(updates).size).toBe(updates.length)
  expect(updates).toEqual(expect.arrayContaining(acknowledged))
  expect(events.filter(({ type }) => type === 'service.timeout')).toEqual([])
  const ids = events.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
}, 60_000)

test('a pause of the process kills nobody who heartbeats after it; who does not is dead in time', async () => {
  const port = await start()
  const client = await newAccount(port, 'paused')
  await client.login()
  let { token } = (await client.post('/services', { id: 'alive', heartbeat_timeout: 3 })).json as {
    token: string
  }
  await client.post('/services', { id: 'dead', heartbeat_timeout: 3 })
  await wait(1_000)
  server.child.kill('SIGSTOP')
  await wait(8_000)
  server.child.kill('SIGCONT')
  const resumed = performance.now()
  // Reads come first, and must not bury anybody.
  const listed = (await client.get('/services')).json.values as { id: string }[]
  expect(listed.map(({ id }) => id)).toEqual(['alive', 'dead'])
  await wait(1_000)
  for (let i = 0; i < 3; i++) {
    const beat = await client.post('/services/alive/heartbeat', { token })
    expect(beat.status).toBe(200)
    token = beat.json.token as string
    await wait(1_000)
  }
  for (;;) {
    const { events } = { events: await allEvents(client) }
    if (events.some(({ type, payload }) => type === 'service.timeout' && payload.id === 'dead')) break
    expect(performance.now() - resumed).toBeLessThan(3_000 + 2_000 + 1_000)
    await wait(100)
  }
  expect((await client.get('/services/alive')).status).toBe(200)
}, 40_000)

test('a restart kills nobody who heartbeats after it', async () => {
  let port = await start()
  let client = await newAccount(port, 'restarted')
  await client.login()
  let { token } = (await client.post('/services', { id: 'alive', heartbeat_timeout: 4 })).json as {
    token: string
  }
  await kill()
  await wait(6_000)
  port = await start()
  client = await again(client, port)
  expect((await client.get('/services/alive')).status).toBe(200)
  await wait(2_000)
  const beat = await client.post('/services/alive/heartbeat', { token })
  expect(beat.status).toBe(200)
  token = beat.json.token as string
  await wait(6_000)
  expect((await client.get('/services/alive')).status).toBe(404)
  const timeouts = (await allEvents(client)).filter(({ type }) => type === 'service.timeout')
  expect(timeouts).toHaveLength(1)
}, 40_000)

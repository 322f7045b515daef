import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { BenchContext, Measurement, Row } from '../measurement'
import { startPinned } from '../pinned-process'
import type { PinnedProcess } from '../pinned-process'

const SECRET = 'bench-secret-0123456789'
const EVERY_MS = 10_000
const TIMEOUT_S = 30
// Ten thousand clients would have one each; as many as keep the driver from being what is waited for.
const CONNECTIONS = 256
/** Long enough that every service heartbeats several times, and would be dead had it not. */
const LEAST_SECONDS = 40
const EMBEDDED = 10_000
const COUCHDB = 2_000
/** % of a core. */
const MOST_CPU = 25

interface Caller {
  readonly port: number
  readonly agent: Agent
  token: string
  tenant: string
}

async function call<Body>(
  { port, agent }: Pick<Caller, 'port' | 'agent'>,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: unknown,
): Promise<{ readonly status: number; readonly json: Body }> {
  const text = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        agent,
        method,
        path,
        headers: {
          ...headers,
          ...(text !== undefined && {
            'Content-Type': 'application/json',
            'Content-Length': Buffer.byteLength(text),
          }),
        },
      },
      (response) => {
        let answer = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode!, json: (answer === '' ? {} : JSON.parse(answer)) as Body }),
        )
        response.on('error', reject)
      },
    )
    sent.on('error', reject)
    sent.end(text)
  })
}

/** An account that may have so many services, with a token. */
async function prepare(port: number, services: number): Promise<Caller> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const system = { Authorization: 'Basic ' + Buffer.from(`$sys:${SECRET}`).toString('base64') }
  const name = 'bench-' + Math.random().toString(36).slice(2, 10)
  const account = await call<{ v: { secret: string } }>({ port, agent }, 'PUT', '/_acc/accounts', system, {
    k: name,
    v: { email: `${name}@example.com` },
  })
  await call({ port, agent }, 'PUT', '/_reg/limits', system, {
    k: name,
    v: { resource: { service: services }, rate: { limit: 1_000_000_000 } },
  })
  const auth = { 'RAX-KSKEY:apiKeyCredentials': { username: name, apiKey: account.json.v.secret } }
  const login = await call<{ access: { token: { id: string; tenant: { id: string } } } }>(
    { port, agent },
    'POST',
    '/v2.0/tokens',
    {},
    { auth },
  )
  const { id, tenant } = login.json.access.token
  return { port, agent, token: id, tenant: tenant.id }
}

/** How many events of a type the feed has, over all its pages. */
async function countOf(
  caller: Caller,
  headers: Readonly<Record<string, string>>,
  type: string,
): Promise<number> {
  let found = 0
  let marker: string | null = null
  do {
    const after: string = marker === null ? '' : `&marker=${marker}`
    const { status, json } = await call<{
      readonly values: readonly { readonly type: string }[]
      readonly metadata: { readonly next_marker: string | null }
    }>(caller, 'GET', `/v1.0/${caller.tenant}/events?limit=1000${after}`, headers)
    if (status !== 200) throw new Error(`the events were refused: ${status}`)
    found += json.values.filter((event) => event.type === type).length
    marker = json.metadata.next_marker
  } while (marker !== null)
  return found
}

interface Outcome {
  /** Share of one core. */
  readonly cpu: number
  readonly beats: number
  readonly refused: number
  readonly timeouts: number
  readonly latest: number
}

async function heartbeats(server: PinnedProcess, services: number, seconds: number): Promise<Outcome> {
  const caller = await prepare(server.port, services)
  const headers = { 'X-Auth-Token': caller.token }
  const base = `/v1.0/${caller.tenant}/services`
  const tokens: string[] = []
  for (let i = 0; i < services; i += 200)
    await Promise.all(
      Array.from({ length: Math.min(200, services - i) }, async (_, j) => {
        const made = await call<{ token: string }>(caller, 'POST', base, headers, {
          id: `service-${i + j}`,
          heartbeat_timeout: 120,
          tags: ['web'],
          metadata: { region: 'dfw', version: '1.2.3' },
        })
        if (made.status !== 201) throw new Error(`a service was refused: ${JSON.stringify(made.json)}`)
        tokens[i + j] = made.json.token
      }),
    )
  const short = { heartbeat_timeout: TIMEOUT_S }

  let [beats, refused, latest] = [0, 0, 0]
  async function beat(i: number): Promise<void> {
    const start = performance.now()
    const { status, json } = await call<{ token: string }>(
      caller,
      'POST',
      `${base}/service-${i}/heartbeat`,
      headers,
      { token: tokens[i] },
    )
    if (status === 200) {
      beats++
      tokens[i] = json.token
    } else refused++
    latest = Math.max(latest, performance.now() - start)
  }
  for (let i = 0; i < services; i += 200)
    await Promise.all(
      Array.from({ length: Math.min(200, services - i) }, async (_, j) => {
        await call(caller, 'PUT', `${base}/service-${i + j}`, headers, short)
        await beat(i + j)
      }),
    )
  const start = performance.now()
  let cpu = 0
  let measured: number | undefined
  const running: Promise<void>[] = []
  // Each at its own moment of the ten seconds, as independent clients would.
  for (let n = 0; ; n++) {
    const due = start + (n / services) * EVERY_MS
    if (due - start > EVERY_MS + seconds * 1000) break
    // A first round does not count, as with the other measurements.
    if (measured === undefined && due - start >= EVERY_MS) {
      ;[beats, latest] = [0, 0]
      cpu = server.cpuMicros()
      measured = performance.now()
    }
    const ahead = due - performance.now()
    if (ahead > 1) await wait(ahead)
    running.push(beat(n % services))
    if (running.length > 5_000) await Promise.all(running.splice(0))
  }
  await Promise.all(running)
  const elapsed = (performance.now() - measured!) * 1000
  const used = server.cpuMicros() - cpu
  const timeouts = await countOf(caller, headers, 'service.timeout')
  const listed = await call<{ values: unknown[] }>(caller, 'GET', `${base}?limit=1000`, headers)
  const joined = await countOf(caller, headers, 'service.join')
  if (joined !== services) throw new Error(`${joined} services joined by the feed, and not ${services}`)
  // Fewer would make it look cheaper than it is.
  const wanted = (services * seconds * 1000) / EVERY_MS
  if (beats < wanted * 0.99 || elapsed > (seconds + 1) * 1_000_000)
    throw new Error(`${beats} heartbeats in ${Math.round(elapsed / 1000)} ms, and not ${wanted} in time`)
  caller.agent.destroy()
  if (listed.json.values.length !== Math.min(1000, services)) throw new Error('services are missing')
  return { cpu: used / elapsed, beats, refused, timeouts, latest }
}

function rows(where: string, services: number, outcome: Outcome): Row[] {
  const { cpu, beats, refused, timeouts, latest } = outcome
  const what = `${services} services, a heartbeat each per 10 s, ${where}`
  return [
    {
      what: `${what}: CPU`,
      value: cpu * 100,
      unit: '% of a core',
      cpuMicros: (cpu * 10_000_000) / services,
      target: { atMost: MOST_CPU },
    },
    { what: `${what}: heartbeats taken`, value: beats, unit: '' },
    { what: `${what}: refused or timed out`, value: refused + timeouts, unit: '', target: { atMost: 0 } },
    { what: `${what}: slowest heartbeat`, value: latest, unit: 'ms' },
  ]
}

export const registry: Measurement = {
  name: 'registry',
  title: 'The service registry: heartbeats over HTTP',
  async run({ seconds, couchdbUrl }: BenchContext): Promise<readonly Row[]> {
    const length = Math.max(LEAST_SECONDS, seconds)
    const all: Row[] = []
    const stores: readonly (readonly [where: string, services: number, url?: string])[] = [
      ['embedded', EMBEDDED],
      ...(couchdbUrl === undefined ? [] : ([['CouchDB', COUCHDB, couchdbUrl]] as const)),
    ]
    for (const [where, services, url] of stores) {
      const directory = await mkdtemp(join(tmpdir(), 'kv4-bench-'))
      const server = await startPinned(join(__dirname, '../processes/kv4.js'), [], {
        KV4_PORT: '0',
        KV4_DATA_DIR: directory,
        KV4_SYS_SECRET: SECRET,
        KV4_LOG_LEVEL: 'silent',
        ...(url !== undefined && { KV4_COUCHDB_URL: url }),
      })
      try {
        all.push(...rows(where, services, await heartbeats(server, services, length)))
      } finally {
        await server.stop()
        await rm(directory, { recursive: true, force: true })
      }
    }
    return all
  },
}

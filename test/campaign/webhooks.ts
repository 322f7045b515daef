import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { Client } from '../client'
import { startServe } from '../server/process'
import type { ServerProcess } from '../server/process'
import { seeded } from './random'

const SYS_SECRET = 'a-secret-for-the-campaign'
const HOOK = '/_hooks/campaign?k=h'

export interface WebhooksCampaign {
  readonly events: number
  readonly keys: number
  readonly seed: number
  /** The sender is killed after at most so many requests, which a busy machine does not change, and up to 20 ms. */
  readonly longest: number
  /** For the whole, ms. */
  readonly limitMs: number
  readonly onKill?: (state: {
    readonly kills: number
    readonly written: number
    readonly taken: number
  }) => void
}

export interface WebhooksResult {
  readonly kills: number
  readonly written: number
  /** Requests that came, and of what kind the answers were. */
  readonly requests: number
  readonly answers: Readonly<Record<Behaviour, number>>
  /** Events that came again after they had been taken. */
  readonly duplicates: number
  readonly problems: readonly string[]
}

const BEHAVIOURS = ['take', 'refuse', 'hang', 'reset', 'gone'] as const
type Behaviour = (typeof BEHAVIOURS)[number]

/** Of a hundred answers. */
const SHARES: Readonly<Record<Behaviour, number>> = { take: 71.6, refuse: 14, hang: 3, reset: 11, gone: 0.4 }

interface Told {
  readonly k: string
  readonly version: string
  readonly v: number
}

/**
 * What an endpoint sees, and whether it may: every event signed, with one id for good, and of each key none before the
 * one ahead of it was taken.
 */
class Endpoint {
  readonly problems: string[] = []
  readonly answers: Record<Behaviour, number> = { take: 0, refuse: 0, hang: 0, reset: 0, gone: 0 }
  requests = 0
  duplicates = 0
  /** Of each key the versions that were taken: always the first so many. */
  readonly taken = new Map<string, number>()
  readonly #ids = new Map<string, string>()
  readonly #server: Server
  secret = ''

  constructor(private readonly random: () => number) {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      // A sender that is killed leaves half a request.
      request.on('error', () => undefined)
      request.on('end', () =>
        this.#answer(request, response, request.headers, Buffer.concat(chunks).toString('utf8')),
      )
    })
  }

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/campaign`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((done) => this.#server.close(done))
  }

  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    headers: IncomingHttpHeaders,
    body: string,
  ): void {
    this.requests++
    const { data } = JSON.parse(body) as { readonly data: Told }
    this.#check(headers, body, data)
    const behaviour = this.#behaviour()
    this.answers[behaviour]++
    switch (behaviour) {
      case 'take': {
        const n = Number.parseInt(data.version.slice(1), 36)
        if ((this.taken.get(data.k) ?? 0) >= n) this.duplicates++
        this.taken.set(data.k, Math.max(this.taken.get(data.k) ?? 0, n))
        response.writeHead(204).end()
        return
      }
      case 'refuse':
        response.writeHead(500).end()
        return
      case 'hang':
        return
      case 'reset':
        request.socket.resetAndDestroy()
        return
      case 'gone':
        response.writeHead(410).end()
        return
      default:
        behaviour satisfies never
    }
  }

  #check(headers: IncomingHttpHeaders, body: string, { k, version }: Told): void {
    try {
      new Webhook(this.secret).verify(body, headers as Record<string, string>)
    } catch (error) {
      this.problems.push(`${k} ${version}: ${String(error)}`)
    }
    const id = headers['webhook-id'] as string
    const known = this.#ids.get(`${k} ${version}`)
    if (known !== undefined && known !== id) this.problems.push(`${k} ${version} came as ${known} and ${id}`)
    this.#ids.set(`${k} ${version}`, id)
    const n = Number.parseInt(version.slice(1), 36)
    const before = this.taken.get(k) ?? 0
    if (n > before + 1) this.problems.push(`${k} ${version} came after only ${before} were taken`)
  }

  #behaviour(): Behaviour {
    let at = this.random() * 100
    for (const behaviour of BEHAVIOURS) if ((at -= SHARES[behaviour]) < 0) return behaviour
    return 'take'
  }
}

/**
 * Promise 19: events are written and delivered by a server that is killed with SIGKILL at random moments, to an endpoint
 * that refuses, hangs, resets, and says now and then that it is gone for good, after which its hook is enabled again. In
 * the end every version that there is has been taken, those of a key in their order.
 */
export async function runWebhooksCampaign(campaign: WebhooksCampaign): Promise<WebhooksResult> {
  const { events, keys, seed, longest, limitMs } = campaign
  const random = seeded(seed)
  const endpoint = new Endpoint(seeded(seed + 1))
  const sender = new Sender(mkdtempSync(join(tmpdir(), 'kv4-webhooks-')))
  const giveUpAt = Date.now() + limitMs
  const problems = endpoint.problems
  let written = 0
  let kills = 0
  const takenOf = () => [...endpoint.taken.values()].reduce((sum, n) => sum + n, 0)
  try {
    await sender.begin()
    endpoint.secret = await sender.register(await endpoint.listen())
    let isOver = false
    const writing = Promise.all(
      Array.from({ length: keys }, async (_, i) => {
        for (let v = 0; v < events / keys; v++) {
          await sender.put(`k${i}`, v, () => Date.now() > giveUpAt)
          written++
        }
      }),
    )
    const killing = (async () => {
      while (!isOver) {
        const until = endpoint.requests + 1 + random() * longest
        while (endpoint.requests < until && !isOver) await wait(5)
        await wait(random() * 20)
        if (isOver || Date.now() > giveUpAt) return
        await sender.killAndStart()
        kills++
        campaign.onKill?.({ kills, written, taken: takenOf() })
      }
    })()
    const enabling = (async () => {
      while (!isOver) {
        await sender.enable()
        await wait(100)
      }
    })()
    const meanwhile = Promise.all([killing, enabling]).catch((error: unknown) => problems.push(String(error)))
    await writing
    // The same writes may have been made twice, by whoever had no answer: what counts is what there is.
    for (;;) {
      const missing = await sender.missing(endpoint.taken)
      if (missing.length === 0) break
      if (Date.now() > giveUpAt) {
        problems.push(`not delivered: ${missing.slice(0, 10).join(', ')}`)
        break
      }
      await wait(200)
    }
    isOver = true
    await meanwhile
    const { dead } = await sender.status()
    if (dead > 0) problems.push(`${dead} dead letters`)
  } finally {
    await sender.end()
    await endpoint.close()
    problems.push(...sender.complaints)
    if (problems.length === 0) rmSync(sender.directory, { recursive: true, force: true })
  }
  const { requests, answers, duplicates } = endpoint
  return { kills, written, requests, answers, duplicates, problems }
}

/** The server, from one kill to the next, and what is asked of it. */
class Sender {
  #process: ServerProcess | undefined
  #client: Client | undefined
  #secret = ''

  /** What it logged as a warning or worse. */
  readonly complaints: string[] = []

  constructor(readonly directory: string) {}

  async begin(): Promise<void> {
    await this.#start()
    const sys = this.#client!.as('$sys', SYS_SECRET)
    const { secret } = await sys.ok(
      sys.put<{ secret: string }>('/_acc/accounts', { k: 'elena', v: { email: 'elena@async.cl' } }),
    )
    this.#secret = secret
    this.#client = this.#client!.as('elena', secret)
  }

  async register(endpoint: string): Promise<string> {
    const client = this.#client!
    const { secret } = await client.ok(
      client.put<{ secret: string }>('/_hooks/campaign', { k: 'h', v: { endpoint } }),
    )
    return secret
  }

  async put(k: string, v: number, isLate: () => boolean): Promise<void> {
    await this.#persist((client) => client.ok(client.put('/_data/campaign', { k, v: { v } })), isLate)
  }

  async enable(): Promise<void> {
    await this.#persist(async (client) => {
      const { body } = await client.get<{ disabled?: unknown }>(HOOK)
      if (body.v.disabled !== undefined) await client.ok(client.post(`${HOOK}&enable`))
    })
  }

  status(): Promise<{ readonly dead: number }> {
    return this.#persist(
      async (client) => (await client.ok(client.get<{ status: { dead: number } }>(HOOK))).status,
    )
  }

  /** Keys of which fewer versions were taken than there are. */
  missing(taken: ReadonlyMap<string, number>): Promise<string[]> {
    return this.#persist(async (client) => {
      const entries = await client.ok(
        client.get<{ k: string; v: { _ver_: string } }[]>('/_data/campaign?as=datum&consistent=1'),
      )
      return entries
        .filter(({ k, v }) => (taken.get(k) ?? 0) < Number.parseInt(v._ver_.slice(1), 36))
        .map(({ k, v }) => `${k} ${v._ver_} of which ${taken.get(k) ?? 0}`)
    })
  }

  async killAndStart(): Promise<void> {
    await this.#kill()
    await this.#start()
  }

  async end(): Promise<void> {
    await this.#kill()
  }

  async #start(): Promise<void> {
    this.#process = startServe({
      KV4_DATA_DIR: this.directory,
      KV4_SYS_SECRET: SYS_SECRET,
      KV4_PEPPER: 'a pepper for the campaign, long enough',
      KV4_NODE: 'campaign',
      KV4_LOG_LEVEL: 'info',
      KV4_HOOKS_ALLOW: '127.0.0.1',
      // So many that an endpoint which takes two of three events takes each.
      KV4_HOOKS_RETRIES_MS: Array.from({ length: 32 }, () => 50).join(','),
      KV4_HOOKS_TIMEOUT_MS: '300',
    })
    this.#client = new Client(`http://127.0.0.1:${await this.#process.port}`, 'elena', this.#secret)
  }

  async #kill(): Promise<void> {
    const { child, exit, output } = this.#process!
    child.kill('SIGKILL')
    await exit
    for (const line of output().split('\n'))
      if (/^\{"level":(?:[4-6]0|"(?:warn|error|fatal)")/.test(line))
        this.complaints.push(line.slice(0, 2_000))
  }

  /** Again until it was answered: the server is killed all the time. */
  async #persist<Answer>(
    run: (client: Client) => Promise<Answer>,
    isLate: () => boolean = () => false,
  ): Promise<Answer> {
    for (;;) {
      try {
        return await run(this.#client!)
      } catch (error) {
        // fetch: no connection, or it broke. By name, as jest has classes of its own.
        if (!['TypeError', 'SyntaxError'].includes((error as Error).name) || isLate()) throw error
        await wait(20)
      }
    }
  }
}

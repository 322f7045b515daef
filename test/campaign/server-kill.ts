import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkInvariants, openEmbeddedStore } from '../../core/store/embedded'
import { Client } from '../client'
import type { ServerProcess } from '../server/process'
import type { KillResult, KillRound } from './kill'
import { ROUNDS_PER_DIRECTORY } from './kill'
import { seeded } from './random'
import { ServerLedger } from './server-ledger'
import { runServerWriters } from './server-writers'

const SYS_SECRET = 'a-secret-for-the-campaign'
const LIMIT_MS = 30_000

export interface ServerKillCampaign {
  readonly rounds: number
  readonly seed: number
  readonly writers?: number
  /** A round is killed after at most so many acknowledgements, and up to 20 ms. Default 400. */
  readonly longest?: number
  /** Starts the server with these settings. */
  readonly start: (settings: Readonly<Record<string, string>>) => ServerProcess
  /** The store of the server. Default: the embedded one. */
  readonly couchdb?: CouchdbUnderTest
  readonly onRound?: (round: ServerKillRound) => void
}

export interface CouchdbUnderTest {
  readonly url: string
  /** Kills it, and starts it again: in the middle of each round, while the server is written to. Absent: it stays up. */
  readonly crash?: () => Promise<void>
}

export interface ServerKillRound extends Omit<KillRound, 'killAfter'> {
  readonly moment: KillMoment
  readonly startMs: number
}

/** Counted in what was acknowledged, which a busy machine does not change, and so long after the last of it. */
export interface KillMoment {
  readonly acknowledgements: number
  readonly ms: number
}

/**
 * Promise 1 and 3 of the whole: a server is killed with SIGKILL at a random moment while clients write over HTTP. Its
 * data is scanned, another server is started on it, and that one is asked for everything that the one before
 * acknowledged; then the writers go on with it. `reopenMs` is the store's, `startMs` the server's until it listens. A
 * CouchDB is not scanned (`reopenMs` 0): what contradicts in it shows in what the server answers.
 */
export async function runServerKillCampaign(campaign: ServerKillCampaign): Promise<KillResult> {
  const { rounds, seed, writers = 64, longest = 400, start, couchdb, onRound } = campaign
  const random = seeded(seed)
  const problems: string[] = []
  const kept: string[] = []
  let acknowledged = 0
  let slowestReopenMs = 0
  for (let first = 0; first < rounds; first += ROUNDS_PER_DIRECTORY) {
    const directory = mkdtempSync(join(tmpdir(), 'kv4-kill-'))
    const before = problems.length
    const life = new Lives(directory, start, couchdb)
    try {
      await life.begin()
      for (let round = first; round < Math.min(rounds, first + ROUNDS_PER_DIRECTORY); round++) {
        const moment = { acknowledgements: 1 + Math.floor(random() * longest), ms: random() * 20 }
        await life.writeUntilKilled({ writers, seed, run: round + 1, moment })
        const found: string[] = []
        const reopenMs = couchdb === undefined ? await scan(directory, found) : 0
        slowestReopenMs = Math.max(slowestReopenMs, reopenMs)
        const startMs = await life.startAgain()
        found.push(...(await life.ledger.compare(life.client)))
        problems.push(
          ...found.map((problem) => `round ${round}, killed after ${moment.acknowledgements}: ${problem}`),
        )
        const { acknowledged } = life.ledger
        onRound?.({ round, moment, acknowledged, reopenMs, startMs, problems: found })
      }
    } finally {
      await life.kill()
      acknowledged += life.ledger.acknowledged
      if (problems.length === before) rmSync(directory, { recursive: true, force: true })
      else kept.push(directory)
    }
  }
  return { rounds, acknowledged, slowestReopenMs, problems, kept }
}

/** One data directory, and the servers that it has one after the other. */
class Lives {
  readonly ledger = new ServerLedger('elena')
  #server: ServerProcess | undefined
  #sys: Client | undefined
  #client: Client | undefined
  #secret = ''

  constructor(
    private readonly directory: string,
    private readonly start: ServerKillCampaign['start'],
    private readonly couchdb: CouchdbUnderTest | undefined,
  ) {}

  get client(): Client {
    return this.#client!
  }

  async begin(): Promise<void> {
    await this.startAgain()
    // On a CouchDB that served a campaign before.
    if (this.couchdb !== undefined) await this.#sys!.delete('/_acc/accounts?k=elena')
    const { secret } = await this.#sys!.ok(
      this.#sys!.put<{ secret: string }>('/_acc/accounts', { k: 'elena', v: { email: 'elena@async.cl' } }),
    )
    this.#secret = secret
    this.#client = this.#sys!.as('elena', secret)
  }

  /** Milliseconds until it listened. */
  async startAgain(): Promise<number> {
    const began = performance.now()
    this.#server = this.start({
      KV4_DATA_DIR: this.directory,
      KV4_SYS_SECRET: SYS_SECRET,
      KV4_PEPPER: 'a pepper for the campaign, long enough',
      KV4_NODE: 'campaign',
      ...(this.couchdb !== undefined && { KV4_COUCHDB_URL: this.couchdb.url }),
    })
    const url = `http://127.0.0.1:${await this.#server.port}`
    this.#sys = new Client(url, '$sys', SYS_SECRET)
    this.#client = new Client(url, 'elena', this.#secret)
    return performance.now() - began
  }

  async writeUntilKilled({
    moment,
    ...how
  }: {
    readonly writers: number
    readonly seed: number
    readonly run: number
    readonly moment: KillMoment
  }): Promise<void> {
    const { child, exit, errors } = this.#server!
    let killer: NodeJS.Timeout | undefined
    let left = moment.acknowledgements
    let crash: Promise<void> | undefined
    const kill = () => child.kill('SIGKILL')
    const late = setTimeout(kill, LIMIT_MS)
    await runServerWriters({
      client: this.#client!,
      sys: this.#sys!,
      ledger: this.ledger,
      ...how,
      storeMayBeAway: this.couchdb?.crash !== undefined,
      onAcknowledged: () => {
        if (left <= moment.acknowledgements / 2) crash ??= this.couchdb?.crash?.()
        if (--left <= 0) killer ??= setTimeout(kill, moment.ms)
      },
    })
    clearTimeout(late)
    clearTimeout(killer)
    await crash
    const { signal, code } = await exit
    if (signal !== 'SIGKILL') throw new Error(`the server ended by itself: ${code} ${signal} ${errors()}`)
  }

  async kill(): Promise<void> {
    this.#server?.child.kill('SIGKILL')
    await this.#server?.exit
  }
}

/** Opens the store that a server left, and says what contradicts in it. Milliseconds until it was open. */
async function scan(directory: string, problems: string[]): Promise<number> {
  const began = performance.now()
  const store = await openEmbeddedStore({
    directory: join(directory, 'store'),
    onFatal: (error) => problems.push(`fatal: ${error.message}`),
  })
  const openMs = performance.now() - began
  problems.push(...checkInvariants(store))
  await store.close()
  return openMs
}

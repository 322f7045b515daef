import { execFile } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { BucketName, Key, Layer, Path, createEngine } from '../../core'
import type { Address, Bucket, RunningEngine, Version } from '../../core'
import { openCouchStore } from '../../core/store/couch/open-couch-store'
import { couch } from '../couchdb/targets'
import { eventually } from '../eventually'
import { seeded } from './random'

/** What can be done to a node of the cluster, from outside. */
export type ClusterAction = 'kill' | 'wipe' | 'start' | 'pause' | 'continue'

/** Three nodes of CouchDB, each with a copy of everything. */
export interface Cluster {
  readonly urls: readonly string[]
  /**
   * `kill`: SIGKILL; `wipe`: removes all its data, while it is not running; `start`: resolves when it is a member again;
   * `pause`, `continue`: SIGSTOP, SIGCONT. @param node 0, 1, 2
   */
  control(node: number, action: ClusterAction): Promise<void>
}

/**
 * KV4_TEST_COUCHDB_CLUSTER: the URLs of the nodes with an administrator's login, by commas; KV4_TEST_COUCHDB_CONTROL: a
 * program that is called with the number of a node (1, 2, 3) and an action. undefined: they are not set.
 */
export function clusterOfEnvironment(): Cluster | undefined {
  const { KV4_TEST_COUCHDB_CLUSTER: urls, KV4_TEST_COUCHDB_CONTROL: program } = process.env
  if (urls === undefined || program === undefined) return undefined
  return {
    urls: urls.split(','),
    async control(node, action) {
      await promisify(execFile)(program, [String(node + 1), action])
    },
  }
}

const LAYER = Layer.parse('*cluster')
const PATH = Path.parse('/campaign')
const BY = 'campaign'
const GIVE_UP_MS = 60_000
const PAGE = 1_000

function addressOf(key: string): Address {
  return { layer: LAYER, path: PATH, key: Key.parse(key) }
}

/** A node of KV4 beside each of CouchDB. */
class AppNodes {
  private constructor(
    readonly bucket: BucketName,
    readonly engines: readonly RunningEngine[],
  ) {}

  static async start({ urls }: Cluster, purpose: string): Promise<AppNodes> {
    const engines = await Promise.all(
      urls.map(async (url, i) => {
        const engine = createEngine({
          store: await openCouchStore({ url, node: `app-${i}`, timeoutMs: 5_000 }),
        })
        engine.layers.declare({ name: LAYER, kind: 'versioned' })
        return engine
      }),
    )
    const bucket = BucketName.of(`${purpose}-${process.pid}-${Date.now().toString(36)}`)
    await engines[0]!.create(bucket)
    return new AppNodes(bucket, engines)
  }

  at(node: number): Bucket {
    return this.engines[node]!.bucket(this.bucket)
  }

  async close(): Promise<void> {
    await this.engines[0]!.drop(this.bucket)
    for (const engine of this.engines) await engine.close()
  }
}

/** All versions of a key, past every cache. */
async function historyOf(bucket: Bucket, address: Address): Promise<readonly Version[]> {
  const versions: Version[] = []
  // The history begins at the latest version that is known here.
  await bucket.get(address, { consistent: true })
  let after: number | undefined
  do {
    const page = await bucket.history(address, {}, { limit: PAGE, ...(after !== undefined && { after }) })
    versions.push(...page.items)
    after = page.next
  } while (after !== undefined)
  return versions
}

export interface LossRound {
  readonly round: number
  readonly node: number
  /** In all rounds so far. */
  readonly acknowledged: number
  /** From its start until it had everything again. */
  readonly backMs: number
  readonly problems: readonly string[]
}

export interface LossResult {
  readonly rounds: number
  readonly acknowledged: number
  readonly unanswered: number
  readonly problems: readonly string[]
}

/**
 * Promise 10: what was acknowledged survives the loss of any one node. Writers at all three nodes; one node is killed at a
 * random moment and its data removed, while they go on; then everything that was acknowledged in all rounds is read
 * through the other two. The node comes back empty, the others give it everything, and the next is lost.
 */
export async function runLossCampaign(
  cluster: Cluster,
  options: {
    readonly rounds: number
    readonly seed: number
    /** At each node. Default 8. */
    readonly writers?: number
    /** The longest that a round writes before its node is lost, ms. Default 1,000. */
    readonly longest?: number
    readonly onRound?: (round: LossRound) => void
  },
): Promise<LossResult> {
  const { rounds, seed, writers = 8, longest = 1_000, onRound } = options
  const random = seeded(seed)
  const nodes = await AppNodes.start(cluster, 'loss')
  const ledger = new Map<string, Set<string>>()
  const problems: string[] = []
  let acknowledged = 0
  let unanswered = 0
  try {
    for (let round = 1; round <= rounds; round++) {
      const before = problems.length
      const lost = (round - 1) % cluster.urls.length
      let on = true
      const writing = cluster.urls.flatMap((_, node) =>
        Array.from({ length: writers }, async (_, i) => {
          const key = `key-${node}-${i}`
          const kept = ledger.get(key) ?? new Set<string>()
          ledger.set(key, kept)
          for (let j = 0; on; j++) {
            const value = `${round}.${j}`
            try {
              await nodes.at(node).put(addressOf(key), value, { by: BY })
              kept.add(value)
              acknowledged++
            } catch {
              // Whether it was stored is not known, so nothing is asked of it.
              unanswered++
              await wait(20)
            }
          }
        }),
      )
      await wait(random() * longest)
      await cluster.control(lost, 'kill')
      await cluster.control(lost, 'wipe')
      await wait(random() * longest)
      on = false
      await Promise.all(writing)

      const others = cluster.urls.map((_, node) => node).filter((node) => node !== lost)
      for (const node of others)
        await Promise.all(
          [...ledger].map(async ([key, values]) => {
            const versions = await eventually(() => historyOf(nodes.at(node), addressOf(key)), GIVE_UP_MS)
            const found = new Set(versions.map(({ v }) => v))
            for (const value of values)
              if (!found.has(value))
                problems.push(`round ${round}: node ${node + 1} has not ${value} of ${key}, acknowledged`)
          }),
        )

      const started = performance.now()
      await cluster.control(lost, 'start')
      await caughtUp(cluster, nodes.bucket, lost, others[0]!)
      const backMs = performance.now() - started
      onRound?.({ round, node: lost, acknowledged, backMs, problems: problems.slice(before) })
    }
    return { rounds, acknowledged, unanswered, problems }
  } finally {
    await nodes.close()
  }
}

/** Resolves when a node's own copy has as many documents as another's. */
async function caughtUp(cluster: Cluster, bucket: BucketName, node: number, other: number): Promise<void> {
  const name = encodeURIComponent(BucketName.database(bucket))
  const countAt = async (at: number): Promise<number | undefined> => {
    const url = cluster.urls[at]!
    const { by_range: ranges, shard_suffix: suffix } = await couch<{
      readonly by_range?: Readonly<Record<string, unknown>>
      readonly shard_suffix?: readonly number[]
    }>(url, 'GET', `/_node/_local/_dbs/${name}`)
    if (ranges === undefined || suffix === undefined) return undefined
    let count = 0
    for (const range of Object.keys(ranges)) {
      const shard = encodeURIComponent(
        `shards/${range}/${BucketName.database(bucket)}${String.fromCharCode(...suffix)}`,
      )
      const { doc_count } = await couch<{ readonly doc_count?: number }>(url, 'GET', `/_node/_local/${shard}`)
      if (doc_count === undefined) return undefined
      count += doc_count
    }
    return count
  }
  const until = performance.now() + GIVE_UP_MS
  for (;;) {
    await couch(cluster.urls[other]!, 'POST', `/${name}/_sync_shards`, {})
    const [mine, its] = [await countAt(node), await countAt(other)]
    if (mine !== undefined && mine === its) return
    if (performance.now() > until) throw new Error(`node ${node + 1} has ${mine} documents and not ${its}`)
    await wait(100)
  }
}

export interface PauseResult {
  readonly operations: number
  readonly failed: number
  readonly p99Ms: number
}

/**
 * Promise 11: while one node of the cluster hangs, those of KV4 that are not beside it go on. Counts from five seconds
 * after the node was stopped; writes and consistent reads in turns.
 */
export async function runPauseCampaign(
  cluster: Cluster,
  { pauseMs, callers = 8 }: { readonly pauseMs: number; readonly callers?: number },
): Promise<PauseResult> {
  const nodes = await AppNodes.start(cluster, 'pause')
  const took: number[] = []
  let failed = 0
  let counts = false
  let on = true
  const hung = cluster.urls.length - 1
  try {
    const calling = Array.from({ length: hung }, (_, node) =>
      Array.from({ length: callers }, async (_, i) => {
        const bucket = nodes.at(node)
        const address = addressOf(`key-${node}-${i}`)
        for (let j = 0; on; j++) {
          const start = performance.now()
          const counted = counts
          try {
            if (j % 2 === 0) await bucket.put(address, j, { by: BY })
            else await bucket.get(address, { consistent: true })
          } catch {
            if (counted) failed++
          }
          if (counted) took.push(performance.now() - start)
        }
      }),
    ).flat()
    await wait(1_000)
    await cluster.control(hung, 'pause')
    try {
      await wait(5_000)
      counts = true
      await wait(pauseMs - 5_000)
      counts = false
    } finally {
      await cluster.control(hung, 'continue')
    }
    on = false
    await Promise.all(calling)
    took.sort((a, b) => a - b)
    return { operations: took.length, failed, p99Ms: took[Math.floor(took.length * 0.99)] ?? Infinity }
  } finally {
    on = false
    await nodes.close()
  }
}

export interface RaceResult {
  readonly acknowledged: number
  readonly unanswered: number
  /** Numbers that two acknowledged writes had: CouchDB took both. */
  readonly branches: number
  /** From the last acknowledgement until the history had every one. */
  readonly surfacedMs: number
  readonly vanished: readonly string[]
}

/**
 * Promise 12: nodes of KV4, each beside another of the cluster, write to one key at once, again and again. A branch that
 * CouchDB hides comes up in the history.
 */
export async function runRaceCampaign(
  cluster: Cluster,
  { races, writers = 2 }: { readonly races: number; readonly writers?: number },
): Promise<RaceResult> {
  const nodes = await AppNodes.start(cluster, 'race')
  const numbers = new Map<string, string>()
  let unanswered = 0
  let acknowledged = 0
  let branches = 0
  let surfacedMs = 0
  const vanished: string[] = []
  // A key's history is read whole, so each key has a part of the races.
  const part = 500
  try {
    for (let first = 0; first < races; first += part) {
      const address = addressOf(`key-${first}`)
      const values = new Set<string>()
      let left = Math.min(part, races - first)
      await Promise.all(
        cluster.urls.flatMap((_, node) =>
          Array.from({ length: writers }, async (_, i) => {
            for (let j = 0; left > 0; j++) {
              left--
              const value = `${node}.${i}.${j}`
              try {
                const { n } = await nodes.at(node).put(address, value, { by: BY })
                values.add(value)
                const id = `${first} ${n}`
                if (numbers.has(id)) branches++
                numbers.set(id, value)
              } catch {
                unanswered++
              }
            }
          }),
        ),
      )
      acknowledged += values.size
      const start = performance.now()
      let missing: string[] = []
      do {
        const versions = await eventually(() => historyOf(nodes.at(0), address), GIVE_UP_MS)
        const found = new Set(versions.map(({ v }) => v))
        missing = [...values].filter((value) => !found.has(value))
      } while (missing.length > 0 && performance.now() - start < GIVE_UP_MS)
      surfacedMs = Math.max(surfacedMs, performance.now() - start)
      vanished.push(...missing.map((value) => `${value} of ${address.key}`))
      numbers.clear()
    }
    return { acknowledged, unanswered, branches, surfacedMs, vanished }
  } finally {
    await nodes.close()
  }
}

import { setTimeout as wait } from 'node:timers/promises'
import type { Client, Row } from '../client'
import { WatchClient } from '../watch-client'
import { seeded } from './random'

export interface WatchCampaignOptions {
  /** One account, on each node. */
  readonly nodes: readonly Client[]
  readonly watchers: number
  readonly writes: number
  readonly seed: number
  /** Writers at once. Default 16. */
  readonly writers?: number
  /** Names what is written, so that several runs may share an account. */
  readonly name: string
  /** How long a watcher goes on that is told nothing new. Default 60 s. */
  readonly patienceMs?: number
  readonly onProgress?: (written: number, disconnects: number) => void
}

export interface WatchCampaignResult {
  /** What was told wrong; empty: nothing was missed, and nothing told twice within a connection. */
  readonly problems: readonly string[]
  readonly written: number
  /** Of all watchers, without what was told again. */
  readonly told: number
  /** Connections that were cut by their reader and resumed, on whatever node. */
  readonly disconnects: number
}

/** One change as a watcher was told it. */
interface Told {
  readonly version: string
  readonly value: unknown
}

const PATHS = ['', '/a', '/a/b', '/c']
const KEYS = 12
/** The store does not answer now: worth another try. */
const BUSY = 503
/** Ends of a stream that one comes back from. */
const RESUMABLE: ReadonlySet<string> = new Set(['reader_too_slow', 'store_unavailable'])
const VALUE_OF_DELETE = { _deleted: true }

/** What one watcher looks at, and what it was told, by path and key. */
class Watcher {
  readonly told = new Map<string, Told[]>()
  readonly problems: string[] = []
  disconnects = 0
  #cursor = ''
  #failed = false
  #expected: ReadonlyMap<string, readonly unknown[]> | undefined

  constructor(
    private readonly name: string,
    private readonly nodes: readonly Client[],
    /** Path and query below which it watches. */
    private readonly target: string,
    /** Which of the keys belong to it. */
    readonly watches: (path: string, key: string) => boolean,
    private readonly polls: boolean,
    private readonly random: () => number,
    private readonly patienceMs: number,
  ) {}

  /** Resolves when it is there, so that what is written from now on is told. */
  async begin(): Promise<void> {
    const { body } = await this.#node.get(`${this.target}&wait=0`)
    this.#cursor = body.next!
  }

  /** What there is to be told in all, now that it is known: values by path and key, oldest first. */
  expect(series: ReadonlyMap<string, readonly unknown[]>): void {
    this.#expected = new Map(
      [...series].filter(([place]) => this.watches(...(place.split(' ') as [string, string]))),
    )
  }

  /** Until everything was told, or nothing more comes; disconnects now and then, also in the middle of an event. */
  async run(): Promise<void> {
    let heardAt = Date.now()
    while (!this.#failed && !this.#isComplete) {
      const before = this.count
      if (this.polls) await this.#poll()
      else await this.#stream()
      if (this.count > before || this.#expected === undefined) heardAt = Date.now()
      else if (Date.now() - heardAt > this.patienceMs) break
      await wait(this.random() * 30)
    }
    this.#compare()
  }

  get #isComplete(): boolean {
    if (this.#expected === undefined) return false
    for (const [place, values] of this.#expected)
      if ((this.told.get(place)?.length ?? 0) < values.length) return false
    return true
  }

  #compare(): void {
    for (const [place, values] of this.#expected ?? []) {
      const told = (this.told.get(place) ?? []).map(({ value }) => value)
      if (JSON.stringify(told) === JSON.stringify(values)) continue
      const at = values.findIndex((value, i) => JSON.stringify(value) !== JSON.stringify(told[i]))
      this.problems.push(
        `${this.name}: ${place} was told ${told.length} of ${values.length} changes; the ${at}th is ` +
          `${JSON.stringify(told[at])} instead of ${JSON.stringify(values[at])}`,
      )
    }
  }

  get count(): number {
    return [...this.told.values()].reduce((sum, { length }) => sum + length, 0)
  }

  get #node(): Client {
    return this.nodes[Math.floor(this.random() * this.nodes.length)]!
  }

  async #poll(): Promise<void> {
    const limit = 1 + Math.floor(this.random() * 50)
    const { body, status } = await this.#node.get<readonly Readonly<Record<string, unknown>>[]>(
      `${this.target}&wait=1&limit=${limit}&since=${this.#cursor}`,
    )
    if (status === BUSY) return
    if (status !== 200) {
      this.problems.push(`${this.name}: a poll was answered ${status} ${JSON.stringify(body.v)}`)
      this.#failed = true
      return
    }
    this.disconnects++
    // An answer that never arrived is asked for again.
    if (this.random() < 0.2) return
    const heard = new Set<string>()
    for (const change of body.v) this.#hear(change, heard)
    this.#cursor = body.next!
  }

  async #stream(): Promise<void> {
    const stream = await WatchClient.open(this.#node, this.target, { lastEventId: this.#cursor })
    if (stream.status === BUSY) return stream.close()
    if (stream.status !== 200) {
      this.problems.push(`${this.name}: a stream was answered ${stream.status}`)
      this.#failed = true
      return
    }
    const most = 1 + Math.floor(this.random() * 60)
    const until = Date.now() + 20 + this.random() * 400
    try {
      await stream
        .until(() => stream.events.length >= most || Date.now() >= until, until - Date.now())
        // Nothing came for a while: it goes, too.
        .catch(() => undefined)
    } finally {
      stream.close()
    }
    this.disconnects++
    const heard = new Set<string>()
    for (const { event, data, id } of stream.events) {
      if (event === 'error') {
        if (!RESUMABLE.has(String(data['v']))) this.problems.push(`${this.name}: ${JSON.stringify(data)}`)
        continue
      }
      this.#hear(data, heard)
      this.#cursor = id
    }
    if (stream.events.length === 0) this.#cursor = stream.lastEventId || this.#cursor
  }

  #hear({ path, k, version, v, type }: Readonly<Record<string, unknown>>, heard: Set<string>): void {
    const place = `${String(path)} ${String(k)}`
    if (!this.watches(String(path), String(k)))
      this.problems.push(`${this.name}: was told of ${place}, which it does not watch`)
    const identity = `${place} ${String(version)}`
    if (heard.has(identity)) this.problems.push(`${this.name}: ${identity} was told twice in one connection`)
    heard.add(identity)
    const told = this.told.get(place) ?? []
    this.told.set(place, told)
    // Told again after a disconnect: what matters is that nothing is left out and the order holds.
    if (told.some((each) => each.version === version)) return
    told.push({ version: String(version), value: type === 'delete' ? VALUE_OF_DELETE : v })
  }
}

/**
 * Watchers of many kinds (everything below a path, a path alone, one key; streams and long polls) that disconnect at random
 * and resume, on any node, while writers write; then what each was told is compared with the time series of each key.
 */
export async function runWatchCampaign({
  nodes,
  watchers: count,
  writes,
  seed,
  writers = 16,
  name,
  patienceMs = 60_000,
  onProgress,
}: WatchCampaignOptions): Promise<WatchCampaignResult> {
  const random = seeded(seed)
  const root = `/${name}`
  const watchers = Array.from({ length: count }, (_, i) => {
    const path = root + PATHS[i % PATHS.length]!
    const key = `k${i % KEYS}`
    const own = seeded(seed + i + 1)
    const polls = i % 5 === 4
    const watcher = (query: string, watches: (path: string, k: string) => boolean) =>
      new Watcher(
        `watcher ${i} (${query})`,
        nodes,
        `/_data${path}?watch=1${query}`,
        watches,
        polls,
        own,
        patienceMs,
      )
    switch (i % 3) {
      case 0:
        return watcher('', (at) => at === path || at.startsWith(`${path}/`))
      case 1:
        return watcher('&depth=0', (at) => at === path)
      default:
        return watcher(`&depth=0&k=${key}`, (at, k) => at === path && k === key)
    }
  })
  await Promise.all(watchers.map((watcher) => watcher.begin()))
  const running = watchers.map((watcher) => watcher.run())

  let written = 0
  const addresses = new Set<string>()
  async function write(): Promise<void> {
    while (written < writes) {
      const n = ++written
      const path = root + PATHS[Math.floor(random() * PATHS.length)]!
      const k = `k${Math.floor(random() * KEYS)}`
      const node = nodes[n % nodes.length]!
      addresses.add(`${path} ${k}`)
      if (random() < 0.1) await node.delete(`/_data${path}?k=${k}`)
      else await put(node, path, k, n)
      if (n % 500 === 0)
        onProgress?.(
          n,
          watchers.reduce((sum, { disconnects }) => sum + disconnects, 0),
        )
    }
  }
  await Promise.all(Array.from({ length: writers }, write))
  const series = new Map<string, readonly unknown[]>()
  for (const place of addresses) series.set(place, await timeSeries(nodes[0]!, place))
  for (const watcher of watchers) watcher.expect(series)
  await Promise.all(running)

  const problems = watchers.flatMap((watcher) => watcher.problems)
  return {
    problems,
    written,
    told: watchers.reduce((sum, watcher) => sum + watcher.count, 0),
    disconnects: watchers.reduce((sum, { disconnects }) => sum + disconnects, 0),
  }
}

/** A store that does not answer for a moment may have written or not: the time series says so in the end. */
async function put(node: Client, path: string, k: string, v: number): Promise<void> {
  const { status, body } = await node.post(`/_data${path}`, { k, v })
  if (body.s !== 'ok' && status !== BUSY)
    throw new Error(`a write was answered ${status} ${JSON.stringify(body)}`)
}

/** What the time series of a key says, oldest first. */
async function timeSeries(node: Client, place: string): Promise<readonly unknown[]> {
  const [path, k] = place.split(' ') as [string, string]
  const values: unknown[] = []
  let after = ''
  for (;;) {
    const { body, status } = await node.get<readonly Row[]>(
      `/_data${path}?k=${k}&time_series=1&limit=1000&consistent=1${after && `&after=${after}`}`,
    )
    if (status === BUSY) continue
    values.push(...body.v.map(([, , value]) => value))
    if (body.next === undefined) return values.reverse()
    after = body.next
  }
}

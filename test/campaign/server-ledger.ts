import type { Answer, Client, Row } from '../client'
import { valueOf } from './acknowledgement'

/** What a put asked for: the value made of `number`, which no other put has. */
export interface SentPut {
  readonly number: number
  readonly k2?: string
  readonly ttl?: number
}

/** An entry as the platform addresses it. */
export interface EntryName {
  readonly path: string
  readonly key: string
}

interface Entry extends EntryName {
  readonly sent: Map<string, SentPut>
  /** By version number; null: a deletion. */
  readonly acknowledged: Map<number, SentPut | null>
  /** Deletions, those among `acknowledged` too. */
  deletions: number
}

interface Series {
  sent: number
  acknowledged: number
}

interface Account {
  readonly secret: string
  deletion: 'none' | 'asked' | 'acknowledged'
}

const SWEEPER = '$sys'

/**
 * What a server acknowledged over HTTP in the life of its directory, and the comparison with what it answers after it
 * was started again. A version is known by its value and, where the answer said so, its number.
 */
export class ServerLedger {
  readonly #entries = new Map<string, Entry>()
  readonly #series = new Map<string, Series>()
  readonly #accounts = new Map<string, Account>()
  readonly #problems: string[] = []
  acknowledged = 0

  constructor(
    /** The writers' login. */
    private readonly login: string,
  ) {}

  sendsPut(name: EntryName, sent: SentPut): void {
    this.#entry(name).sent.set(valueOf(sent.number), sent)
  }

  putAcknowledged(name: EntryName, n: number, sent: SentPut): void {
    this.#acknowledge(name, n, sent)
  }

  /** `n`: where the deletion was conditional, and so the number of its version is known. */
  deletionAcknowledged(name: EntryName, n: number | undefined): void {
    this.#entry(name).deletions++
    if (n === undefined) this.acknowledged++
    else this.#acknowledge(name, n, null)
  }

  sendsSample(path: string): void {
    this.#seriesOf(path).sent++
  }

  sampleAcknowledged(path: string): void {
    this.acknowledged++
    this.#seriesOf(path).acknowledged++
  }

  accountCreated(name: string, secret: string): void {
    this.acknowledged++
    this.#accounts.set(name, { secret, deletion: 'none' })
  }

  sendsAccountDeletion(name: string): void {
    this.#accounts.get(name)!.deletion = 'asked'
  }

  accountDeleted(name: string): void {
    this.acknowledged++
    this.#accounts.get(name)!.deletion = 'acknowledged'
  }

  /** What was lost, doubled, torn or made up. */
  async compare(client: Client): Promise<string[]> {
    const problems = [...this.#problems]
    /** By path and k2: the keys whose entry carries it. */
    const carriers = new Map<string, string[]>()
    const contested = new Set<string>()
    await inTurns([...this.#entries.values()], async (entry) => {
      const rows = await history(client, entry)
      problems.push(...this.#compareRows(entry, rows))
      const current = rows.length === 0 ? undefined : entry.sent.get(String(rows.at(-1)![2]))
      for (const { k2 } of entry.sent.values()) if (k2 !== undefined) contested.add(`${entry.path}?k2=${k2}`)
      const answer = await client.get<unknown>(`${entry.path}?k=${entry.key}`)
      problems.push(...compareCurrent(entry, rows, current, answer))
      if (answer.status === 200 && current?.k2 !== undefined) {
        const name = `${entry.path}?k2=${current.k2}`
        carriers.set(name, [...(carriers.get(name) ?? []), valueOf(current.number)])
      }
    })
    await inTurns([...contested], async (name) => {
      const values = carriers.get(name) ?? []
      if (values.length > 1) problems.push(`${name}: ${values.length} live entries carry it`)
      const { status, body } = await client.get<unknown>(name)
      if (status === 200 ? body.v !== values[0] : values.length > 0)
        problems.push(`${name}: ${values.length} carry it, and the answer is ${status} ${String(body.v)}`)
    })
    await inTurns([...this.#series], async ([path, { sent, acknowledged }]) => {
      const { body } = await client.get<{ readonly count: number; readonly sum: number }>(
        `/_stats${path}?l=campaign`,
      )
      const { count = 0, sum = 0 } = Array.isArray(body.v) ? {} : body.v
      if (count < acknowledged || count > sent || sum !== count)
        problems.push(
          `samples of ${path}: ${acknowledged} acknowledged, ${sent} sent, ${count} counted, sum ${sum}`,
        )
    })
    await inTurns([...this.#accounts], async ([name, { secret, deletion }]) => {
      const { body } = await client.as(name, secret).get<unknown>('/_ns')
      if (deletion === 'none' && body.s !== 'ok') problems.push(`account ${name} is lost: ${String(body.v)}`)
      if (deletion === 'acknowledged' && body.s === 'ok') problems.push(`deleted account ${name} is back`)
    })
    return problems
  }

  /** The versions of an entry are its rows, oldest first: the scan of the invariants says that there is no hole. */
  #compareRows(entry: Entry, rows: readonly Row[]): string[] {
    const { path, key } = entry
    const problems: string[] = []
    let deletions = 0
    rows.forEach(([, by, value], i) => {
      if (!isDeletion(value)) {
        if (!entry.sent.has(String(value))) problems.push(`${path} ${key}: version ${i + 1} was never sent`)
      } else if (by === this.login) deletions++
      else if (by !== SWEEPER || entry.sent.get(String(rows[i - 1]?.[2]))?.ttl === undefined)
        problems.push(`${path} ${key}: version ${i + 1} is a deletion that nobody asked for`)
    })
    if (deletions < entry.deletions)
      problems.push(`${path} ${key}: ${entry.deletions} acknowledged deletions, ${deletions} are there`)
    for (const [n, sent] of entry.acknowledged) {
      const found = rows[n - 1]
      if (found === undefined) problems.push(`${path} ${key}: acknowledged version ${n} is lost`)
      else if (sent === null ? !isDeletion(found[2]) : found[2] !== valueOf(sent.number))
        problems.push(`${path} ${key}: version ${n} is another than was acknowledged`)
    }
    return problems
  }

  #acknowledge(name: EntryName, n: number, sent: SentPut | null): void {
    this.acknowledged++
    const { acknowledged } = this.#entry(name)
    if (acknowledged.has(n))
      this.#problems.push(`${name.path} ${name.key}: version ${n} was acknowledged twice`)
    acknowledged.set(n, sent)
  }

  #entry({ path, key }: EntryName): Entry {
    const id = `${path} ${key}`
    let entry = this.#entries.get(id)
    if (entry === undefined)
      this.#entries.set(id, (entry = { path, key, sent: new Map(), acknowledged: new Map(), deletions: 0 }))
    return entry
  }

  #seriesOf(path: string): Series {
    let series = this.#series.get(path)
    if (series === undefined) this.#series.set(path, (series = { sent: 0, acknowledged: 0 }))
    return series
  }
}

function compareCurrent(
  { path, key }: EntryName,
  rows: readonly Row[],
  current: SentPut | undefined,
  { status, headers, body }: Answer<unknown>,
): string[] {
  const said = `${path} ${key}: the answer is ${status} ${String(body.v).slice(0, 40)}`
  if (current === undefined) return status === 404 ? [] : [`${said}, and the last version is a deletion`]
  // It may lapse between the two questions.
  if (status === 404 && current.ttl !== undefined) return []
  const tag = `"v${rows.length.toString(36)}"`
  return status === 200 && body.v === valueOf(current.number) && headers.get('etag') === tag
    ? []
    : [`${said} ${headers.get('etag')}, and the last version is number ${rows.length}, ${current.number}`]
}

function isDeletion(value: unknown): boolean {
  return typeof value === 'object' && value !== null && '_deleted' in value
}

/** Oldest first. */
async function history(client: Client, { path, key }: EntryName): Promise<readonly Row[]> {
  const rows: Row[] = []
  let after = ''
  for (;;) {
    const { status, body } = await client.get<readonly Row[]>(`${path}?k=${key}&time_series=1${after}`)
    if (status !== 200) throw new Error(`${path} ${key}: ${status} ${JSON.stringify(body)}`)
    rows.push(...body.v)
    if (body.next === undefined) return rows.reverse()
    after = `&after=${encodeURIComponent(body.next)}`
  }
}

const AT_ONCE = 16

async function inTurns<Item>(items: Item[], run: (item: Item) => Promise<void>): Promise<void> {
  const left = [...items]
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let item = left.pop(); item !== undefined; item = left.pop()) await run(item)
    }),
  )
}

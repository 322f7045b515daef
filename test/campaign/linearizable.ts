import type { Answer, Client } from '../client'
import { ENTRY_MODEL } from './entry-model'
import type { EntryAnswer, EntryCall } from './entry-model'
import { checkLinearizable } from './linearizability'
import type { Operation } from './linearizability'
import { seeded } from './random'

export interface LinearizableCampaign {
  /** The same account on each node: callers take them in turn. */
  readonly nodes: readonly Client[]
  /** The same through a proxy that cuts some of its connections; every tenth caller goes this way. Absent: none does. */
  readonly unreliable?: Client
  readonly operations: number
  readonly seed: number
  /** Callers at once. Default 16. */
  readonly callers?: number
  /** Reads go past the caches. */
  readonly consistent: boolean
  /** Names the paths, so that several campaigns may run on one platform. */
  readonly name: string
  readonly onEpoch?: (line: string) => void
}

export interface LinearizableResult {
  readonly operations: number
  /** Of them, those that nobody knows the end of. */
  readonly unanswered: number
  /** Conditional writes that held, and those that did not. */
  readonly won: number
  readonly refused: number
  readonly violations: readonly string[]
}

// New entries after so many operations, so that what has to be kept and checked at once stays small.
const EPOCH = 5_000
const ENTRIES = 5

type Call = Operation<EntryCall, EntryAnswer>

/**
 * Promises 4 and 13 of the whole: many callers put, get, compare-and-set and delete a few entries at once, and each
 * entry's history of calls and answers must be one that a single caller could have had, one call after the other.
 */
export async function runLinearizableCampaign(campaign: LinearizableCampaign): Promise<LinearizableResult> {
  const { operations, seed, callers = 16, name, onEpoch } = campaign
  const result = { operations: 0, unanswered: 0, won: 0, refused: 0, violations: [] as string[] }
  for (let epoch = 0; result.operations < operations; epoch++) {
    const histories = new Map<string, Call[]>()
    const clock = { now: 0, left: Math.min(EPOCH, operations - result.operations) }
    const path = `/_data/${name}/${epoch}`
    await Promise.all(
      Array.from({ length: callers }, (_, i) => {
        const { nodes, unreliable } = campaign
        const client = unreliable !== undefined && i % 10 === 9 ? unreliable : nodes[i % nodes.length]!
        const random = seeded(seed * 1_000_003 + epoch * 1_009 + i)
        return new Caller(client, path, `${epoch}.${i}`, campaign.consistent, random, clock, histories).run()
      }),
    )
    for (const [key, history] of histories) {
      result.operations += history.length
      for (const { input, output } of history) {
        if (output === undefined) result.unanswered++
        else if (output.kind === 'refused') result.refused++
        else if (input.kind !== 'get' && input.on !== undefined) result.won++
      }
      const verdict = checkLinearizable(history, ENTRY_MODEL)
      if (!verdict.linearizable)
        result.violations.push(`${path} ${key}: no order for ${JSON.stringify(verdict.stuck)}`)
    }
    onEpoch?.(
      `${result.operations} operations, ${result.unanswered} unanswered, ${result.violations.length} violations`,
    )
  }
  return result
}

class Caller {
  readonly #seen = new Map<string, number>()
  #made = 0

  constructor(
    private readonly client: Client,
    private readonly path: string,
    private readonly id: string,
    private readonly consistent: boolean,
    private readonly random: () => number,
    private readonly clock: { now: number; left: number },
    private readonly histories: Map<string, Call[]>,
  ) {}

  async run(): Promise<void> {
    let key = 'k0'
    while (this.clock.left-- > 0) {
      // Half of the calls follow on the one before, as a condition on what was just read does.
      if (this.random() < 0.5) key = `k${Math.floor(this.random() * ENTRIES)}`
      const input = this.#next(key)
      const invokedAt = ++this.clock.now
      const output = await this.#call(key, input)
      const returnedAt = output === undefined ? Infinity : ++this.clock.now
      this.#remember(key, input, output)
      // A read that nobody heard of tells nothing.
      if (output === undefined && input.kind === 'get') continue
      const history = this.histories.get(key) ?? []
      this.histories.set(key, history)
      history.push({ input, output, invokedAt, returnedAt })
    }
  }

  #next(key: string): EntryCall {
    const move = this.random()
    if (move < 0.45) return { kind: 'get' }
    const seen = this.#seen.get(key)
    const on = seen !== undefined && this.random() < 0.7 ? { on: seen } : undefined
    // A deletion cannot ask for there being nothing.
    if (move > 0.85) return { kind: 'remove', ...(on?.on !== 0 && on) }
    return { kind: 'put', value: `${this.id}.${this.#made++}`, ...on }
  }

  #remember(key: string, input: EntryCall, output: EntryAnswer | undefined): void {
    if (output?.kind === 'entry') this.#seen.set(key, output.n)
    else if (output?.kind === 'absent' || output?.kind === 'removed') this.#seen.set(key, 0)
    else this.#seen.delete(key)
  }

  /** undefined: nobody knows. */
  async #call(key: string, call: EntryCall): Promise<EntryAnswer | undefined> {
    const headers = call.kind === 'get' || call.on === undefined ? {} : condition(call.on)
    let answer: Answer<unknown>
    try {
      if (call.kind === 'put')
        answer = await this.client.put<unknown>(this.path, { k: key, v: call.value }, headers)
      else {
        const consistent = call.kind === 'get' && this.consistent ? '&consistent=1' : ''
        const method = call.kind === 'get' ? 'GET' : 'DELETE'
        answer = await this.client.call<unknown>(method, `${this.path}?k=${key}${consistent}`, { headers })
      }
    } catch {
      return undefined
    }
    const { status, body } = answer
    if (status === 503) return undefined
    if (status === 412) return { kind: 'refused' }
    if (status === 404) return { kind: 'absent' }
    if (status !== 200 && status !== 201) throw new Error(`${call.kind}: ${status} ${JSON.stringify(body)}`)
    return call.kind === 'remove'
      ? { kind: 'removed' }
      : { kind: 'entry', n: numberOf(answer), value: body.v as string }
  }
}

function condition(on: number): Readonly<Record<string, string>> {
  return on === 0 ? { 'If-None-Match': '*' } : { 'If-Match': `"v${on.toString(36)}"` }
}

function numberOf({ headers }: Answer<unknown>): number {
  return Number.parseInt(/^"v([0-9a-z]+)"$/.exec(headers.get('etag') ?? '')![1]!, 36)
}

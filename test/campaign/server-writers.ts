import type { Answer, Client } from '../client'
import { valueOf } from './acknowledgement'
import { seeded } from './random'
import type { EntryName, SentPut, ServerLedger } from './server-ledger'

/** What the writers of one life of a server share. */
export interface WritersOptions {
  /** In the account whose data is written. */
  readonly client: Client
  /** Makes and deletes accounts. */
  readonly sys: Client
  readonly ledger: ServerLedger
  readonly writers: number
  /** A number that no other life on this directory had; it makes values unique. */
  readonly run: number
  readonly seed: number
  /** 503 is an answer, too: whether the write was carried out is not known. */
  readonly storeMayBeAway?: boolean
  /** Called with every acknowledgement. */
  readonly onAcknowledged: () => void
}

const PATHS = 6
/** A writer that asks on without a pause would only load the server. */
const AWAY_MS = 100
const NO_EFFECT = new Set([400, 404, 409, 412])

/**
 * So many writers at once, each on connections that stay open, each waiting for its answer before it goes on: puts,
 * with and without a condition, a time to live or a secondary key, deletions, samples, accounts. Half of the entries are
 * a writer's own, the others are fought over. Resolves when the server has gone and no answer can come any more.
 */
export async function runServerWriters(options: WritersOptions): Promise<void> {
  await Promise.all(
    Array.from({ length: options.writers }, (_, writer) => new ServerWriter(options, writer).run()),
  )
}

/** The connection broke: whether the write was carried out is not known. */
class Unanswered extends Error {}

class ServerWriter {
  readonly #random: () => number
  /** The last number seen of an entry. */
  readonly #seen = new Map<string, number>()
  #made = 0

  constructor(
    private readonly options: WritersOptions,
    private readonly writer: number,
  ) {
    this.#random = seeded(options.seed * 100_003 + options.run * 1000 + writer)
  }

  async run(): Promise<void> {
    for (;;) {
      try {
        await this.#move()
      } catch (error) {
        if (error instanceof Unanswered) return
        throw error
      }
    }
  }

  async #move(): Promise<void> {
    const move = this.#random()
    if (this.writer === 0 && move < 0.25) return this.#account()
    if (move < 0.35) return this.#put(this.#entry('plain'), {})
    if (move < 0.55) return this.#put(this.#entry('plain'), {}, true)
    if (move < 0.62) return this.#put(this.#entry('lapsing'), { ttl: 0.05 + this.#random() })
    if (move < 0.76) return this.#put(this.#entry('keyed'), { k2: this.#secondaryKey() })
    if (move < 0.9) return this.#remove(this.#entry(this.#random() < 0.7 ? 'plain' : 'keyed'))
    return this.#sample()
  }

  #entry(kind: 'plain' | 'lapsing' | 'keyed'): EntryName {
    const shared = this.#random() < 0.5
    const own = shared ? Math.floor(this.#random() * PATHS) : this.writer % PATHS
    const key = shared ? `${kind}-shared${Math.floor(this.#random() * 3)}` : `${kind}-own${this.writer}`
    return { path: `/_data/campaign/${own}/${'deep/'.repeat(own)}at`, key }
  }

  #secondaryKey(): string {
    return this.#random() < 0.3
      ? `wanted${Math.floor(this.#random() * 3)}`
      : `own${this.writer}-${this.options.run}-${this.#made}`
  }

  async #put(name: EntryName, more: Omit<SentPut, 'number'>, conditional = false): Promise<void> {
    const { client, ledger } = this.options
    const sent = { number: (this.options.run * 64 + this.writer) * 100_000 + this.#made++, ...more }
    const id = `${name.path} ${name.key}`
    let headers = {}
    if (conditional) {
      const seen = this.#seen.get(id) ?? (await this.#look(name))
      headers = seen === undefined ? { 'If-None-Match': '*' } : { 'If-Match': `"v${seen.toString(36)}"` }
    }
    ledger.sendsPut(name, sent)
    const answer = await this.#ask(client, 'PUT', name.path, {
      body: { k: name.key, v: valueOf(sent.number), ...more },
      headers,
    })
    if (answer === undefined) {
      this.#seen.delete(id)
      return
    }
    const n = numberOf(answer)
    this.#seen.set(id, n)
    ledger.putAcknowledged(name, n, sent)
    this.options.onAcknowledged()
  }

  async #look(name: EntryName): Promise<number | undefined> {
    const answer = await this.#ask(this.options.client, 'GET', `${name.path}?k=${name.key}`)
    return answer && numberOf(answer)
  }

  async #remove(name: EntryName): Promise<void> {
    const { client, ledger } = this.options
    const id = `${name.path} ${name.key}`
    const seen = this.#random() < 0.5 ? this.#seen.get(id) : undefined
    this.#seen.delete(id)
    const headers = seen === undefined ? {} : { 'If-Match': `"v${seen.toString(36)}"` }
    const answer = await this.#ask(client, 'DELETE', `${name.path}?k=${name.key}`, { headers })
    if (answer === undefined) return
    ledger.deletionAcknowledged(name, seen === undefined ? undefined : seen + 1)
    this.options.onAcknowledged()
  }

  async #sample(): Promise<void> {
    const { client, ledger } = this.options
    const path = `/campaign/${Math.floor(this.#random() * PATHS)}`
    ledger.sendsSample(path)
    const answer = await this.#ask(client, 'PUT', `/_stats${path}`, { body: { l: 'campaign', v: 1 } })
    if (answer === undefined) return
    ledger.sampleAcknowledged(path)
    this.options.onAcknowledged()
  }

  async #account(): Promise<void> {
    const { sys, ledger } = this.options
    const name = `acct${this.options.run}x${this.#made++}`
    const made = await this.#ask<{ readonly secret: string }>(sys, 'PUT', '/_acc/accounts', {
      body: { k: name, v: { email: `${name}@example.com` } },
    })
    if (made === undefined) {
      if (this.options.storeMayBeAway === true) return
      throw new Error(`account ${name} was refused`)
    }
    ledger.accountCreated(name, made.body.v.secret)
    this.options.onAcknowledged()
    if (this.#random() < 0.3) return
    ledger.sendsAccountDeletion(name)
    if ((await this.#ask(sys, 'DELETE', `/_acc/accounts?k=${name}`)) !== undefined)
      ledger.accountDeleted(name)
  }

  /** undefined: refused, without effect; or a store that is away, and not known. @throws Unanswered */
  async #ask<V>(
    client: Client,
    method: string,
    target: string,
    options: Parameters<Client['call']>[2] = {},
  ): Promise<Answer<V> | undefined> {
    let answer: Answer<V>
    try {
      answer = await client.call<V>(method, target, options)
    } catch (cause) {
      throw new Unanswered(undefined, { cause })
    }
    if (answer.status === 200 || answer.status === 201) return answer
    if (NO_EFFECT.has(answer.status)) return undefined
    if (answer.status === 503 && this.options.storeMayBeAway === true) {
      await new Promise((resolve) => setTimeout(resolve, AWAY_MS))
      return undefined
    }
    throw new Error(`${method} ${target}: ${answer.status} ${JSON.stringify(answer.body)}`)
  }
}

function numberOf({ headers }: Answer<unknown>): number {
  return Number.parseInt(/^"v([0-9a-z]+)"$/.exec(headers.get('etag') ?? '')![1]!, 36)
}

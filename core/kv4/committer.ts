import { Kv4Error } from '../errors'
import type { Json } from '../json'
import type { BucketStore, Outcome, StoreFeatures, Write } from '../store/store'
import type { Address } from './address'
import { addressId } from './address'
import type { Expectation } from './api'
import type { BucketCache } from './cache'
import type { Layer } from './layer'
import type { Sample, SecondaryKeys, Version } from './version'
import { isLive } from './version'
import { valueSize } from './value-size'

/** A put or a remove of one address, waiting for its number. */
export interface EntryWrite {
  readonly address: Address
  readonly kind: 'versioned' | 'current'
  /** undefined: remove. */
  readonly value: Json | undefined
  readonly by: string
  readonly expect: Expectation | undefined
  /** Stronger than `expect`: the head, live or not, must have this number (0: never written). */
  readonly onHead?: number
  /** undefined: those of the live entry stay. */
  readonly keys: SecondaryKeys | undefined
  readonly ttl: number | undefined
  /** Removes an entry that has lapsed, too. */
  readonly lapsed?: boolean
  /** Rejects with CarriesKeys when the entry has secondary keys: the caller has to look at its claims first. */
  readonly unlessKeyed?: boolean
  /** Goes into the version. */
  readonly mark?: string | undefined
}

export class CarriesKeys extends Error {}

interface Queued {
  readonly id: string
  readonly entry?: EntryWrite
  readonly write?: Write
  readonly size: number
  attempts: number
  /** Planned as the first write to its address, without a look. */
  guessed?: boolean
  resolve(stored: Version | undefined): void
  reject(error: unknown): void
}

/** What an entry write comes to, given the head that it finds. */
type Plan =
  | { readonly write: Write; readonly version: Version | undefined }
  | { readonly refusal: Error }
  /** Nothing to remove. */
  | { readonly nothing: true }

const MAX_BATCH = 500
const MAX_BATCH_BYTES = 1024 * 1024
const GATHER_PART = 0.5
const LULL_MS = 1
const MAX_QUEUED = 20_000
const MAX_QUEUED_BYTES = 64 * 1024 * 1024
const MAX_ATTEMPTS = 100
const BACKOFF_AFTER = 3
const MAX_BACKOFF_MS = 50
/** How much the latest address that was not known counts in `#newness`. */
const NEWNESS_STEP = 1 / 64
const NEW_ENOUGH = 0.5

/**
 * Group commit. One batch is in flight; what arrives meanwhile forms the next. A batch reads the heads that the cache
 * does not know, gives each write its number, and commits; a write whose number somebody else took goes into the next
 * batch with a fresh head. Where reading is a request, and most addresses that were not known turned out to be new, it
 * takes the next such for new without reading: the store refuses a first version where there is one.
 *
 * A write is refused, or found to have nothing to remove, only on a head that was read for it or that nobody else can
 * have moved, and only after the writes before it in its batch are durable, since it may rest on them.
 */
export class Committer {
  #queue: Queued[] = []
  #running: Promise<void> | undefined
  #queuedBytes = 0
  /** Callers lately seen at once. */
  #recent = 0
  #lastMs = 0
  #lastEnd = 0
  /** The part of addresses not known that were new, the latest counting most. */
  #newness = 1

  constructor(
    private readonly store: BucketStore,
    private readonly features: StoreFeatures,
    private readonly cache: BucketCache,
    private readonly clock: () => number,
    private readonly keep: () => boolean,
    /** Whether versions of the layer's keys are forgotten: their first numbers may then be free though they were taken. */
    private readonly forgets: (layer: Layer) => boolean,
  ) {}

  get idle(): boolean {
    return this.#running === undefined
  }

  /** Resolves when nothing is queued or in flight. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  /** undefined: there was nothing to remove. */
  write(entry: EntryWrite): Promise<Version | undefined> {
    return new Promise((resolve, reject) => {
      this.#enqueue({
        id: addressId(entry.address),
        entry,
        size: 200 + (entry.value === undefined ? 0 : valueSize(entry.value)),
        attempts: 0,
        resolve,
        reject,
      })
    })
  }

  async append(address: Address, sample: Sample): Promise<void> {
    await new Promise<Version | undefined>((resolve, reject) => {
      // A sample has an id of its own, so samples of one series never stand in each other's way.
      const write: Write = { kind: 'series', address, sample }
      this.#enqueue({ id: '', write, size: 200 + valueSize(sample.v), attempts: 0, resolve, reject })
    })
  }

  #enqueue(queued: Queued): void {
    // A store that hangs must not fill the memory with what waits for it.
    if (this.#queue.length >= MAX_QUEUED || this.#queuedBytes + queued.size > MAX_QUEUED_BYTES) {
      queued.reject(
        new Kv4Error('overloaded', { retryAfter: 1, detail: 'too many writes wait for the store' }),
      )
      return
    }
    this.#queuedBytes += queued.size
    this.#queue.push(queued)
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    // Lets those into the first batch who were woken together.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      await this.#gather()
      const batch = this.#takeBatch()
      for (const { size } of batch) this.#queuedBytes -= size
      const startedAt = performance.now()
      await this.#commitBatch(batch)
      this.#lastEnd = performance.now()
      this.#lastMs = this.#lastEnd - startedAt
      // Callers may have fallen into two halves that take turns: those who wait now were in a batch just before, too.
      this.#recent = batch.length + this.#queue.length
    }
    this.#running = undefined
  }

  /**
   * A batch costs the store much the same whatever its size, so it is worth a short wait for the callers of the last
   * one, who are on their way with their next writes: until as many have come, none has come for a moment, or a part of
   * what the last batch took is over. Long after the last one only those of the same turn are waited for.
   */
  async #gather(): Promise<void> {
    let now = performance.now()
    if (now - this.#lastEnd > this.#lastMs + LULL_MS) {
      await nextTurn()
      return
    }
    const wanted = Math.min(this.#recent, MAX_BATCH)
    if (this.#queue.length >= wanted) return
    const until = now + this.#lastMs * GATHER_PART
    let lull = now + Math.min(this.#lastMs * GATHER_PART, LULL_MS)
    let length = this.#queue.length
    while (length < wanted && now < until && now < lull) {
      await nextTurn()
      now = performance.now()
      if (this.#queue.length > length) {
        length = this.#queue.length
        lull = now + LULL_MS
      }
    }
  }

  #takeBatch(): Queued[] {
    if (this.#queue.length === 1) return this.#queue.splice(0)
    const { ordered } = this.features
    const batch: Queued[] = []
    const left: Queued[] = []
    const taken = new Set<string>()
    let size = 0
    let index = 0
    for (; index < this.#queue.length; index++) {
      const queued = this.#queue[index]!
      if (batch.length >= MAX_BATCH || (batch.length > 0 && size + queued.size > MAX_BATCH_BYTES)) break
      if (!ordered && queued.id !== '' && taken.has(queued.id)) left.push(queued)
      else {
        if (!ordered) taken.add(queued.id)
        size += queued.size
        batch.push(queued)
      }
    }
    this.#queue = left.length === 0 ? this.#queue.slice(index) : left.concat(this.#queue.slice(index))
    return batch
  }

  async #commitBatch(batch: readonly Queued[]): Promise<void> {
    try {
      const heads = await this.#heads(batch)
      let plans = this.#plan(batch, heads)
      const doubtful = batch.filter(
        (queued, i) => queued.entry && !('write' in plans[i]!) && !heads.get(queued.id)!.fresh,
      )
      if (doubtful.length > 0) {
        await this.#readHeads(doubtful, heads)
        plans = this.#plan(batch, heads)
      }
      const writes: Write[] = []
      for (const plan of plans) if ('write' in plan) writes.push(plan.write)
      const outcomes = writes.length === 0 ? [] : await this.store.commit(writes)
      this.#settle(batch, plans, outcomes)
      const attempts = batch.reduce((most, queued) => Math.max(most, queued.attempts), 0)
      // Writers on other nodes want the same keys: step aside for a moment, each for another one.
      if (attempts > BACKOFF_AFTER)
        await pause(Math.random() * Math.min(MAX_BACKOFF_MS, 2 ** (attempts - BACKOFF_AFTER)))
    } catch (error) {
      for (const queued of batch) {
        // Whether it was stored is unknown, so what was known of it is too.
        if (queued.id !== '') this.cache.forget(queued.id)
        queued.reject(error)
      }
    }
  }

  async #heads(batch: readonly Queued[]): Promise<Map<string, Head>> {
    const heads = new Map<string, Head>()
    const unknown: Queued[] = []
    for (const queued of batch) {
      if (queued.entry === undefined || heads.has(queued.id)) continue
      const known = queued.attempts === 0 && this.keep() ? this.cache.get(queued.id) : undefined
      if (known !== undefined)
        heads.set(queued.id, { version: known ?? undefined, fresh: this.features.exclusive })
      else {
        heads.set(queued.id, { version: undefined, fresh: false })
        queued.guessed = this.#guesses(queued, queued.entry)
        if (!queued.guessed) unknown.push(queued)
      }
    }
    if (unknown.length > 0) {
      await this.#readHeads(unknown, heads)
      for (const { id, attempts } of unknown)
        if (attempts === 0) this.#learn(heads.get(id)!.version === undefined)
    }
    return heads
  }

  #guesses({ attempts }: Queued, { address, value }: EntryWrite): boolean {
    return (
      !this.features.exclusive &&
      attempts === 0 &&
      value !== undefined &&
      this.#newness >= NEW_ENOUGH &&
      !this.forgets(address.layer)
    )
  }

  #learn(isNew: boolean): void {
    this.#newness += ((isNew ? 1 : 0) - this.#newness) * NEWNESS_STEP
  }

  async #readHeads(wanted: readonly Queued[], heads: Map<string, Head>): Promise<void> {
    for (const kind of ['versioned', 'current'] as const) {
      const entries = new Map<string, Address>()
      for (const { id, entry } of wanted) if (entry?.kind === kind) entries.set(id, entry.address)
      if (entries.size === 0) continue
      const versions = await this.store.heads([...entries.values()], kind)
      let i = 0
      for (const id of entries.keys()) heads.set(id, { version: versions[i++], fresh: true })
    }
  }

  #plan(batch: readonly Queued[], heads: ReadonlyMap<string, Head>): Plan[] {
    const now = this.clock()
    const moved = new Map<string, Version>()
    return batch.map((queued) => {
      if (queued.entry === undefined) return { write: queued.write!, version: undefined }
      const head = moved.get(queued.id) ?? heads.get(queued.id)!.version
      const plan = planWrite(queued.entry, head, now)
      if ('write' in plan) moved.set(queued.id, plan.version!)
      return plan
    })
  }

  #settle(batch: readonly Queued[], plans: readonly Plan[], outcomes: readonly Outcome[]): void {
    const lost = new Set<string>()
    const again: Queued[] = []
    let next = 0
    batch.forEach((queued, i) => {
      const plan = plans[i]!
      const outcome = 'write' in plan ? outcomes[next++] : undefined
      if (queued.guessed === true && outcome !== undefined) this.#learn(outcome === 'stored')
      if (outcome === 'conflict' && queued.entry === undefined) {
        queued.reject(new Kv4Error('internal', { detail: 'a store refused a sample' }))
      } else if (outcome === 'conflict' || lost.has(queued.id)) {
        // What follows a lost write of the same address was planned on it.
        lost.add(queued.id)
        this.cache.forget(queued.id)
        if (++queued.attempts < MAX_ATTEMPTS) again.push(queued)
        else queued.reject(new Kv4Error('locked', { retryAfter: 1 }))
      } else if ('refusal' in plan) queued.reject(plan.refusal)
      else if ('nothing' in plan) queued.resolve(undefined)
      else {
        if (plan.write.kind === 'series') this.cache.appended(plan.write.address, plan.write.sample.at)
        else this.cache.wrote(queued.id, plan.write.address, plan.write.version, this.keep())
        queued.resolve(plan.version)
      }
    })
    for (const { size } of again) this.#queuedBytes += size
    if (again.length > 0) this.#queue = again.concat(this.#queue)
  }
}

interface Head {
  readonly version: Version | undefined
  /** Read from the store for this batch, or not to be moved by anybody else. */
  readonly fresh: boolean
}

function planWrite(entry: EntryWrite, head: Version | undefined, now: number): Plan {
  const removed = head === undefined || head.op === 'delete'
  const live = isLive(head, now)
  if (!isExpected(entry, head, live)) return { refusal: new Kv4Error('version_conflict') }
  if (entry.value === undefined && (entry.lapsed === true ? removed : !live)) return { nothing: true }
  if (entry.unlessKeyed === true && secondaryKeys(head) !== undefined) return { refusal: new CarriesKeys() }
  const at = Math.max(now, head?.at ?? 0)
  const n = entry.kind === 'versioned' ? (head?.n ?? 0) + 1 : Math.max(at * 1000, (head?.n ?? 0) + 1)
  const version: Version =
    entry.value === undefined
      ? { n, at, by: entry.by, op: 'delete', v: null, ...(entry.mark !== undefined && { mark: entry.mark }) }
      : {
          n,
          at,
          by: entry.by,
          // Over a lapsed entry that no sweep has removed yet it is an update: the key was never taken away.
          op: removed ? 'create' : 'update',
          v: entry.value,
          ...(entry.keys ?? (live ? secondaryKeys(head) : undefined)),
          ...(entry.ttl === undefined ? undefined : { exp: at + entry.ttl }),
          ...(entry.mark === undefined ? undefined : { mark: entry.mark }),
        }
  if (entry.kind === 'current')
    return {
      version,
      write: {
        kind: 'current',
        address: entry.address,
        version,
        over: removed ? 0 : (head?.n ?? 0),
      },
    }
  return {
    version,
    write: { kind: 'versioned', address: entry.address, version, renews: head?.exp !== undefined },
  }
}

function isExpected(entry: EntryWrite, head: Version | undefined, live: boolean): boolean {
  if (entry.onHead !== undefined && entry.onHead !== (head?.n ?? 0)) return false
  if (entry.expect === undefined) return true
  if (entry.expect === 'absent') return !live
  if (entry.expect === 'present') return live
  return live && head?.n === entry.expect.n
}

function secondaryKeys(version: Version | undefined): SecondaryKeys | undefined {
  if (version === undefined) return undefined
  const { k2, k3, k4 } = version
  if (k2 === undefined && k3 === undefined && k4 === undefined) return undefined
  return { ...(k2 !== undefined && { k2 }), ...(k3 !== undefined && { k3 }), ...(k4 !== undefined && { k4 }) }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

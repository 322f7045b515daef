import { isKv4Error } from '../errors'
import type { Address } from './address'
import { addressId } from './address'
import { agedKeys } from './aged-keys'
import { versionAsOf } from './history'
import type { LayerRegistry } from './layer-registry'
import type { OpenBucket } from './open-bucket'
import { readHead } from './reader'
import type { Version } from './version'

const DAY_MS = 24 * 3600 * 1000
const SAMPLES_AT_ONCE = 1_000
const BY_AGE_EVERY_MS = 60_000
const RETRY_MS = 5_000
// Buckets that are hardly used are open for minutes.
const FIRST_ROUND_MS = 60_000
const ROUND_EVERY_MS = 6 * 3600 * 1000
const ROUND_RETRY_MS = 10 * 60_000
const KEYS_AT_ONCE = 200
/**
 * On a store that other processes write to, a forgotten version's number could be taken again by a node that has not
 * heard of its successors. No node believes its cache for longer than its grace, so nothing is forgotten before this.
 */
const SHARED_GRACE_MS = 60_000

interface Due {
  readonly bucket: OpenBucket
  readonly address: Address
  readonly at: number
}

/** A round through the keys of a bucket that forget by age. */
interface Round {
  dueAt: number
  keys: AsyncGenerator<Address, void, void> | undefined
}

/**
 * Applies the retention of layers: to a key when it was written, and by age to those that nobody writes, in rounds
 * through each bucket that is open.
 */
export class Pruner {
  readonly #due = new Map<string, Due>()
  readonly #rounds = new Map<OpenBucket, Round>()
  readonly #prunedAt = new Map<string, number>()

  constructor(
    private readonly layers: LayerRegistry,
    private readonly clock: () => number,
    private readonly exclusive: boolean,
  ) {}

  wrote(bucket: OpenBucket, address: Address, version: Version): void {
    const { retention } = this.layers.of(address.layer)
    if (retention === undefined) return
    if ((retention.versions !== undefined && version.n > retention.versions) || retention.days !== undefined)
      this.#schedule(bucket, address, retention.days !== undefined)
  }

  appended(bucket: OpenBucket, address: Address): void {
    if (this.layers.of(address.layer).retention?.days !== undefined) this.#schedule(bucket, address, true)
  }

  opened(bucket: OpenBucket): void {
    this.#rounds.set(bucket, { dueAt: this.clock() + FIRST_ROUND_MS, keys: undefined })
  }

  forget(bucket: OpenBucket): void {
    this.#rounds.delete(bucket)
    for (const [id, due] of this.#due) if (due.bucket === bucket) this.#due.delete(id)
  }

  /** What could not be pruned is tried again. */
  async run(stopped: () => boolean, onError: (error: unknown) => void): Promise<void> {
    const now = this.clock()
    for (const [id, due] of this.#due) {
      if (stopped()) return
      if (due.at > now) continue
      this.#due.delete(id)
      due.bucket.active++
      try {
        await this.#prune(due.bucket, due.address, now)
      } catch (error) {
        if (isKv4Error(error, 'bucket_not_found')) continue
        if (!this.#due.has(id)) this.#due.set(id, { ...due, at: now + RETRY_MS })
        onError(error)
        if (isKv4Error(error, 'store_unavailable')) return
      } finally {
        due.bucket.active--
      }
    }
    if (this.layers.ages) await this.#goRound(now, stopped, onError)
    for (const [id, at] of this.#prunedAt) if (at < now - BY_AGE_EVERY_MS) this.#prunedAt.delete(id)
  }

  /** A part of what is due, so that nobody waits for it for long; the next run goes on. */
  async #goRound(now: number, stopped: () => boolean, onError: (error: unknown) => void): Promise<void> {
    let left = KEYS_AT_ONCE
    for (const [bucket, round] of this.#rounds) {
      if (round.dueAt > now) continue
      bucket.active++
      try {
        round.keys ??= agedKeys(bucket, this.layers)
        for (; left > 0 && !stopped(); left--) {
          const { value: address } = await round.keys.next()
          if (address === undefined) {
            round.keys = undefined
            round.dueAt = now + ROUND_EVERY_MS
            break
          }
          await this.#prune(bucket, address, now)
        }
      } catch (error) {
        round.keys = undefined
        round.dueAt = now + ROUND_RETRY_MS
        if (!isKv4Error(error, 'bucket_not_found')) onError(error)
        if (isKv4Error(error, 'store_unavailable')) return
      } finally {
        bucket.active--
      }
      if (left === 0 || stopped()) return
    }
  }

  #schedule(bucket: OpenBucket, address: Address, byAge: boolean): void {
    const id = `${bucket.name}\n${addressId(address)}`
    if (this.#due.has(id)) return
    const now = this.clock()
    // What is old enough to go changes slowly.
    const notBefore = byAge ? (this.#prunedAt.get(id) ?? -Infinity) + BY_AGE_EVERY_MS : 0
    this.#due.set(id, {
      bucket,
      address,
      at: Math.max(notBefore, this.exclusive ? now : now + SHARED_GRACE_MS),
    })
    if (byAge) this.#prunedAt.set(id, now)
  }

  async #prune(bucket: OpenBucket, address: Address, now: number): Promise<void> {
    const { kind, retention } = this.layers.of(address.layer)
    if (retention === undefined) return
    const oldest = retention.days === undefined ? undefined : now - retention.days * DAY_MS
    if (kind === 'series') {
      if (oldest !== undefined)
        while ((await bucket.store.pruneSamples(address, oldest, SAMPLES_AT_ONCE)) === SAMPLES_AT_ONCE);
      return
    }
    const head = await readHead(bucket, address, 'versioned', true)
    if (head === undefined) return
    let keepFrom = 1
    if (retention.versions !== undefined) keepFrom = head.n - retention.versions + 1
    if (oldest !== undefined) {
      // What was true at the edge of the period stays.
      const edge = await versionAsOf(bucket.store, address, head, oldest)
      keepFrom = Math.max(keepFrom, edge?.n ?? 1)
    }
    if (keepFrom > 1) await bucket.store.pruneVersions(address, keepFrom)
  }
}

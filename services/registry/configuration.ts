import { randomUUID } from 'node:crypto'
import { Key, Kv4Error, isJsonObject, isKv4Error, addressIn } from '../../core'
import type { Address, Bucket, BucketName, Expectation, Json, JsonObject, Version } from '../../core'
import type { EventLog } from './event-log'
import type { Debt } from './lease'
import { PLACES } from './places'
import type { Quotas } from './quotas'
import type { Page } from './services'
import { CONFIGURATION_ID } from './timers'
import type { Timers } from './timers'

/** A configuration value as stored, with the event that it owes: the two cannot be written in one step. */
interface StoredValue {
  readonly value: string
  /** What it replaced. */
  readonly old: string | null
  readonly owes: Debt
  /** Its removal is decided: it is read as absent, and its event is due. */
  readonly removal?: Debt
}

export interface ConfigurationValue {
  readonly id: string
  readonly value: string
}

/** The text of a version; undefined: the mark that precedes a removal, which says nothing that the removal does not. */
export function configurationText(v: Json): string | undefined {
  const { value, removal } = v as unknown as StoredValue
  return removal === undefined ? value : undefined
}

/** One row of a value's history, newest first: null where it was removed. */
export interface ConfigurationRow {
  readonly at: number
  readonly by: string
  readonly value: string | null
}

const AT_ONCE = 500
// The timer is written no more often than this; a write of a value takes less than the difference to CHECK_AFTER_MS.
const TIMER_EVERY_MS = 5_000
export const CHECK_AFTER_MS = 30_000
const MAX_BUCKETS = 10_000

function addressOf(id: string): Address {
  return addressIn(PLACES.configuration, Key.parse(id))
}

function storedValue(version: Version | undefined): StoredValue | undefined {
  return isJsonObject(version?.v) ? (version.v as unknown as StoredValue) : undefined
}

/**
 * Configuration values of an account, all at one place: the key is the whole id, so that byte order is the contract's
 * order and a namespace is a prefix (§9).
 */
export class Configuration {
  readonly #timedAt = new Map<BucketName, number>()

  constructor(
    private readonly log: EventLog,
    private readonly timers: Timers,
    private readonly quotas: Quotas,
    /** Unix ms of the platform's clock. */
    private readonly now: () => number,
  ) {}

  /** @throws not_found */
  async get(bucket: Bucket, id: string, options: { readonly at?: number } = {}): Promise<string> {
    return (await this.read(bucket, id, options)).value
  }

  /** With the number of its version. @throws not_found */
  async read(
    bucket: Bucket,
    id: string,
    options: { readonly at?: number } = {},
  ): Promise<{ readonly value: string; readonly n: number }> {
    const version = await bucket.get(addressOf(id), options)
    const stored = storedValue(version)
    if (stored === undefined || stored.removal !== undefined) throw absent(id)
    return { value: stored.value, n: version!.n }
  }

  /**
   * The number of the version that has the value now. Writing what is there already is not a change.
   * @throws limit_reached; precondition_failed: what is there is not as expected
   */
  async put(
    bucket: Bucket,
    by: string,
    id: string,
    value: string,
    expect?: Expectation,
  ): Promise<{ readonly n: number; readonly created: boolean }> {
    const address = addressOf(id)
    for (let consistent = false; ; consistent = true) {
      const version = await bucket.get(address, { consistent })
      const before = storedValue(version)
      if (before !== undefined) await this.#settle(bucket, id, version!, before)
      if (before?.removal !== undefined) continue
      if (!isAsExpected(before && version!.n, expect)) {
        if (!consistent) continue
        throw new Kv4Error('precondition_failed')
      }
      if (before?.value === value) return { n: version!.n, created: false }
      let n = 0
      const write = async (): Promise<StoredValue> => {
        await this.#time(bucket)
        const stored: StoredValue = { value, old: before?.value ?? null, owes: await this.#debt(bucket) }
        const written = await bucket.put(address, stored as unknown as Json, {
          by,
          expect: before === undefined ? 'absent' : { n: version!.n },
        })
        n = written.n
        return stored
      }
      let stored: StoredValue
      try {
        stored = await (before === undefined
          ? this.quotas.make(bucket, 'configuration_value', write)
          : write())
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        continue
      }
      await this.#announce(bucket, id, stored)
      return { n, created: before === undefined }
    }
  }

  /** @throws not_found; precondition_failed: what is there is not as expected */
  async remove(bucket: Bucket, by: string, id: string, expect?: Expectation): Promise<void> {
    const address = addressOf(id)
    for (let consistent = false; ; consistent = true) {
      const version = await bucket.get(address, { consistent })
      const stored = storedValue(version)
      if (stored === undefined) throw absent(id)
      await this.#settle(bucket, id, version!, stored)
      if (stored.removal !== undefined) throw absent(id)
      if (!isAsExpected(version!.n, expect)) {
        if (!consistent) continue
        throw new Kv4Error('precondition_failed')
      }
      await this.#time(bucket)
      const removed: StoredValue = { ...stored, removal: await this.#debt(bucket) }
      try {
        const marked = await bucket.put(address, removed as unknown as Json, {
          by,
          expect: { n: version!.n },
        })
        await this.#bury(bucket, id, removed, marked)
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        continue
      }
      this.quotas.removed(bucket, 'configuration_value')
      return
    }
  }

  /** Values whose id begins with `prefix`, in byte order, from `from` (inclusive) on. */
  async list(
    bucket: Bucket,
    { prefix, from, limit }: { readonly prefix: string; readonly from?: string; readonly limit: number },
  ): Promise<Page<ConfigurationValue>> {
    const items: ConfigurationValue[] = []
    const start = from !== undefined && from > prefix ? from : prefix
    let ids: string[] = start === '' ? [] : [start]
    let after = start === '' ? undefined : Key.parse(start)
    for (;;) {
      const page = await bucket.keys(PLACES.configuration, {
        limit: AT_ONCE,
        ...(after !== undefined && { after }),
      })
      ids.push(...page.items)
      for (const id of ids) {
        if (!id.startsWith(prefix)) return { items }
        const stored = storedValue(await bucket.get(addressOf(id)))
        if (stored === undefined || stored.removal !== undefined) continue
        if (items.length === limit) return { items, next: id }
        items.push({ id, value: stored.value })
      }
      if (page.next === undefined) return { items }
      after = page.next
      ids = []
    }
  }

  /** What a value was, newest first; outlives its removal. */
  async history(
    bucket: Bucket,
    id: string,
    range: { readonly from?: number; readonly to?: number },
    page: { readonly after?: number; readonly limit: number },
  ): Promise<{ readonly rows: readonly ConfigurationRow[]; readonly next?: number }> {
    const rows: ConfigurationRow[] = []
    let { after } = page
    for (;;) {
      const { items, next } = await bucket.history(addressOf(id), range, {
        limit: page.limit - rows.length,
        ...(after !== undefined && { after }),
      })
      for (const version of items) {
        const stored = storedValue(version)
        // The mark that precedes a removal says nothing that the removal does not.
        if (stored?.removal === undefined)
          rows.push({ at: version.at, by: version.by, value: stored?.value ?? null })
      }
      if (next === undefined) return { rows }
      if (rows.length === page.limit) return { rows, next }
      after = next
    }
  }

  /** Publishes what was written and not announced because its node went down. */
  async settleAll(bucket: Bucket): Promise<void> {
    let after: Key | undefined
    do {
      const page = await bucket.entries(PLACES.configuration, {
        limit: AT_ONCE,
        ...(after !== undefined && { after }),
      })
      for (const { key, version } of page.items)
        await this.#settle(bucket, key, version, storedValue(version)!)
      after = page.next
    } while (after !== undefined)
  }

  async #settle(bucket: Bucket, id: string, version: Version, stored: StoredValue): Promise<void> {
    if (version.at < this.timers.settledUpTo(bucket.name)) return
    await this.#announce(bucket, id, stored)
    if (stored.removal !== undefined)
      try {
        await this.#bury(bucket, id, stored, version)
      } catch (error) {
        // Another node has done it.
        if (!isKv4Error(error, 'version_conflict')) throw error
      }
  }

  #announce(bucket: Bucket, id: string, { value, old, owes }: StoredValue): Promise<void> {
    return this.log.publish(bucket, {
      ...owes,
      type: 'configuration_value.update',
      payload: { configuration_value_id: id, old_value: old, new_value: value },
    })
  }

  async #bury(
    bucket: Bucket,
    id: string,
    { value, removal }: StoredValue,
    { n, by }: Version,
  ): Promise<void> {
    await this.log.publish(bucket, {
      ...removal!,
      type: 'configuration_value.remove',
      payload: { configuration_value_id: id, old_value: value } satisfies JsonObject,
    })
    await bucket.remove(addressOf(id), { by, expect: { n } })
  }

  async #debt(bucket: Bucket): Promise<Debt> {
    return { cause: randomUUID(), since: await this.log.head(bucket) }
  }

  async #time(bucket: Bucket): Promise<void> {
    const now = performance.now()
    if (now - (this.#timedAt.get(bucket.name) ?? -Infinity) < TIMER_EVERY_MS) return
    await this.timers.add(bucket.name, 'configuration', CONFIGURATION_ID, this.now() + CHECK_AFTER_MS)
    if (this.#timedAt.size >= MAX_BUCKETS) this.#timedAt.clear()
    this.#timedAt.set(bucket.name, now)
  }
}

/** @param n of the version that is there; undefined: none is */
function isAsExpected(n: number | undefined, expect: Expectation | undefined): boolean {
  if (expect === undefined) return true
  if (expect === 'absent') return n === undefined
  return n !== undefined && (expect === 'present' || expect.n === n)
}

function absent(id: string): Kv4Error {
  return new Kv4Error('not_found', { fields: { what: 'ConfigurationValue', k: id } })
}

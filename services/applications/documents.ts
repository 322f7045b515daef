import { Kv4Error, isKv4Error } from '../../core'
import type { Address, Bucket, Entry, Expectation, JsonObject, Key, Place, Version } from '../../core'
import { documentOf, isDead, seenAt, updatedAt, type Document } from './document'
import type { Lapses } from './lapses'

export interface WriteRequest {
  readonly by: string
  /** What has to be there; it says what to throw otherwise. */
  readonly expect?: Expectation
  /** Whoever names an instant (unix ms) has what was true then: it counts only if nothing newer is known. */
  readonly asOf?: number
}

/** Ahead of this node's clock by more than this nobody's clock can be. */
const MAX_AHEAD_MS = 60_000
const AT_ONCE = 500

/**
 * Descriptions of an account's applications and hosts, by whichever door. Newer wins: `updated_at` only grows per
 * description, and a write that says of when it is loses against one of later.
 */
export class Documents {
  constructor(private readonly lapses: Lapses) {}

  /**
   * Replaces the whole.
   * @param asked without `updated_at`
   * @throws version_conflict: not as expected, or something newer is there (`reason`); bad_request for an `asOf` that is
   * yet to come
   */
  async put(
    bucket: Bucket,
    address: Address,
    asked: JsonObject,
    { by, expect, asOf }: WriteRequest,
  ): Promise<Version> {
    checkInstant(asOf)
    for (let consistent = false; ; consistent = true) {
      const current = await bucket.get(address, { consistent })
      if (!isAsExpected(current, expect)) {
        if (consistent) throw new Kv4Error('version_conflict')
        continue
      }
      const before = current && documentOf(current)
      const last = before === undefined ? undefined : updatedAt(before)
      if (asOf !== undefined) await this.#requireNewer(bucket, address, last, asOf)
      const at = asOf ?? Math.max(Date.now(), last === undefined ? 0 : last + 1)
      const document = { ...asked, updated_at: at / 1000 } as Document
      await this.lapses.expect(bucket.name, address, document, before)
      try {
        return await bucket.put(address, document, {
          by,
          expect: current === undefined ? 'absent' : { n: current.n },
        })
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
      }
    }
  }

  /** false: there was none. @throws version_conflict, bad_request as `put` does */
  async remove(bucket: Bucket, address: Address, { by, expect, asOf }: WriteRequest): Promise<boolean> {
    checkInstant(asOf)
    for (let consistent = false; ; consistent = true) {
      const current = await bucket.get(address, { consistent })
      if (!isAsExpected(current, expect)) {
        if (consistent) throw new Kv4Error('version_conflict')
        continue
      }
      if (current === undefined) {
        if (consistent) return false
        continue
      }
      if (asOf !== undefined) await this.#requireNewer(bucket, address, updatedAt(documentOf(current)), asOf)
      try {
        // Without a condition of the caller's, too: what he saw to be older may have been replaced meanwhile.
        if ((await bucket.remove(address, { by, expect: { n: current.n } })) !== undefined) return true
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
      }
    }
  }

  /** What is known of somebody who has to be absent counts too, so a removal that was later wins. */
  async #requireNewer(
    bucket: Bucket,
    address: Address,
    last: number | undefined,
    asOf: number,
  ): Promise<void> {
    let known = last
    if (known === undefined) {
      const [removal] = (await bucket.history(address, {}, { limit: 1, consistent: true })).items
      known = removal?.at
    }
    if (known !== undefined && known >= asOf)
      throw new Kv4Error('version_conflict', { fields: { reason: `known as of ${known / 1000}` } })
  }
}

/** All of a place in the order of their names, page by page. */
export async function* everyEntry(
  bucket: Bucket,
  place: Place,
): AsyncGenerator<readonly Entry[], void, undefined> {
  let after: Key | undefined
  do {
    const page = await bucket.entries(place, { limit: AT_ONCE, ...(after !== undefined && { after }) })
    yield page.items
    after = page.next
  } while (after !== undefined)
}

export interface Master {
  readonly host: Key
  readonly version: Version
}

/** Of the hosts that say `master: true` and are not dead the one with the newest `updated_at`; contract, seed. */
export async function masterOf(bucket: Bucket, service: Place): Promise<Master | undefined> {
  let master: Master | undefined
  for await (const entries of everyEntry(bucket, service))
    for (const { key, version } of entries) {
      const document = documentOf(version)
      if (document.master !== true || isDead(seenAt(document, Date.now()))) continue
      if (master === undefined || document.updated_at > documentOf(master.version).updated_at)
        master = { host: key, version }
    }
  return master
}

function isAsExpected(current: Version | undefined, expect: Expectation | undefined): boolean {
  if (expect === undefined) return true
  if (expect === 'absent') return current === undefined
  if (expect === 'present') return current !== undefined
  return current?.n === expect.n
}

function checkInstant(asOf: number | undefined): void {
  if (asOf !== undefined && asOf > Date.now() + MAX_AHEAD_MS)
    throw new Kv4Error('bad_request', { fields: { parameter: 'updated_at', reason: 'is yet to come' } })
}

import {
  Kv4Error,
  addressId,
  isKv4Error,
  type Address,
  type Bucket,
  type Entry,
  type JsonObject,
  type Key,
  type Listing,
  type PageOptions,
  type Path,
  type Version,
} from '../../core'
import { writeUnder, type Condition } from '../condition'
import { Turns } from '../turns'
import type { Lives } from './lives'
import { mergeObject } from './merge-patch'
import { SESSIONS } from './places'

/** Says no, by throwing, to a document that its namespace does not take. */
export type Check = (bucket: Bucket, namespace: Key, document: JsonObject) => Promise<void>

export interface WriteHow {
  readonly by: string
  /** Of the session, ms from now. */
  readonly ttl?: number | undefined
  readonly condition?: Condition
}

interface Seen {
  readonly by: string
  readonly consistent?: boolean | undefined
}

const UNCONDITIONAL: Condition = { failure: 'version_conflict', orAbsent: false }
const ATTEMPTS = 50
const MOST_BYTES = 1024 * 1024

/** Sessions and the namespaces in them: what the native API and the mount both stand on. */
export class Sessions {
  /** Of the patches of one document. */
  readonly #turns = new Turns()

  constructor(
    private readonly lives: Lives,
    private readonly check: Check,
  ) {}

  /** One namespace; undefined: it is not there, or its session has lapsed. */
  async get(bucket: Bucket, at: Address, { by, consistent = false }: Seen): Promise<Version | undefined> {
    const version = await bucket.get(at, consistent ? { consistent } : undefined)
    if (version?.exp === undefined) return version
    return (await this.lives.isRead(bucket, at.path, by, consistent)) ? version : undefined
  }

  /**
   * Those of the namespaces that are there, in the order in which they are named. A page looks for `limit` of the names,
   * from behind the one of `after` on.
   */
  async several(
    bucket: Bucket,
    session: Path,
    names: readonly Key[],
    { limit = names.length, after }: Pick<PageOptions<Key>, 'limit' | 'after'>,
    seen: Seen,
  ): Promise<Listing<Entry, Key>> {
    const from = after === undefined ? 0 : names.indexOf(after) + 1
    const asked = names.slice(from, from + limit)
    const versions = await Promise.all(
      asked.map((key) => this.get(bucket, { layer: SESSIONS, path: session, key }, seen)),
    )
    const items = asked.flatMap((key, i) =>
      versions[i] === undefined ? [] : [{ key, version: versions[i] }],
    )
    return from + limit < names.length ? { items, next: asked.at(-1)! } : { items }
  }

  /** The namespaces of a session with their documents, by name. */
  async entries(
    bucket: Bucket,
    session: Path,
    page: PageOptions<Key>,
    by: string,
  ): Promise<Listing<Entry, Key>> {
    const listing = await bucket.entries({ layer: SESSIONS, path: session }, page)
    if (listing.items.every(({ version }) => version.exp === undefined)) return listing
    if (await this.lives.isRead(bucket, session, by, page.consistent ?? false)) return listing
    return { ...listing, items: listing.items.filter(({ version }) => version.exp === undefined) }
  }

  /** The names alone. Looking at them is no use of the session. */
  async names(bucket: Bucket, session: Path, page: PageOptions<Key> = {}): Promise<Listing<Key>> {
    const place = { layer: SESSIONS, path: session }
    if (!(await this.lives.mayHide(bucket, session, page.consistent))) return bucket.keys(place, page)
    const { items, ...rest } = await bucket.entries(place, page)
    return { ...rest, items: items.flatMap(({ key, version }) => (version.exp === undefined ? key : [])) }
  }

  /** Sessions at and below a path. A page may have fewer than `limit` where some have lapsed. No use of the sessions. */
  async list(
    bucket: Bucket,
    under: Path,
    depth: number | undefined,
    page: PageOptions<Path>,
    by: string,
  ): Promise<Listing<Path>> {
    const { items, ...rest } = await bucket.paths(SESSIONS, under, depth, page)
    const there = await Promise.all(items.map((session) => this.#isThere(bucket, session, by)))
    return { ...rest, items: items.filter((_, i) => there[i]) }
  }

  /** Replaces the whole document. @throws what the condition says; what the check throws; bad_ttl, locked */
  async put(bucket: Bucket, at: Address, document: JsonObject, how: WriteHow): Promise<Version> {
    const { by, ttl: asked, condition = UNCONDITIONAL } = how
    await this.check(bucket, at.key, document)
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { ttl, renew } = await this.lives.enter(bucket, at.path, asked, by)
      const options = { by, ...(ttl !== undefined && { ttl }) }
      const write =
        condition.expect === undefined
          ? bucket.put(at, document, options)
          : writeUnder(
              condition,
              (expect) => bucket.put(at, document, { ...options, ...(expect !== undefined && { expect }) }),
              async () => (await bucket.get(at, { consistent: true })) === undefined,
            )
      if (renew === undefined) return write
      const [version, lives] = await Promise.all([write, renew()])
      if (lives) return version
    }
    throw new Kv4Error('locked', { retryAfter: 1 })
  }

  /**
   * Changes single properties: the patch on what the document is then, again if somebody wrote in between. Where there is
   * none it is one of an empty document.
   * @throws what the condition says; what the check throws; body_too_large, bad_ttl, locked
   */
  patch(bucket: Bucket, at: Address, patch: JsonObject, how: WriteHow): Promise<Version> {
    return this.#turns.take(`${bucket.name}\n${addressId(at)}`, () => this.#patch(bucket, at, patch, how))
  }

  async #patch(bucket: Bucket, at: Address, patch: JsonObject, how: WriteHow): Promise<Version> {
    const { by, ttl, condition = UNCONDITIONAL } = how
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const current = await this.get(bucket, at, { by, consistent: attempt > 0 })
      // What the cache says is not enough to refuse a write for.
      if (!holds(condition, current)) {
        if (attempt > 0) throw new Kv4Error(condition.failure)
        continue
      }
      const document = mergeObject((current?.v ?? {}) as JsonObject, patch)
      if (Buffer.byteLength(JSON.stringify(document)) > MOST_BYTES)
        throw new Kv4Error('body_too_large', { fields: { limit: MOST_BYTES } })
      const expect = current === undefined ? ('absent' as const) : { n: current.n }
      try {
        return await this.put(bucket, at, document, {
          by,
          ttl,
          condition: { expect, failure: 'version_conflict', orAbsent: false },
        })
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict') || error.fields.reason !== undefined) throw error
      }
    }
    throw new Kv4Error('locked', { retryAfter: 1 })
  }

  /** Prolongs the session, and changes nothing in it. @throws not_found for one without a life; bad_ttl, locked */
  async touch(bucket: Bucket, session: Path, ttl: number, by: string): Promise<void> {
    if (!(await this.lives.touch(bucket, session, ttl, by))) throw new Kv4Error('not_found')
  }

  /** false: it was not there. @throws what the condition says */
  async remove(
    bucket: Bucket,
    at: Address,
    { by, condition = UNCONDITIONAL }: Omit<WriteHow, 'ttl'>,
  ): Promise<boolean> {
    const { expect, failure } = condition
    const found = await bucket.get(at, { consistent: true })
    const isHidden = found?.exp !== undefined && (await this.lives.mayHide(bucket, at.path, true))
    if (expect !== undefined && (found === undefined || isHidden)) throw new Kv4Error(failure)
    let removed: Version | undefined
    try {
      removed = await bucket.remove(at, { by, ...(expect !== undefined && { expect }) })
    } catch (error) {
      throw isKv4Error(error, 'version_conflict') ? new Kv4Error(failure, { cause: error }) : error
    }
    if (removed !== undefined && found?.exp !== undefined) await this.lives.leave(bucket, at.path, by)
    return removed !== undefined && !isHidden
  }

  /** All namespaces of a session; how many there were. */
  async removeAll(bucket: Bucket, session: Path, by: string): Promise<number> {
    const { items } = await this.names(bucket, session, { limit: 1, consistent: true })
    const isThere = items.length > 0
    const removed = await bucket.removeUnder(SESSIONS, session, { by, depth: 0 })
    if (removed > 0) await this.lives.leave(bucket, session, by)
    return isThere ? removed : 0
  }

  async #isThere(bucket: Bucket, session: Path, by: string): Promise<boolean> {
    if (!(await this.lives.mayHide(bucket, session))) return true
    let after: Key | undefined
    do {
      const { items, next } = await this.names(bucket, session, { limit: AT_ONCE, ...(after && { after }) })
      if (items.length > 0) return true
      after = next
    } while (after !== undefined)
    this.lives.sweep(bucket, session, by)
    return false
  }
}

const AT_ONCE = 100

function holds({ expect, orAbsent }: Condition, current: Version | undefined): boolean {
  if (expect === undefined) return true
  if (expect === 'absent') return current === undefined
  if (expect === 'present') return current !== undefined
  return current === undefined ? orAbsent : current.n === expect.n
}

import type { CacheConfiguration, LruConfiguration } from './configuration'
import { lruConfiguration, shapeOf, touchOf } from './configuration'
import { SessionCacheError } from './errors'
import { tokenOf, xxhash32 } from './hash'
import type { Session } from './session'
import { textOf } from './session'
import { SharedTable } from './shared-table'
import { startSweeper } from './sweeper'
import { tableDirectory } from './table-directory'
import { isSessionKey } from './wire'

/** Told what left the table: pushed out, or not used for too long. */
export type Evictor = (sessions: readonly Session[]) => void

/**
 * The table of this box, by the methods of the original. Whoever sets `manage_section: true` (or `cache.am_initializer`)
 * makes it and sweeps it; the others attach.
 */
export class LRUManager {
  readonly table: SharedTable
  readonly configuration: LruConfiguration
  in_operation = true
  readonly #cache: CacheConfiguration
  readonly #evictors = new Set<Evictor>()
  readonly #token = (key: string): string => this.hash(key)
  readonly #stats = { set: 0, out: 0 }
  #stopSweeper: () => void = () => undefined
  #schedule: NodeJS.Timeout | undefined

  /** @throws bad_configuration, unsafe_directory */
  constructor(conf: unknown) {
    this.configuration = lruConfiguration(conf)
    const { cache, manage_section: manages, token_path, eviction_schedule: schedule } = this.configuration
    this.#cache = cache
    const tokenPath = cache.token_path ?? token_path
    const initializer = cache.am_initializer ?? manages !== false
    this.table = new SharedTable(
      tableDirectory({
        ...(cache.directory === undefined ? {} : { directory: cache.directory }),
        ...(tokenPath === undefined ? {} : { tokenPath }),
        seed: cache.seed,
      }),
      {
        ...touchOf(cache),
        hotBytes: cache.hot_bytes,
        ...(initializer ? { shape: shapeOf(cache) } : {}),
      },
    )
    if (!initializer) return
    this.#stopSweeper = startSweeper(this.table, cache, (sessions) => this.#gone(sessions))
    const every = schedule?.interval ?? schedule?.intrerval
    if (schedule !== undefined && every !== undefined)
      this.#schedule = setInterval(
        () =>
          this.#gone(
            this.run_evictions(schedule.time_shift ?? schedule.time_sfhit ?? 0, schedule.max_evicts ?? 20),
          ),
        every,
      ).unref()
  }

  /** Told what leaves the table through this process. Returns how to stop that. */
  on_eviction(evictor: Evictor): () => void {
    this.#evictors.add(evictor)
    return () => this.#evictors.delete(evictor)
  }

  /** Resolves with the token. @throws bad_key, value_too_large, table_missing */
  async set(key: string, value: unknown): Promise<string> {
    this.set_session(key, value)
    return this.hash(key)
  }

  /** As `set`, with a life of its own (ms; 0: without end) instead of `sessions_length`. */
  set_session(key: string, value: unknown, life?: number): Session {
    const { session, out } = this.table.set(checkKey(key), textOf(value), life)
    this.#stats.set++
    this.#gone(out)
    return session
  }

  /** Under a token, or, where the key is known too, under the key. */
  async set_with_token(token: string, value: unknown, key?: string): Promise<void> {
    this.set_session(key ?? token, value)
  }

  /** Takes over what another tier says. false: the table knows as much or better. */
  take(session: Session): boolean {
    const { stored, out } = this.table.put(session)
    this.#gone(out)
    return stored
  }

  /** Several; what is too large is left out. */
  take_all(sessions: readonly Session[]): void {
    this.#gone(this.table.putAll(sessions).flatMap(({ out }) => out))
  }

  /** Keeps the hash of the value under the key, and gives it back. */
  hash_set(key: string, value: unknown): string {
    const hash = this.pure_hash(textOf(value))
    this.set_session(key, hash)
    return hash
  }

  check_hash(hash: string, value: unknown): boolean {
    return this.pure_hash(textOf(value)) === hash
  }

  /** The text; objects come back as their JSON. false: not here. */
  async get(key: string): Promise<string | false> {
    return isSessionKey(key) ? (this.look(key) ?? false) : false
  }

  /** As `get`, at once, of a key that can be one. null: destroyed; undefined: not here. */
  look(key: string): string | null | undefined {
    return this.table.get(key, this.#token)
  }

  async get_with_token(token: string): Promise<string | false> {
    return isSessionKey(token) ? (this.table.get(token) ?? false) : false
  }

  delete(key: string): boolean {
    return isSessionKey(key) && this.table.delete(key)
  }

  /** xxHash of the text, in decimal. */
  pure_hash(text: string): string {
    return String(xxhash32(text, this.#cache.seed))
  }

  /** "modulus-hash" of a pure hash. */
  augment_hash(hash: string): string {
    return `${Number(hash) % this.#cache.el_count}-${hash}`
  }

  /** The token of a key. */
  hash(key: string): string {
    return tokenOf(key, this.#cache.el_count, this.#cache.seed)
  }

  /** Puts out what was not used for `time_shift` ms, the longest unused first, at most `reduced_max`. */
  run_evictions(time_shift: number, reduced_max: number): readonly Session[] {
    return this.table.evict(reduced_max, time_shift)
  }

  report_stats(tell: (stats: Readonly<Record<string, number>>) => void): void {
    tell({ ...this.#stats, count: this.table.count })
  }

  /** Lets go of the table, which stays for the other processes and for the next start. */
  async disconnect(): Promise<boolean> {
    if (!this.in_operation) return false
    this.in_operation = false
    this.#stopSweeper()
    clearInterval(this.#schedule)
    await this.table.close()
    return true
  }

  #gone(sessions: readonly Session[]): void {
    if (sessions.length === 0) return
    this.#stats.out += sessions.length
    for (const evictor of this.#evictors) evictor(sessions)
  }
}

function checkKey(key: string): string {
  if (!isSessionKey(key)) throw new SessionCacheError('bad_key')
  return key
}

import { DEFAULT_LIMIT, Key, Kv4Error, Layer, Path, isKv4Error } from '../core'
import type { Bucket, BucketName, Engine, LayerDeclaration, Listing } from '../core'
import { callerAddress, parseAddressRange } from './address-range'
import type { AddressRange, CallerAddress } from './address-range'

/** Where bans are kept: at the path from which on down they hold, under their range. */
const LAYER = Layer.parse('*auth')

/** Paths; as many as come on the one page that the engine keeps. */
const MOST_PATHS = DEFAULT_LIMIT
const MOST = 10_000
const ADMITTED = Promise.resolve()

/** An address or range that was denied a path and everything below it. */
export interface Ban {
  readonly path: Path
  /** As it is spelt in listings. */
  readonly range: Key
  /** false too for what is no address. */
  covers(path: Path, address: string | undefined): boolean
}

/**
 * Which addresses are denied which paths of an account, for every service. A ban is in force on this node once its write
 * is acknowledged, on others with the feed; where the feed is silent the store is asked.
 */
export interface Bans {
  /** For the service that declares it. */
  readonly layers: readonly LayerDeclaration[]
  readonly layer: Layer
  /** The one spelling of an address or CIDR range. @throws bad_address */
  range(text: string): Key
  /** What a ban of `range` at `path` would be. @throws bad_address */
  ban(path: Path, range: string): Ban
  /**
   * @param address of the other side; one that cannot be read is denied wherever there are bans at all
   * @throws forbidden
   * @throws store_unavailable when nobody can say
   */
  check(bucket: BucketName, path: Path, address: string | undefined): Promise<void>
  /** How many the account has; `full`: it may have no more. */
  count(bucket: BucketName): Promise<{ readonly count: number; readonly full: boolean }>
  /**
   * Each ban from now on, to end what is open already. Who admits somebody begins to watch before the check, so that
   * no ban falls between. Ends with the signal. @throws bucket_not_found when the bucket goes
   */
  watch(bucket: BucketName, signal: AbortSignal): AsyncIterable<Ban>
}

export function createBans(engine: Engine, clock: () => number = Date.now): Bans {
  return new EngineBans(engine, clock)
}

interface Rule {
  readonly range: AddressRange
  /** Unix ms. */
  readonly exp: number
}

/** The bans of one path: single addresses by their spelling, ranges one by one. */
interface Rules {
  readonly single: Map<string, Rule>
  readonly ranges: Rule[]
}

interface Table {
  readonly byPath: ReadonlyMap<Path, Rules>
  readonly count: number
}

class EngineBans implements Bans {
  readonly layer = LAYER
  readonly layers = [{ name: LAYER, kind: 'versioned' }] as const
  /**
   * By the listing of the paths with bans that each was made from: the engine keeps handing out the same listing until
   * a ban comes, goes, or lapses at another time.
   */
  readonly #tables = new WeakMap<Listing<Path>, Promise<Table>>()

  constructor(
    private readonly engine: Engine,
    private readonly clock: () => number,
  ) {}

  range(text: string): Key {
    return Key.parse(parseAddressRange(text).text)
  }

  ban(path: Path, text: string): Ban {
    const range = parseAddressRange(text)
    return {
      path,
      range: Key.parse(range.text),
      covers(at, address) {
        const caller = callerAddress(address)
        return caller !== undefined && Path.contains(path, at) && range.covers(caller)
      },
    }
  }

  check(name: BucketName, path: Path, address: string | undefined): Promise<void> {
    const bucket = this.engine.bucket(name)
    // Asked for every request, and most accounts have no bans: without the promises that the rest goes through.
    const known = bucket.peekPaths(LAYER)
    return known?.items.length === 0 ? ADMITTED : this.#check(bucket, known, path, address)
  }

  async #check(
    bucket: Bucket,
    known: Listing<Path> | undefined,
    path: Path,
    address: string | undefined,
  ): Promise<void> {
    const paths = known ?? (await pathsWithBans(bucket))
    if (paths.items.length === 0) return
    const table = await this.#table(bucket, paths)
    if (table.count > 0 && this.#denies(table, path, callerAddress(address)))
      throw new Kv4Error('forbidden', { fields: { reason: 'the address is denied here' } })
  }

  async count(name: BucketName): Promise<{ readonly count: number; readonly full: boolean }> {
    const bucket = this.engine.bucket(name)
    const paths = await pathsWithBans(bucket)
    const { count } = await this.#table(bucket, paths)
    return { count, full: count >= MOST || paths.items.length >= MOST_PATHS }
  }

  async *watch(name: BucketName, signal: AbortSignal): AsyncGenerator<Ban, void, undefined> {
    for await (const event of this.engine.bucket(name).watch({ layer: LAYER }, { signal }))
      if (event.kind !== 'series' && event.version.op !== 'delete')
        yield this.ban(event.address.path, event.address.key)
  }

  #denies({ byPath }: Table, path: Path, caller: CallerAddress | undefined): boolean {
    if (caller === undefined) return true
    const now = this.clock()
    for (const at of Path.lineage(path)) {
      const rules = byPath.get(at)
      if (rules === undefined) continue
      if ((rules.single.get(caller.text)?.exp ?? 0) > now) return true
      if (rules.ranges.some(({ range, exp }) => exp > now && range.covers(caller))) return true
    }
    return false
  }

  #table(bucket: Bucket, paths: Listing<Path>): Promise<Table> {
    let table = this.#tables.get(paths)
    if (table === undefined) {
      table = readTable(bucket, paths)
      this.#tables.set(paths, table)
      // A failure is not remembered.
      table.catch(() => this.#tables.delete(paths))
    }
    return table
  }
}

async function pathsWithBans(bucket: Bucket, after?: Path): Promise<Listing<Path>> {
  try {
    return await bucket.paths(LAYER, Path.root, undefined, after === undefined ? {} : { after })
  } catch (error) {
    // Without a bucket there is nothing to be kept from.
    if (isKv4Error(error, 'bucket_not_found')) return { items: [] }
    throw error
  }
}

async function readTable(bucket: Bucket, first: Listing<Path>): Promise<Table> {
  const byPath = new Map<Path, Rules>()
  let count = 0
  let page = first
  for (;;) {
    for (const path of page.items) {
      const rules: Rules = { single: new Map(), ranges: [] }
      count += await readRules(bucket, path, rules)
      byPath.set(path, rules)
    }
    if (page.next === undefined) return { byPath, count }
    page = await pathsWithBans(bucket, page.next)
  }
}

async function readRules(bucket: Bucket, path: Path, rules: Rules): Promise<number> {
  let count = 0
  let after: Key | undefined
  do {
    // Past the cache: it holds few listings, and those of many paths would push out the one that keeps the table.
    const page = await bucket.entries(
      { layer: LAYER, path },
      { consistent: true, ...(after !== undefined && { after }) },
    )
    for (const { key, version } of page.items) {
      const rule = { range: parseAddressRange(key), exp: version.exp ?? Infinity }
      if (key.includes('/')) rules.ranges.push(rule)
      else rules.single.set(key, rule)
      count++
    }
    after = page.next
  } while (after !== undefined)
  return count
}

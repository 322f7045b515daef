import { join } from 'node:path'
import { BucketName, Key, Layer, Path } from '../../core'
import type { Address, Json, Version } from '../../core'
import { checkInvariants, openEmbeddedStore } from '../../core/store/embedded'
import type { EmbeddedStore } from '../../core/store/embedded'
import type { BucketStore } from '../../core/store/store'
import { LOG_FILES } from '../../core/store/embedded/write-ahead-log'
import type { LogPace } from '../../core/store/embedded/logged-environment'
import type { OpenSubject, Recorded, Subject } from './subject'

/** The writers' process of this subject. */
export const STORE_WRITERS = join(__dirname, 'writers-process.ts')
/** One that brings to LMDB and begins its log anew all the time, so that a recording of a second has all of it. */
export const HASTY_STORE_WRITERS = join(__dirname, 'hasty-writers-process.ts')
/** The files that hold its data. */
export const STORE_FILES: readonly string[] = ['kv4.mdb', ...LOG_FILES]

const TENANT = BucketName.of('campaign')
const VERSIONED = Layer.parse('*data')
const CURRENT = Layer.parse('*subs:node')
const SERIES = Layer.parse('*stats:campaign')

function at(layer: Layer, key: string): Address {
  // Keys of the same first letter share a path.
  return { layer, path: Path.parse('/campaign/' + key.slice(0, 1)), key: Key.parse(key) }
}

/** The embedded store, driven without an engine: the compare-and-set loop is here. */
export class StoreSubject implements Subject {
  private constructor(
    private readonly store: EmbeddedStore,
    private readonly bucket: BucketStore,
  ) {}

  static opening(logPace: LogPace): OpenSubject {
    return async (directory, onFatal) => {
      const store = await openEmbeddedStore({ directory, onFatal, logPace })
      await store.create(TENANT)
      return new StoreSubject(store, await store.open(TENANT))
    }
  }

  static readonly open = StoreSubject.opening({})

  put(key: string, value: string): Promise<number> {
    return this.#add(key, (n, before) => ({
      n,
      op: before === undefined || before.op === 'delete' ? 'create' : 'update',
      v: value,
      // Some lapse, so that expiries are written and renewed too.
      ...(n % 5 === 0 ? { exp: Date.now() + 1e9 } : {}),
    }))
  }

  remove(key: string): Promise<number> {
    return this.#add(key, (n) => ({ n, op: 'delete', v: null }))
  }

  async #add(
    key: string,
    make: (n: number, before: Version | undefined) => Pick<Version, 'n' | 'op' | 'v'>,
  ): Promise<number> {
    const address = at(VERSIONED, key)
    for (;;) {
      const [before] = await this.bucket.heads([address], 'versioned')
      const made = make((before?.n ?? 0) + 1, before)
      const version = { at: Math.max(Date.now(), before?.at ?? 0), by: 'campaign', ...made }
      const renews = before?.exp !== undefined
      const [outcome] = await this.bucket.commit([{ kind: 'versioned', address, version, renews }])
      if (outcome === 'stored') return version.n
    }
  }

  async beat(key: string, value: string): Promise<number> {
    const address = at(CURRENT, key)
    for (;;) {
      const [before] = await this.bucket.heads([address], 'current')
      const over = before?.n ?? 0
      const version: Version = { n: over + 1, at: Date.now(), by: 'campaign', op: 'update', v: value }
      const [outcome] = await this.bucket.commit([{ kind: 'current', address, version, over }])
      if (outcome === 'stored') return version.n
    }
  }

  async append(key: string, id: string, value: string): Promise<void> {
    const sample = { at: Date.now(), id, by: 'campaign', v: value }
    await this.bucket.commit([{ kind: 'series', address: at(SERIES, key), sample }])
  }

  async create(bucket: string): Promise<void> {
    const name = BucketName.of('campaign', bucket)
    await this.store.create(name)
    const made = await this.store.open(name)
    const version: Version = { n: 1, at: Date.now(), by: 'campaign', op: 'create', v: bucket }
    await made.commit([{ kind: 'versioned', address: at(VERSIONED, 'first'), version, renews: false }])
    await made.close()
  }

  async drop(bucket: string): Promise<void> {
    await this.store.drop(BucketName.of('campaign', bucket))
  }

  async history(key: string): Promise<readonly Recorded[]> {
    const all: Recorded[] = []
    for (;;) {
      const page = await this.bucket.versions(at(VERSIONED, key), {
        order: 'oldest',
        above: all.at(-1)?.n ?? 0,
        limit: 1000,
      })
      if (page.length === 0) return all
      for (const { n, v } of page) all.push({ n, value: text(v) })
    }
  }

  async current(key: string): Promise<Recorded | undefined> {
    const [entry] = await this.bucket.heads([at(CURRENT, key)], 'current')
    return entry && { n: entry.n, value: text(entry.v) }
  }

  async samples(key: string): Promise<ReadonlyMap<string, string>> {
    const found = await this.bucket.samples(at(SERIES, key), { order: 'oldest', limit: 1e6 })
    return new Map(found.map(({ id, v }) => [id, text(v) ?? '']))
  }

  async buckets(): Promise<ReadonlySet<string>> {
    const names = new Set<string>()
    for await (const name of this.store.list()) {
      const { sub } = BucketName.owner(name)
      if (sub === undefined) continue
      // One whose creation was acknowledged has its entry as well.
      const bucket = await this.store.open(name)
      const [first] = await bucket.heads([at(VERSIONED, 'first')], 'versioned')
      await bucket.close()
      if (first?.v === sub) names.add(sub)
    }
    return names
  }

  async problems(): Promise<readonly string[]> {
    return checkInvariants(this.store)
  }

  async close(): Promise<void> {
    await this.store.close()
  }
}

function text(value: Json): string | null {
  return typeof value === 'string' ? value : null
}

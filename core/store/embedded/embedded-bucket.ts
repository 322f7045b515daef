import { addressIn } from '../../kv4/address'
import { Kv4Error } from '../../errors'
import type { Address, Place } from '../../kv4/address'
import type { Key } from '../../kv4/key'
import type { Layer } from '../../kv4/layer'
import { Path } from '../../kv4/path'
import type { Sample, Version } from '../../kv4/version'
import type {
  AggregateQuery,
  AggregateRow,
  BucketStore,
  ChangeBatch,
  ChangeOptions,
  Cursor,
  Expiring,
  KeyRow,
  Outcome,
  Page,
  SampleRange,
  VersionRange,
  Write,
} from '../store'
import type { BucketState } from './bucket-state'
import type { Committer } from './committer'
import type { Row } from './environment'
import type { LoggedEnvironment } from './logged-environment'
import { changesSince, cursorAt } from './feed'
import {
  RECORD,
  addressKey,
  behind,
  expiriesAfter,
  keyNameOf,
  liveLayerOf,
  livePathKey,
  livePathOf,
  livePathsBehind,
  placePrefix,
  readExpiryKey,
  readSampleKey,
  sampleKey,
  samplesAfter,
  typePrefix,
  versionKey,
} from './layout'
import { planWrites } from './plan'
import type { Pending } from './pending'
import { prepare } from './prepare'
import { planPruneSamples, planPruneVersions } from './prune'
import type { Pruned } from './prune'
import { decodeEntry, decodeKeyState, decodeNumber, decodeSample, decodeVersion, entryExp } from './records'
import { aggregateRows } from './rollup'

// Versions or samples forgotten in one transaction.
const PRUNE_CHUNK = 1000

/** A handle on one bucket. Reads are synchronous underneath: LMDB answers from memory-mapped pages. */
export class EmbeddedBucket implements BucketStore {
  readonly #closed = new AbortController()

  constructor(
    private readonly state: BucketState,
    private readonly environment: LoggedEnvironment,
    private readonly committer: Committer,
    private readonly heartbeatMs: number,
    private readonly onClose: () => void,
  ) {}

  async commit(writes: readonly Write[]): Promise<readonly Outcome[]> {
    this.#check()
    if (writes.length === 0) return []
    const prepared = writes.map((write) => prepare(this.state.id, write))
    let bytes = 0
    for (const { key, record } of prepared) bytes += 2 * key.length + record.length
    const commit = await this.committer.submit(bytes, (pending) => {
      this.state.check()
      return planWrites(pending, this.state, prepared)
    })
    this.state.committed(commit)
    return commit.outcomes
  }

  async heads(
    addresses: readonly Address[],
    kind: 'versioned' | 'current',
  ): Promise<readonly (Version | undefined)[]> {
    this.#check()
    return addresses.map((address) => {
      if (kind === 'versioned') return this.#versions(address, { order: 'newest', limit: 1 })[0]
      const entry = this.environment.get(addressKey(this.state.id, RECORD.current, address))
      return entry === undefined ? undefined : decodeEntry(entry)
    })
  }

  async pick(address: Address, numbers: readonly number[]): Promise<readonly (Version | undefined)[]> {
    this.#check()
    return numbers.map((n) => {
      const record = this.environment.get(versionKey(this.state.id, address, n))
      return record === undefined ? undefined : decodeVersion(record)
    })
  }

  async versions(address: Address, range: VersionRange): Promise<readonly Version[]> {
    this.#check()
    return this.#versions(address, range)
  }

  #versions(address: Address, { above = 0, below, order, limit }: VersionRange): Version[] {
    const prefix = addressKey(this.state.id, RECORD.version, address)
    // Newest is first in key order.
    const start = below === undefined ? prefix : versionKey(this.state.id, address, below - 1)
    const end = above <= 0 ? behind(prefix) : versionKey(this.state.id, address, above)
    return this.#rows(order === 'newest', start, end, limit).map(({ value }) => decodeVersion(value))
  }

  async samples(address: Address, range: SampleRange): Promise<readonly Sample[]> {
    this.#check()
    const prefix = addressKey(this.state.id, RECORD.sample, address)
    const { order, limit, after } = range
    let start = range.from === undefined ? prefix : sampleKey(this.state.id, address, range.from, '')
    let end = range.to === undefined ? behind(prefix) : samplesAfter(this.state.id, address, range.to)
    if (after !== undefined) {
      const bound = sampleKey(this.state.id, address, after.at, after.id)
      if (order === 'oldest') start = later(start, Buffer.concat([bound, Buffer.from([0])]))
      else end = Buffer.compare(bound, end) < 0 ? bound : end
    }
    return this.#rows(order === 'oldest', start, end, limit).map(({ key, value }) => {
      const { at, id } = readSampleKey(key, prefix.length)
      return decodeSample(value, at, id)
    })
  }

  async keys(
    place: Place,
    kind: 'versioned' | 'series' | 'current',
    { after, limit }: Page<Key>,
  ): Promise<readonly KeyRow[]> {
    this.#check()
    const type = kind === 'current' ? RECORD.current : RECORD.keyRow
    const prefix = placePrefix(this.state.id, type, place)
    const start =
      after === undefined ? prefix : behind(addressKey(this.state.id, type, addressIn(place, after)))
    return this.#rows(true, start, behind(prefix), limit).map(({ key, value }) => {
      const { live, exp } = kind === 'current' ? { live: true, exp: entryExp(value) } : decodeKeyState(value)
      return { key: keyNameOf(key), live, ...(exp === undefined ? {} : { exp }) }
    })
  }

  async paths(
    layer: Layer,
    _kind: 'versioned' | 'series' | 'current',
    under: Path,
    depth: number | undefined,
    { after, limit }: Page<Path>,
  ): Promise<readonly Path[]> {
    this.#check()
    const { id } = this.state
    const deepest = depth === undefined ? Infinity : Path.depth(under) + depth
    const paths: Path[] = []
    // The root is written as nothing, so everything of the layer is below it.
    const end =
      under === Path.root
        ? behind(livePathKey(id, { layer, path: under }).subarray(0, -1))
        : livePathsBehind(id, { layer, path: under })
    let start = livePathKey(id, { layer, path: under })
    if (after !== undefined) start = later(start, behind(livePathKey(id, { layer, path: after })))
    while (paths.length < limit) {
      let tooDeep: Path | undefined
      let found = 0
      for (const key of this.environment.keys({ start, end, limit: limit - paths.length })) {
        found++
        const path = livePathOf(key)
        if (Path.depth(path) > deepest) {
          tooDeep = path
          break
        }
        paths.push(path)
      }
      if (tooDeep === undefined) {
        if (found === 0 || paths.length >= limit) break
        start = behind(livePathKey(id, { layer, path: paths.at(-1)! }))
      } else {
        // Everything else below the last ancestor that may be told is too deep as well, but for its own siblings.
        const ancestor = ('/' +
          Path.segments(tooDeep)
            .slice(0, deepest + 1)
            .join('/')) as Path
        start = livePathsBehind(id, { layer, path: ancestor })
      }
    }
    return paths
  }

  async layers(): Promise<readonly Layer[]> {
    this.#check()
    const start = typePrefix(this.state.id, RECORD.liveLayer)
    return [...this.environment.keys({ start, end: behind(start) })].map(liveLayerOf)
  }

  async aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]> {
    this.#check()
    return aggregateRows(this.environment, this.state.id, query)
  }

  async expiring(after: number, upTo: number, limit: number): Promise<readonly Expiring[]> {
    this.#check()
    const start = expiriesAfter(this.state.id, after)
    const end = expiriesAfter(this.state.id, upTo)
    if (after >= upTo) return []
    return this.#rows(true, start, end, limit).map(({ key, value }) => {
      const { exp, kind, address } = readExpiryKey(key)
      return {
        address,
        kind: kind === RECORD.version ? 'versioned' : 'current',
        n: decodeNumber(value),
        exp,
      }
    })
  }

  async pruneVersions(address: Address, keepFrom: number): Promise<number> {
    this.#check()
    return this.#prune((pending, after) =>
      planPruneVersions(pending, this.state, address, keepFrom, PRUNE_CHUNK, after),
    )
  }

  async pruneSamples(address: Address, before: number, limit: number): Promise<number> {
    this.#check()
    let left = limit
    return this.#prune((pending, after) => {
      const most = Math.min(left, PRUNE_CHUNK)
      const pruned = planPruneSamples(pending, this.state, address, before, most, after)
      left -= pruned.count
      return pruned
    })
  }

  async #prune(plan: (pending: Pending, after: Buffer | undefined) => Pruned): Promise<number> {
    let pruned = 0
    let after: Buffer | undefined
    for (;;) {
      const { count, last } = await this.committer.submit(PRUNE_CHUNK * 256, (pending) => {
        this.state.check()
        return plan(pending, after)
      })
      if (count === 0) return pruned
      pruned += count
      after = last
    }
  }

  async cursor(): Promise<Cursor> {
    this.#check()
    return cursorAt(this.state, this.state.durableSeq)
  }

  changes(since: Cursor, options: ChangeOptions): AsyncIterable<ChangeBatch> {
    return changesSince(this.environment, this.state, since, {
      ...options,
      closed: this.#closed.signal,
      heartbeatMs: this.heartbeatMs,
    })
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return
    this.#closed.abort()
    this.onClose()
  }

  #check(): void {
    this.state.check()
    // Another handle may be giving out the numbers of the feed by now.
    if (this.#closed.signal.aborted)
      throw new Kv4Error('store_unavailable', { retryAfter: 1, detail: 'this handle on a bucket is closed' })
    this.committer.check()
  }

  #rows(forward: boolean, start: Buffer, end: Buffer, limit: number): Row[] {
    if (limit <= 0 || Buffer.compare(start, end) >= 0) return []
    const range = { start, end, limit }
    return [...(forward ? this.environment.range(range) : this.environment.rangeBackward(range))]
  }
}

function later(a: Buffer, b: Buffer): Buffer {
  return Buffer.compare(a, b) > 0 ? a : b
}

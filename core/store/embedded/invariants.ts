import { addressId, placeId } from '../../kv4/address'
import type { Address } from '../../kv4/address'
import { aggregateOf, sumOf } from '../aggregate'
import { LEVELS } from '../store'
import type { Aggregate } from '../store'
import type { EmbeddedStore } from './embedded-store'
import type { LoggedEnvironment } from './logged-environment'
import {
  PREFIX_BYTES,
  RECORD,
  StoreKey,
  behind,
  bucketPrefix,
  feedKey,
  livePathOf,
  readAddress,
  readBurialKey,
  readExpiryKey,
  readSampleKey,
  seqOfFeedKey,
  typePrefix,
  versionNumberOf,
  liveLayerOf,
} from './layout'
import type { RecordType } from './layout'
import {
  decodeAggregate,
  decodeBucketNumber,
  decodeCount,
  decodeEntry,
  decodeKeyState,
  decodeNumber,
  decodeSample,
  decodeVersion,
  entryExp,
  entryNumber,
  seqOf,
} from './records'
import type { KeyState } from './records'

/**
 * Reads everything and says what contradicts: a hole in an address's numbers, a listing, count, expiry, rollup or feed
 * record without what it speaks of, or the other way about. Empty when all is well. Holds every address in memory: for
 * tests and for an operator with a doubt, not for a server at work.
 */
export function checkInvariants({ environment }: EmbeddedStore): string[] {
  const start = StoreKey.buckets
  const problems: string[] = []
  const known = new Set<number>()
  for (const { key, value } of environment.range({ start, end: behind(start) })) {
    const id = decodeBucketNumber(value)
    if (known.has(id)) problems.push(`bucket number ${id} is used twice`)
    known.add(id)
    const name = StoreKey.nameOf(key)
    for (const problem of new BucketScan(environment, id).run()) problems.push(`${name}: ${problem}`)
  }
  const dropped = StoreKey.garbage
  for (const key of environment.keys({ start: dropped, end: behind(dropped) })) {
    const id = StoreKey.droppedOf(key)
    if (known.has(id)) problems.push(`bucket number ${id} is in use and dropped`)
    known.add(id)
  }
  // Data of a bucket that is neither listed nor to be collected would stay for ever.
  let from: Buffer = Buffer.from([1])
  for (;;) {
    const key = environment.firstKeyFrom(from)
    if (key === undefined || key[0] !== 1) break
    const id = key.readUIntBE(1, 5)
    if (!known.has(id)) problems.push(`bucket number ${id} has data but no name`)
    from = bucketPrefix(id + 1)
  }
  return problems
}

class BucketScan {
  readonly #problems: string[] = []
  /** By address: what the versions, entries and samples say that the listings must say. */
  readonly #states = new Map<string, KeyState & { readonly address: Address }>()
  /** exp, kind and address of every live entry that lapses -> n. */
  readonly #expiries = new Map<string, number>()
  readonly #fed = new Map<number, string>()

  constructor(
    private readonly environment: LoggedEnvironment,
    private readonly bucket: number,
  ) {}

  run(): readonly string[] {
    this.#versions()
    const current = this.#entries()
    const series = this.#samples()
    this.#keyRows(current)
    this.#liveness()
    this.#expiry()
    this.#feed()
    this.#rollups(series)
    return this.#problems
  }

  #rows(type: RecordType) {
    const start = typePrefix(this.bucket, type)
    return this.environment.range({ start, end: behind(start) })
  }

  #problem(text: string, address?: Address): void {
    this.#problems.push(
      address === undefined ? text : `${text} (${addressId(address).replaceAll('\0', ' ')})`,
    )
  }

  #feeds(key: Buffer, value: Buffer, address: Address): void {
    const seq = seqOf(value)
    const already = this.#fed.get(seq)
    if (already !== undefined) this.#problem(`seq ${seq} is given to two records`, address)
    this.#fed.set(seq, key.toString('latin1', PREFIX_BYTES))
  }

  #expires(kind: number, address: Address, exp: number | undefined, n: number): void {
    if (exp !== undefined) this.#expiries.set(`${exp} ${kind} ${addressId(address)}`, n)
  }

  #versions(): void {
    let last: { id: string; n: number; seq: number } | undefined
    for (const { key, value } of this.#rows(RECORD.version)) {
      const { address } = readAddress(key, PREFIX_BYTES + 1)
      const id = addressId(address)
      const version = decodeVersion(value)
      const n = versionNumberOf(key)
      if (version.n !== n) this.#problem(`version ${n} says that it is ${version.n}`, address)
      if (last?.id === id) {
        if (last.n !== n + 1) this.#problem(`version ${last.n} is followed by ${n}`, address)
        if (last.seq <= seqOf(value)) this.#problem(`version ${n} is behind ${last.n} in the feed`, address)
      } else {
        const live = version.op !== 'delete'
        const exp = live ? version.exp : undefined
        this.#states.set(id, { address, live, exp })
        this.#expires(RECORD.version, address, exp, n)
      }
      last = { id, n, seq: seqOf(value) }
      this.#feeds(key, value, address)
    }
  }

  /** The addresses of current entries. */
  #entries(): Set<string> {
    const current = new Set<string>()
    const buried = new Map<string, number>()
    for (const { key, value } of this.#rows(RECORD.current)) {
      const { address } = readAddress(key, PREFIX_BYTES + 1)
      const version = decodeEntry(value)
      if (version.n !== entryNumber(value) || version.exp !== entryExp(value))
        this.#problem(`the entry's head and its value differ`, address)
      if (version.op === 'delete') this.#problem('a deleted entry is still there', address)
      current.add(addressId(address))
      this.#states.set(addressId(address), { address, live: true, exp: version.exp })
      this.#expires(RECORD.current, address, version.exp, version.n)
      this.#feeds(key, value, address)
    }
    for (const { key, value } of this.#rows(RECORD.tombstone)) {
      const { address } = readAddress(key, PREFIX_BYTES + 1)
      if (current.has(addressId(address))) this.#problem('an entry has a tombstone', address)
      buried.set(addressId(address), decodeVersion(value).at)
      this.#feeds(key, value, address)
    }
    for (const { key } of this.#rows(RECORD.burial)) {
      const { at, address } = readBurialKey(key)
      if (buried.get(addressId(address)) !== at) this.#problem('a burial without its tombstone', address)
      buried.delete(addressId(address))
    }
    for (const id of buried.keys()) this.#problem(`no burial of ${id.replaceAll('\0', ' ')}`)
    return current
  }

  /** What the samples of each address add up to. */
  #samples(): Map<string, Aggregate> {
    const sums = new Map<string, Aggregate>()
    for (const { key, value } of this.#rows(RECORD.sample)) {
      const { address, next } = readAddress(key, PREFIX_BYTES + 1)
      const { at, id } = readSampleKey(key, next)
      const address_ = addressId(address)
      sums.set(address_, sumOf(sums.get(address_), aggregateOf(decodeSample(value, at, id).v)))
      this.#states.set(address_, { address, live: true, exp: undefined })
      this.#feeds(key, value, address)
    }
    return sums
  }

  #keyRows(current: ReadonlySet<string>): void {
    const listed = new Set<string>()
    for (const { key, value } of this.#rows(RECORD.keyRow)) {
      const { address } = readAddress(key, PREFIX_BYTES + 1)
      const id = addressId(address)
      const row = decodeKeyState(value)
      const state = this.#states.get(id)
      listed.add(id)
      if (state === undefined) {
        // Retention may have taken the last sample of a series.
        if (row.live) this.#states.set(id, { address, ...row })
        else this.#problem('a key is listed that was never written', address)
      } else if (state.live !== row.live || state.exp !== row.exp)
        this.#problem(`the listing says ${JSON.stringify(row)}, the latest version otherwise`, address)
    }
    for (const [id, { address }] of this.#states)
      if (!listed.has(id) && !current.has(id)) this.#problem('a key is not listed', address)
  }

  #liveness(): void {
    const paths = new Map<string, number>()
    const layers = new Map<string, number>()
    for (const { live, address } of this.#states.values()) {
      if (!live) continue
      const place = placeId(address)
      const keys = paths.get(place) ?? 0
      paths.set(place, keys + 1)
      if (keys === 0) layers.set(address.layer, (layers.get(address.layer) ?? 0) + 1)
    }
    for (const { key, value } of this.#rows(RECORD.livePath)) {
      const layer = key.toString('utf8', PREFIX_BYTES + 1, key.indexOf(0, PREFIX_BYTES + 1))
      const place = layer + '\0' + livePathOf(key)
      const counted = decodeCount(value)
      if (paths.get(place) !== counted)
        this.#problem(
          `path ${place.replace('\0', ' ')} counts ${counted} live keys of ${paths.get(place) ?? 0}`,
        )
      paths.delete(place)
    }
    for (const place of paths.keys()) this.#problem(`path ${place.replace('\0', ' ')} is not listed`)
    for (const { key, value } of this.#rows(RECORD.liveLayer)) {
      const layer = liveLayerOf(key)
      const counted = decodeCount(value)
      if (layers.get(layer) !== counted)
        this.#problem(`layer ${layer} counts ${counted} live paths of ${layers.get(layer) ?? 0}`)
      layers.delete(layer)
    }
    for (const layer of layers.keys()) this.#problem(`layer ${layer} is not listed`)
  }

  #expiry(): void {
    for (const { key, value } of this.#rows(RECORD.expiry)) {
      const { exp, kind, address } = readExpiryKey(key)
      const id = `${exp} ${kind} ${addressId(address)}`
      const n = this.#expiries.get(id)
      if (n === undefined) this.#problem('an expiry without its entry', address)
      else if (n !== decodeNumber(value)) this.#problem('an expiry of another version', address)
      this.#expiries.delete(id)
    }
    for (const id of this.#expiries.keys()) this.#problem(`no expiry for ${id.replaceAll('\0', ' ')}`)
  }

  #feed(): void {
    let last = 0
    for (const { key, value } of this.#rows(RECORD.feed)) {
      last = seqOfFeedKey(key)
      if (this.#fed.get(last) !== value.toString('latin1'))
        this.#problem(`seq ${last} of the feed names nothing`)
      this.#fed.delete(last)
    }
    for (const seq of this.#fed.keys()) this.#problem(`seq ${seq} is not in the feed`)
    const floor = this.environment.get(typePrefix(this.bucket, RECORD.feedFloor))
    if (floor !== undefined) last = Math.max(last, decodeNumber(floor))
    for (const _ of this.environment.keys({
      start: feedKey(this.bucket, last + 1),
      end: behind(typePrefix(this.bucket, RECORD.feed)),
      limit: 1,
    }))
      this.#problem('the feed goes on behind its end')
  }

  #rollups(series: ReadonlyMap<string, Aggregate>): void {
    // grouping -> level -> sum; each level of a grouping has to add up to the same, and a key's to its samples.
    const totals = new Map<string, (Aggregate | undefined)[]>()
    const perLayer = new Map<string, [paths: Aggregate | undefined, keys: Aggregate | undefined]>()
    for (const { key, value } of this.#rows(RECORD.rollup)) {
      const layerEnd = key.indexOf(0, PREFIX_BYTES + 1)
      const grouping = key[layerEnd + 1]! - 0x30
      let end = layerEnd + 2
      for (let i = 0; i < grouping; i++) end = key.indexOf(0, end) + 1
      const id = key.toString('latin1', PREFIX_BYTES + 1, end)
      const levels = totals.get(id) ?? []
      totals.set(id, levels)
      const level = key[end]!
      levels[level] = sumOf(levels[level], decodeAggregate(value))
      if (level !== 0) continue
      const layer = key.toString('utf8', PREFIX_BYTES + 1, layerEnd)
      if (grouping === 0) continue
      const sums = perLayer.get(layer) ?? [undefined, undefined]
      perLayer.set(layer, sums)
      sums[grouping - 1] = sumOf(sums[grouping - 1], decodeAggregate(value))
    }
    for (const [id, levels] of totals)
      for (let level = 1; level < LEVELS.length; level++)
        if (!same(levels[0], levels[level]))
          this.#problem(`rollup ${JSON.stringify(id)}: ${LEVELS[level]} does not add up to year`)
    for (const [layer, [paths, keys]] of perLayer) {
      const all = totals.get(Buffer.from(layer).toString('latin1') + '\0' + '0')?.[0]
      if (!same(all, paths) || !same(all, keys)) this.#problem(`rollups of layer ${layer} do not add up`)
    }
    for (const [id, samples] of series) {
      const [layer, path, key] = id.split('\0') as [string, string, string]
      const inKey = path === '/' ? '' : path.replaceAll('/', '\u0001')
      const grouping = Buffer.from(`${layer}\0${'2'}${inKey}\0${key}\0`).toString('latin1')
      const total = totals.get(grouping)?.[0]
      if (total === undefined || total.count < samples.count)
        this.#problem(
          `rollups of ${id.replaceAll('\0', ' ')} count ${total?.count ?? 0} of ${samples.count} samples`,
        )
    }
  }
}

/** Sums of floats depend on their order, counts and bounds do not. */
function same(a: Aggregate | undefined, b: Aggregate | undefined): boolean {
  return (
    a !== undefined &&
    b !== undefined &&
    a.count === b.count &&
    a.min === b.min &&
    a.max === b.max &&
    Math.abs(a.sum - b.sum) <= 1e-9 * Math.max(1, Math.abs(a.sum))
  )
}

import type { Address, Version } from '../../core'
import { addressId } from '../../core'
import type {
  BucketStore,
  Change,
  PutCurrent,
  PutVersion,
  StoreFeatures,
  Write,
} from '../../core/store/store'
import { CliFailure, EXIT } from '../failure'
import { FILLER, fillers } from './fillers'

const WRITES_AT_ONCE = 500

/**
 * The target bucket while it takes over what the source's feed tells. A version that is there already is left as it
 * is, so that telling everything again from the beginning resumes a copy that was broken off.
 */
export class CopiedBucket {
  constructor(
    private readonly source: BucketStore,
    private readonly target: BucketStore,
    private readonly features: StoreFeatures,
  ) {}

  async take(changes: readonly Change[]): Promise<void> {
    await this.#takeVersions(changes.filter(isTold('versioned')))
    await this.#takeCurrent(changes.filter(isTold('current')))
    await this.#commit(
      changes
        .filter((change) => change.kind === 'series')
        .map(({ address, sample }) => ({ kind: 'series', address, sample })),
    )
  }

  async #takeVersions(changes: readonly Told[]): Promise<void> {
    const heads = await this.#heads(changes, 'versioned')
    const writes: PutVersion[] = []
    for (const { address, version } of changes) {
      const id = addressId(address)
      const head = heads.get(id)
      if (version.n <= (head?.n ?? 0)) continue
      if (version.n > (head?.n ?? 0) + 1 || head?.by === FILLER) {
        await this.#commit(writes.splice(0))
        await this.#bridge(address, head, version)
      } else writes.push(putVersion(address, version, head))
      heads.set(id, version)
    }
    await this.#commit(writes)
  }

  /** Writes a version whose predecessors have not all been told. */
  async #bridge(address: Address, from: Version | undefined, version: Version): Promise<void> {
    let head = from
    // A feed over several shards may tell a later version first.
    for (;;) {
      const late = await this.source.versions(address, {
        above: head?.n ?? 0,
        below: version.n,
        order: 'oldest',
        limit: WRITES_AT_ONCE,
      })
      if (late.length === 0) break
      const [oldest] = late
      head = await this.#fill(address, head, oldest!)
      for (const each of late) {
        await this.#commit([putVersion(address, each, head)])
        head = each
      }
    }
    const last = await this.#fill(address, head, version)
    await this.#commit([putVersion(address, version, last)])
    if (last?.by === FILLER) await this.target.pruneVersions(address, version.n)
  }

  /** Stands in for versions that retention has forgotten, until what follows on them is there. */
  async #fill(address: Address, head: Version | undefined, before: Version): Promise<Version | undefined> {
    let last = head
    const writes: PutVersion[] = []
    for (const filler of fillers(head, before)) {
      writes.push(putVersion(address, filler, last))
      last = filler
      if (writes.length === WRITES_AT_ONCE) await this.#commit(writes.splice(0))
    }
    await this.#commit(writes)
    return last
  }

  async #takeCurrent(changes: readonly Told[]): Promise<void> {
    const heads = await this.#heads(changes, 'current')
    // Only the last word about an entry counts.
    const last = new Map(changes.map((change) => [addressId(change.address), change]))
    const writes: PutCurrent[] = []
    for (const [id, { address, version }] of last) {
      const head = heads.get(id)
      if (head === undefined ? version.op === 'delete' : version.n <= head.n) continue
      writes.push({ kind: 'current', address, version, over: head?.n ?? 0 })
    }
    await this.#commit(writes)
  }

  async #heads(
    changes: readonly Told[],
    kind: 'versioned' | 'current',
  ): Promise<Map<string, Version | undefined>> {
    const addresses = new Map(changes.map(({ address }) => [addressId(address), address]))
    if (addresses.size === 0) return new Map()
    const heads = await this.target.heads([...addresses.values()], kind)
    return new Map([...addresses.keys()].map((id, i) => [id, heads[i]]))
  }

  async #commit(writes: readonly Write[]): Promise<void> {
    for (const round of this.features.ordered ? [writes] : rounds(writes)) {
      if (round.length === 0) continue
      const outcomes = await this.target.commit(round)
      const refused = outcomes.indexOf('conflict')
      if (refused >= 0)
        throw new CliFailure(
          EXIT.refused,
          `the target has another version of ${printAddress(round[refused]!.address)}: somebody else writes to it`,
          'Stop every server that uses the target, then go on with --resume.',
        )
    }
  }
}

type Told = Exclude<Change, { readonly kind: 'series' }>

function isTold(kind: Told['kind']): (change: Change) => change is Told {
  return (change): change is Told => change.kind === kind
}

function putVersion(address: Address, version: Version, before: Version | undefined): PutVersion {
  return { kind: 'versioned', address, version, renews: before?.exp !== undefined }
}

function printAddress({ layer, path, key }: Address): string {
  return `${layer} ${path} ${JSON.stringify(key)}`
}

/** In order, and no address twice in a round. */
function rounds(writes: readonly Write[]): readonly (readonly Write[])[] {
  const all: Write[][] = []
  const next = new Map<string, number>()
  for (const write of writes) {
    const id = addressId(write.address)
    const round = write.kind === 'series' ? 0 : (next.get(id) ?? 0)
    next.set(id, round + 1)
    ;(all[round] ??= []).push(write)
  }
  return all
}

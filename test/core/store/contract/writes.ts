import type { Address, Json, Operation, Sample, Version } from '../../../../core'
import { Key, Layer, Path } from '../../../../core'
import type { BucketStore, PutCurrent, PutSample, PutVersion, Write } from '../../../../core/store/store'

export const DATA = Layer.parse('*data')
export const STATS = Layer.parse('*stats:pkt')
export const SUBS = Layer.parse('*subs:node1')

/** A fixed instant, so that failures read the same every day. */
export const T0 = Date.UTC(2026, 2, 16, 5, 30)

export function address(path: string, key: string, layer = DATA): Address {
  return { layer, path: Path.parse(path), key: Key.parse(key) }
}

export function version(n: number, v: Json = `value ${n}`, more: Partial<Version> = {}): Version {
  const op: Operation = n === 1 ? 'create' : 'update'
  return { n, at: T0 + n, by: 'elena', op, v, ...more }
}

export function deletion(n: number): Version {
  return version(n, null, { op: 'delete' })
}

export function put(at: Address, written: Version, renews = false): PutVersion {
  return { kind: 'versioned', address: at, version: written, renews }
}

export function replace(at: Address, over: number, written: Version): PutCurrent {
  return { kind: 'current', address: at, version: written, over }
}

export function sample(at: number, v: Json, id = `node1-${at}`): Sample {
  return { at, id, by: 'router', v }
}

export function append(at: Address, appended: Sample): PutSample {
  return { kind: 'series', address: at, sample: appended }
}

/** Commits in chunks of 500 and fails unless every write was stored. */
export async function store(bucket: BucketStore, writes: readonly Write[]): Promise<void> {
  for (let i = 0; i < writes.length; i += 500) {
    const outcomes = await bucket.commit(writes.slice(i, i + 500))
    const lost = outcomes.findIndex((outcome) => outcome !== 'stored')
    if (lost !== -1) throw new Error(`write ${i + lost} was not stored: ${outcomes[lost]}`)
  }
}

/** Versions 1 to `last` of an address, one commit each, `delete` where `deleted` says so, `create` after it. */
export async function writeVersions(
  bucket: BucketStore,
  at: Address,
  last: number,
  deleted: readonly number[] = [],
): Promise<readonly Version[]> {
  const written: Version[] = []
  for (let n = 1; n <= last; n++) {
    const next = deleted.includes(n)
      ? deletion(n)
      : version(n, `value ${n}`, deleted.includes(n - 1) ? { op: 'create' } : {})
    await store(bucket, [put(at, next)])
    written.push(next)
  }
  return written
}

/** Tree order: bytes of the UTF-8 form, `/` before any other byte. */
export function inTreeOrder<Name extends string>(names: readonly Name[]): Name[] {
  const bytes = (name: string) => Buffer.from(name === '/' ? '' : name.replaceAll('/', '\u0001'), 'utf8')
  return [...names].sort((a, b) => Buffer.compare(bytes(a), bytes(b)))
}

export function inByteOrder<Name extends string>(names: readonly Name[]): Name[] {
  return [...names].sort((a, b) => Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8')))
}

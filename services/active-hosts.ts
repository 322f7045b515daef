import { BucketName, Key, Layer, Path } from '../core'
import { isJsonObject, type Engine, type Json, type JsonObject, type Place, type Version } from '../core'
import type { Recorder } from './recorder'

/**
 * Who is there: nodes of the platform and external services, one entry each in `$sys` at `/runtime/hosts/active`, layer
 * `*host` (current). An entry is refreshed every few seconds and lapses by itself; to learn of changes watch this place.
 */
export const ACTIVE_HOSTS: Place = {
  layer: Layer.parse('*host'),
  path: Path.parse('/runtime/hosts/active'),
}

/** What nodes are, by the word of `_host?type=`. */
export const SIGNAL = 'signal'

/** The value of an entry. The key is `<host>:<type>`, of a node `<node>:signal`. */
export interface HostEntry {
  /** What clients ask for by `_host?type=`. */
  readonly type: string
  /** Where the platform reaches it: `http://10.0.0.5:4006`, without a trailing slash. */
  readonly url: string
  /** What `_host` tells clients; absent: `_host` never names it. */
  readonly public?: string
  /** The node that it is, or that it is near to. */
  readonly node?: string
  /** 0 (idle) to 1 (full). */
  readonly load: number
  /** Of a node: names one life of it. A node that comes back as another has forgotten what it had in memory. */
  readonly epoch?: string
  /** Of an external service: calls below `/<prefix>` are its. */
  readonly prefix?: string
  /** Of an external service: the layers that it may use. */
  readonly layers?: readonly string[]
  /** Of an external service: what its key is derived with. */
  readonly salt?: string
}

/** An entry that is there and has not lapsed. */
export interface ActiveHost extends HostEntry {
  readonly key: Key
  readonly version: Version
}

export function hostKey(host: string, type: string): Key {
  return Key.parse(`${host}:${type}`)
}

/** undefined: not written by a node or a registration. */
export function hostEntryOf(value: Json): HostEntry | undefined {
  if (!isJsonObject(value)) return undefined
  const { type, url, load } = value
  return typeof type === 'string' && typeof url === 'string' && typeof load === 'number'
    ? (value as unknown as HostEntry)
    : undefined
}

/** As it is stored: without what is undefined. */
export function storedHost(entry: HostEntry): JsonObject {
  return Object.fromEntries(Object.entries<Json>({ ...entry }).filter(([, value]) => value !== undefined))
}

/**
 * Counts what somebody said on the host bus: measurement `router:pkt` of `/runtime/hosts/active` in `$sys`, under the
 * host's key, its bytes.
 */
export function countBusPacket(stats: Recorder, key: Key, said: Json): void {
  const bytes = Buffer.byteLength(JSON.stringify(said))
  stats.record(BucketName.system, ACTIVE_HOSTS.path, 'router:pkt', key, bytes)
}

const PAGE = 1_000

/** Every host that lives now, in the order of their keys. Read through the caches unless `consistent`. */
export async function activeHosts(
  engine: Engine,
  options: { readonly consistent?: boolean } = {},
): Promise<readonly ActiveHost[]> {
  const bucket = engine.bucket(BucketName.system)
  const hosts: ActiveHost[] = []
  let after: Key | undefined
  do {
    const { items, next } = await bucket.entries(ACTIVE_HOSTS, {
      ...options,
      limit: PAGE,
      ...(after !== undefined && { after }),
    })
    for (const { key, version } of items) {
      const entry = hostEntryOf(version.v)
      if (entry !== undefined) hosts.push({ ...entry, key, version })
    }
    after = next
  } while (after !== undefined)
  return hosts
}

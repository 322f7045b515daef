import type { Address } from './address'
import { addressId } from './address'
import type { Known } from './cache'
import type { OpenBucket } from './open-bucket'
import type { Version } from './version'

type EntryKind = 'versioned' | 'current'

/** What the cache knows and may be believed; undefined sends the caller to the store. */
export function peekHead(bucket: OpenBucket, id: string): Known | undefined {
  return bucket.fresh ? bucket.cache.get(id) : undefined
}

/** The latest version of an address, a `delete` too; from the cache when it is true, past it when `consistent`. */
export async function readHead(
  bucket: OpenBucket,
  address: Address,
  kind: EntryKind,
  consistent: boolean,
): Promise<Version | undefined> {
  const [version] = await readHeads(bucket, [address], kind, consistent)
  return version
}

/** The heads of several keys, those that the cache does not know in one call of the store. */
export async function readHeads(
  bucket: OpenBucket,
  addresses: readonly Address[],
  kind: EntryKind,
  consistent: boolean,
): Promise<readonly (Version | undefined)[]> {
  const found = new Array<Version | undefined>(addresses.length)
  const unknown: { readonly index: number; readonly id: string; readonly address: Address }[] = []
  addresses.forEach((address, index) => {
    const id = addressId(address)
    const known = consistent ? undefined : peekHead(bucket, id)
    if (known === undefined) unknown.push({ index, id, address })
    else found[index] = known ?? undefined
  })
  if (unknown.length === 0) return found
  const pending = unknown.map(({ id }) => bucket.cache.reading(id))
  let versions: readonly (Version | undefined)[]
  try {
    versions = await bucket.store.heads(
      unknown.map(({ address }) => address),
      kind,
    )
  } catch (error) {
    unknown.forEach(({ id }, i) => bucket.cache.abandon(id, pending[i]!))
    throw error
  }
  const how = { keep: bucket.fresh, storeDecides: consistent && !bucket.options.features.exclusive }
  unknown.forEach(
    ({ index, id }, i) => (found[index] = bucket.cache.settle(id, pending[i]!, versions[i], how)),
  )
  return found
}

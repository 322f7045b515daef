import { addressIn } from './address'
import type { Address } from './address'
import type { LayerRegistry } from './layer-registry'
import type { OpenBucket } from './open-bucket'
import { Path } from './path'

const AT_ONCE = 200

/**
 * The addresses of a bucket whose layers forget by age, a page of the store's listings in memory. Of a path whose keys
 * are all deleted nothing is told: no listing has it any more.
 */
export async function* agedKeys(
  bucket: OpenBucket,
  layers: LayerRegistry,
): AsyncGenerator<Address, void, void> {
  const { store } = bucket
  for (const layer of await store.layers()) {
    const { kind, retention } = layers.of(layer)
    if (retention?.days === undefined) continue
    for (let path: Path | undefined; ;) {
      const page = { limit: AT_ONCE, ...(path !== undefined && { after: path }) }
      const paths: readonly Path[] = await store.paths(layer, kind, Path.root, undefined, page)
      for (const at of paths) yield* keysAt(bucket, { layer, path: at }, kind)
      if (paths.length < AT_ONCE) break
      path = paths.at(-1)
    }
  }
}

async function* keysAt(
  { store }: OpenBucket,
  place: Pick<Address, 'layer' | 'path'>,
  kind: 'versioned' | 'series' | 'current',
): AsyncGenerator<Address, void, void> {
  for (let after: Address['key'] | undefined; ;) {
    const rows = await store.keys(place, kind, { limit: AT_ONCE, ...(after !== undefined && { after }) })
    for (const { key } of rows) yield addressIn(place, key)
    if (rows.length < AT_ONCE) return
    after = rows.at(-1)!.key
  }
}

import {
  Key,
  Kv4Error,
  Layer,
  Path,
  VersionTag,
  type Address,
  type Bucket,
  type JsonObject,
  type Version,
} from '../core'
import { VER } from './ver'

/** The layer of the public tree: `_ns` makes it, others ask whether a path is in it. */
export const NAMESPACES = Layer.parse('*ns')

// One entry per namespace, so that the paths of the layer are the namespaces and no listing has to filter.
const KEY = Key.parse('namespace')

/** What is stored: when and by whom is in the version. */
export const NAMESPACE: JsonObject = {}

/** @throws bad_segment for the root, which is not a namespace but what they hang from */
export function namespaceAddress(path: Path): Address {
  if (path === Path.root)
    throw new Kv4Error('bad_segment', { fields: { reason: 'the root is not a namespace' } })
  return { layer: NAMESPACES, path, key: KEY }
}

/** What a write answers. */
export function namespaceAnswer(version: Version): JsonObject {
  return { [VER]: VersionTag.of(version) }
}

/** Whether somebody has created this very path; an ancestor that it implies does not count. */
export async function isNamespace(bucket: Bucket, path: Path): Promise<boolean> {
  return path !== Path.root && (await bucket.get({ layer: NAMESPACES, path, key: KEY })) !== undefined
}

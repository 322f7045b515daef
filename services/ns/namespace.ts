import { Key, Kv4Error, Path, VersionTag, type Address, type JsonObject, type Version } from '../../core'
import { VER } from '../ver'
import { LAYER } from './layer'

// One entry per namespace, so that the paths of the layer are the namespaces and no listing has to filter.
const KEY = Key.parse('namespace')

/** What is stored: when and by whom is in the version. */
export const NAMESPACE: JsonObject = {}

/** @throws bad_segment for the root, which is not a namespace but what they hang from */
export function namespaceAddress(path: Path): Address {
  if (path === Path.root)
    throw new Kv4Error('bad_segment', { fields: { reason: 'the root is not a namespace' } })
  return { layer: LAYER, path, key: KEY }
}

/** What a write answers. */
export function namespaceAnswer(version: Version): JsonObject {
  return { [VER]: VersionTag.of(version) }
}

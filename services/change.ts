import { Kv4Error, Layer, VersionTag } from '../core'
import type { Engine, JsonObject, WatchEvent } from '../core'

/** What happens to an entry; a sample is what a series gets. */
export const CHANGE_TYPES = ['create', 'update', 'delete', 'sample'] as const
export type ChangeType = (typeof CHANGE_TYPES)[number]

export function changeType(event: WatchEvent): ChangeType {
  return event.kind === 'series' ? 'sample' : event.version.op
}

/**
 * A change as whoever watches a layer, or is called by a hook, is shown it:
 *
 *   type     create | update | delete | sample     by   the login that wrote it
 *   path     /a/b                                  at   unix ms of the write
 *   k        the key                               v    the value; of a delete, and without values, absent
 *   layer    *data                                 k2, k3, k4, exp   where the entry has them
 *   version  as `_ver_`; of a sample its id
 */
export function shownChange(
  event: WatchEvent,
  { values = true }: { readonly values?: boolean } = {},
): JsonObject {
  const { layer, path, key } = event.address
  const where = { type: changeType(event), path, k: key, layer }
  if (event.kind === 'series') {
    const { id, by, at, v } = event.sample
    return { ...where, version: id, by, at, ...(values && { v }) }
  }
  const { by, at, op, v, k2, k3, k4, exp } = event.version
  return {
    ...where,
    version: VersionTag.of(event.version),
    by,
    at,
    ...(values && op !== 'delete' && { v }),
    ...(k2 !== undefined && { k2 }),
    ...(k3 !== undefined && { k3 }),
    ...(k4 !== undefined && { k4 }),
    ...(exp !== undefined && { exp }),
  }
}

/**
 * A layer whose changes may be shown to those whose bucket it is in: their own, and what services declare as `watchable`.
 * @throws bad_layer, bad_layer_prefix
 */
export function watchableLayer(engine: Engine, text: string): Layer {
  const layer = Layer.parse(text)
  if (Layer.belongsToService(layer) && engine.layers.of(layer).watchable !== true)
    throw new Kv4Error('bad_layer_prefix', { fields: { reason: 'this layer cannot be watched' } })
  return layer
}

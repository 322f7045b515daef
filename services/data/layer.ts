import type { Principal } from '../../auth/principal'
import { Kv4Error, Layer } from '../../core'
import { tokenLayer } from '../token-layer'

export const LAYER = Layer.parse('*data')

/**
 * The layer that `l` names; absent: `*data`.
 * @throws bad_layer_prefix for the layers of other services; forbidden for an external service in any but its own
 */
export function dataLayer(l: string | undefined, principal: Pick<Principal, 'token'>): Layer {
  const own = tokenLayer(principal, l)
  if (own !== undefined) return own
  if (l === undefined) return LAYER
  const layer = Layer.parse(l)
  if (layer !== LAYER && Layer.belongsToService(layer)) throw new Kv4Error('bad_layer_prefix')
  return layer
}

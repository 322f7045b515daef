import { Kv4Error, Layer } from '../../core'

export const LAYER = Layer.parse('*data')

/**
 * The layer that `l` names; absent: `*data`.
 * @throws bad_layer_prefix for the layers of other services
 */
export function dataLayer(l: string | undefined): Layer {
  if (l === undefined) return LAYER
  const layer = Layer.parse(l)
  if (layer !== LAYER && Layer.belongsToService(layer)) throw new Kv4Error('bad_layer_prefix')
  return layer
}

import { Kv4Error, Layer } from '../../core'
import { STATS_PREFIX } from '../recorder'

/** Families that the platform and its external services measure. */
const SYSTEM = ['router:', 'turn:', 'stun:', 'api:'] as const

const NAME = /^[A-Za-z0-9][A-Za-z0-9:._-]{0,99}$/

export const Measurement = {
  /**
   * The layer of a measurement that is asked for; `*stats:router:pkt`, as `_ds` lists it, is the same as `router:pkt`.
   * @throws bad_request without one, bad_layer
   */
  layer(l: string | undefined): Layer {
    if (l === undefined || l === '')
      throw new Kv4Error('bad_request', { fields: { parameter: 'l', reason: 'which measurement?' } })
    return Layer.parse(l.startsWith(STATS_PREFIX) ? l : STATS_PREFIX + l)
  },

  name(layer: Layer): string {
    return layer.slice(STATS_PREFIX.length)
  },

  isMeasurement(layer: Layer): boolean {
    return layer.startsWith(STATS_PREFIX)
  },

  /** A name that an account may record under. @throws bad_request, bad_layer, bad_layer_prefix for the system's */
  own(l: string | undefined): Layer {
    const layer = Measurement.layer(l)
    const name = Measurement.name(layer)
    if (!NAME.test(name)) throw new Kv4Error('bad_layer')
    if (SYSTEM.some((family) => name.startsWith(family))) throw new Kv4Error('bad_layer_prefix')
    return layer
  },
}

import { Layer } from '../../core'

const FAMILY = '*subs:'

/** Presence: one layer for each node, so that what a node left behind is found when it is dead. */
export const PRESENCE = {
  family: FAMILY,

  layerOf(node: string): Layer {
    return Layer.parse(FAMILY + node)
  },

  /** undefined: not a layer of presence. */
  nodeOf(layer: Layer): string | undefined {
    return layer.startsWith(FAMILY) ? layer.slice(FAMILY.length) : undefined
  },
}

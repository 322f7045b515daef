import { Kv4Error } from '../errors'
import { byteLength, hasControlCharacter } from './text'

declare const brand: unique symbol

/**
 * The third coordinate: which service's view of a path an entry belongs to. Names that begin with `*` belong to
 * services (`*data`, `*stats:router:pkt`); others are an account's own; names that begin with `^` are the engine's.
 */
export type Layer = string & { readonly [brand]: 'Layer' }

const MAX_BYTES = 128

/**
 * - `versioned`: each write adds a version that stays.
 * - `series`: append-only samples, ordered by time and writer, no compare-and-set.
 * - `current`: one entry that is rewritten; no history (presence, leases, heartbeats).
 */
export const LAYER_KINDS = ['versioned', 'series', 'current'] as const
export type LayerKind = (typeof LAYER_KINDS)[number]

/** How much history a layer keeps; absent means all of it. The latest version always stays. */
export interface Retention {
  /** Keep the last so many versions of each key (versioned layers). */
  readonly versions?: number
  /** Keep what was true within the last so many days. */
  readonly days?: number
}

/** What a service declares of a layer. A name that ends in `:` stands for every layer that begins with it. */
export interface LayerDeclaration {
  readonly name: string
  readonly kind: LayerKind
  readonly retention?: Retention
  /**
   * Of a service's layer: its values may be shown, by watches and webhooks, to those whose bucket they are in. Absent:
   * they hold what only the service may see, such as hashes.
   */
  readonly watchable?: true
}

export const Layer = {
  /** @throws bad_layer */
  parse(text: string): Layer {
    const bytes = byteLength(text)
    if (
      bytes === 0 ||
      bytes > MAX_BYTES ||
      text.startsWith('^') ||
      text.includes('/') ||
      hasControlCharacter(text)
    )
      throw new Kv4Error('bad_layer')
    return text as Layer
  },

  /** The engine's own: never listed, never reachable by name from outside. */
  internal(name: string): Layer {
    return ('^' + name) as Layer
  },

  isInternal(layer: Layer): boolean {
    return layer.startsWith('^')
  },

  belongsToService(layer: Layer): boolean {
    return layer.startsWith('*')
  },
}

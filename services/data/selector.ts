import { z } from 'zod'
import { Key, Kv4Error, SLOTS, type Bucket, type Entry, type Place, type Slot } from '../../core'

/** The query parameters that name one entry; spread them into the shape of a route's query. */
export const SELECTORS = {
  k: z.string().optional(),
  k2: z.string().optional(),
  k3: z.string().optional(),
  k4: z.string().optional(),
}

interface SelectorQuery {
  readonly k?: string | undefined
  readonly k2?: string | undefined
  readonly k3?: string | undefined
  readonly k4?: string | undefined
}

/** Which entry of a path is meant: the one with this key, or the live one that carries this secondary key. */
export type Selector =
  | { readonly kind: 'key'; readonly key: Key }
  | { readonly kind: 'slot'; readonly slot: Slot; readonly value: Key }

export const Selector = {
  /**
   * undefined: the path is meant. An empty `k=` is a bad key, never the path.
   * @throws bad_key, bad_secondary_key; bad_request for more than one
   */
  parse(query: SelectorQuery): Selector | undefined {
    let selector: Selector | undefined =
      query.k === undefined ? undefined : { kind: 'key', key: Key.parse(query.k) }
    for (const slot of SLOTS) {
      const value = query[slot]
      if (value === undefined) continue
      if (selector !== undefined)
        throw new Kv4Error('bad_request', { fields: { reason: 'more than one of k, k2, k3, k4' } })
      selector = { kind: 'slot', slot, value: secondaryKey(value) }
    }
    return selector
  },

  /** The live entry; undefined: there is none. */
  async entry(
    selector: Selector,
    bucket: Bucket,
    place: Place,
    options: { readonly consistent: boolean },
  ): Promise<Entry | undefined> {
    if (selector.kind === 'slot') return bucket.find(place, selector.slot, selector.value, options)
    const { key } = selector
    const version = await bucket.get({ layer: place.layer, path: place.path, key }, options)
    return version && { key, version }
  },
}

/** @throws bad_secondary_key */
export function secondaryKey(text: string): Key {
  try {
    return Key.parse(text)
  } catch (error) {
    throw new Kv4Error('bad_secondary_key', { cause: error })
  }
}

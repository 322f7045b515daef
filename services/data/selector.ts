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
    const slots = SLOTS.filter((slot) => query[slot] !== undefined)
    if (slots.length + (query.k === undefined ? 0 : 1) > 1)
      throw new Kv4Error('bad_request', { fields: { reason: 'more than one of k, k2, k3, k4' } })
    if (query.k !== undefined) return { kind: 'key', key: Key.parse(query.k) }
    const [slot] = slots
    return slot === undefined ? undefined : { kind: 'slot', slot, value: secondaryKey(query[slot]!) }
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
    const version = await bucket.get({ ...place, key }, options)
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

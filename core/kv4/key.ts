import { Kv4Error } from '../errors'
import { byteLength, hasControlCharacter } from './text'

declare const brand: unique symbol

/** A key at a path: 1 to 512 bytes of any Unicode but control characters. Only `Key.parse` makes one. */
export type Key = string & { readonly [brand]: 'Key' }

const MAX_BYTES = 512

export const Key = {
  /** @throws bad_key */
  parse(text: string): Key {
    const bytes = byteLength(text)
    if (bytes === 0) throw new Kv4Error('bad_key', { fields: { reason: 'empty' } })
    if (bytes > MAX_BYTES)
      throw new Kv4Error('bad_key', { fields: { reason: `longer than ${MAX_BYTES} bytes` } })
    if (hasControlCharacter(text))
      throw new Kv4Error('bad_key', { fields: { reason: 'a control character or a lone surrogate' } })
    return text as Key
  },
}

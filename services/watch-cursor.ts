import { Kv4Error, type Cursor } from '../core'

const FORM = /^([0-9a-z]{1,11})~(.+)$/

/**
 * Where a watch goes on: `<unix ms, base 36>~<the feed's cursor>`. The time says whether a layer that forgets has kept
 * everything since. Opaque to clients, and made of characters that a URL and a header take as they are.
 */
export const WatchCursor = {
  print(cursor: Cursor, at: number): string {
    return `${Math.max(0, Math.floor(at)).toString(36)}~${cursor}`
  },

  /** @throws bad_cursor */
  parse(text: string): { readonly cursor: Cursor; readonly at: number } {
    const [, at, cursor] = FORM.exec(text) ?? []
    if (at === undefined || cursor === undefined) throw new Kv4Error('bad_cursor')
    return { cursor, at: Number.parseInt(at, 36) }
  },
}

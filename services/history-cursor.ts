import { Key, Kv4Error, type PathHistoryCursor } from '../core'

const FORM = /^(\d{1,15})\.(\d{1,15})\.(.+)$/su

/** `<unix ms>.<version number>.<key>`: where the next page of a path's time series begins. Opaque to clients. */
export const HistoryCursor = {
  print({ at, n, key }: PathHistoryCursor): string {
    return `${at}.${n}.${key}`
  },

  /** @throws bad_cursor, bad_key */
  parse(text: string): PathHistoryCursor {
    const [, at, n, key] = FORM.exec(text) ?? []
    if (at === undefined || n === undefined || key === undefined) throw new Kv4Error('bad_cursor')
    return { at: Number(at), n: Number(n), key: Key.parse(key) }
  },
}

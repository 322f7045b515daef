import type { Listing, PageOptions } from '../core'

// What one answer may hold in memory, whatever its limit: values have up to 1 MiB each.
const MAX_BYTES = 4 * 1024 * 1024
// Before anything is known of the sizes.
const FIRST_PORTION = 32

/**
 * Up to `limit` items of a listing, read in portions; ends early, with `next`, once the items have come to about 4 MiB.
 * @param sizeOf bytes of an item, roughly
 */
export async function boundedListing<Item, After>(
  read: (page: PageOptions<After>) => Promise<Listing<Item, After>>,
  asked: PageOptions<After> & { readonly limit: number },
  sizeOf: (item: Item) => number,
): Promise<Listing<Item, After>> {
  const { limit } = asked
  const items: Item[] = []
  let bytes = 0
  let page = { ...asked, limit: Math.min(limit, FIRST_PORTION) }
  for (;;) {
    const portion = await read(page)
    for (const item of portion.items) {
      items.push(item)
      bytes += sizeOf(item)
    }
    const { next } = portion
    if (next === undefined) return { items }
    if (items.length >= limit || bytes >= MAX_BYTES) return { items, next }
    const affordable = bytes === 0 ? limit : Math.ceil(((MAX_BYTES - bytes) * items.length) / bytes)
    page = { ...asked, after: next, limit: Math.min(limit - items.length, affordable) }
  }
}

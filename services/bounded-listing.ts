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
  read: (page: PageOptions<After> & { readonly limit: number }) => Promise<Listing<Item, After>>,
  { after, limit }: { readonly after: After | undefined; readonly limit: number },
  sizeOf: (item: Item) => number,
): Promise<Listing<Item, After>> {
  const items: Item[] = []
  let bytes = 0
  let portion = Math.min(limit, FIRST_PORTION)
  for (;;) {
    const page = await read({ limit: portion, ...(after !== undefined && { after }) })
    for (const item of page.items) {
      items.push(item)
      bytes += sizeOf(item)
    }
    if (page.next === undefined) return { items }
    after = page.next
    if (items.length >= limit || bytes >= MAX_BYTES) return { items, next: after }
    const affordable = bytes === 0 ? limit : Math.ceil(((MAX_BYTES - bytes) * items.length) / bytes)
    portion = Math.min(limit - items.length, affordable)
  }
}

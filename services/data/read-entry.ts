import { Instant, Kv4Error, type Bucket, type Entry, type Place, addressIn } from '../../core'
import { datum } from '../datum'
import { entryReply } from '../entry-reply'
import type { Form } from '../form'
import { Reply } from '../module'
import { Selector } from './selector'

interface EntryQuery {
  readonly as?: Form | undefined
  readonly at?: string | undefined
  readonly consistent?: boolean | undefined
}

/**
 * One entry: as it is now, or by `at` as it was at an instant.
 * @throws not_found, bad_range; bad_request for `at` with a secondary key, which is looked up as of now
 */
export async function readEntry(
  bucket: Bucket,
  place: Place,
  selector: Selector,
  query: EntryQuery,
): Promise<Reply> {
  const { as, at, consistent } = query
  if (selector.kind === 'key' && as === undefined && at === undefined) {
    // What is asked most, and it answers from the cache: without the layers of promises that the rest goes through.
    const address = { layer: place.layer, path: place.path, key: selector.key }
    const version = await bucket.get(address, consistent === true ? { consistent } : undefined)
    if (version === undefined) throw new Kv4Error('not_found')
    return entryReply(version)
  }
  const entry = await findEntry(bucket, place, selector, query)
  if (entry === undefined) throw new Kv4Error('not_found')
  const reply = entryReply(entry.version)
  if (as === undefined || as === 'values') return reply
  return new Reply(datum(bucket.name, place, entry), { tag: reply.more.tag! })
}

async function findEntry(
  bucket: Bucket,
  place: Place,
  selector: Selector,
  { at, consistent = false }: EntryQuery,
): Promise<Entry | undefined> {
  if (at === undefined) return Selector.entry(selector, bucket, place, { consistent })
  const instant = Instant.parse(at)
  if (selector.kind !== 'key')
    throw new Kv4Error('bad_request', { fields: { parameter: 'at', reason: 'goes with k only' } })
  const { key } = selector
  const version = await bucket.get(addressIn(place, key), { at: instant, consistent })
  return version && { key, version }
}

import { addressIn } from '../../core'
import type { Bucket, Json, Key, Place } from '../../core'
import type { Reply } from '../module'
import { keySeries, pathSeries, rangeOf, type TimeSeriesQuery } from '../time-series'
import { Selector } from './selector'

/** What happened to a key, or to all keys of a path, newest first; contract §4.5. @throws bad_range, bad_cursor */
export async function timeSeries(
  bucket: Bucket,
  place: Place,
  selector: Selector | undefined,
  query: TimeSeriesQuery,
): Promise<Json | Reply> {
  if (selector === undefined) return pathSeries(bucket, place, query)
  // Before the lookup: whether the range is one does not depend on what there is.
  rangeOf(query)
  const key = await keyOf(bucket, place, selector, query)
  return key === undefined ? [] : keySeries(bucket, addressIn(place, key), query)
}

/** A secondary key is looked up as of now: history is kept under the key. */
async function keyOf(
  bucket: Bucket,
  place: Place,
  selector: Selector,
  { consistent = false }: TimeSeriesQuery,
): Promise<Key | undefined> {
  if (selector.kind === 'key') return selector.key
  return (await Selector.entry(selector, bucket, place, { consistent }))?.key
}

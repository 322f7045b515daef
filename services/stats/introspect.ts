import { Path, type Bucket, type Json } from '../../core'
import { Reply } from '../module'
import { NAMES_LIMIT, pageOptions } from '../paging'
import { Measurement } from './measurement'
import type { StatsQuery } from './query'

/**
 * What is measured: with `l` the entities of the measurement at or below the path, without it the measurements of the
 * entity, at the root those of the whole account.
 */
export async function introspect(bucket: Bucket, path: Path, query: StatsQuery): Promise<Json | Reply> {
  if (query.l !== undefined) {
    const page = pageOptions(query, NAMES_LIMIT, (text) => Path.parse(text))
    const { items, next } = await bucket.paths(Measurement.layer(query.l), path, undefined, page)
    return next === undefined ? items : new Reply(items, { next })
  }
  const layers = (await bucket.layers()).filter((layer) => Measurement.isMeasurement(layer))
  const measured =
    path === Path.root
      ? layers.map(() => true)
      : await Promise.all(
          layers.map(async (layer) => (await bucket.keys({ layer, path }, { limit: 1 })).items.length > 0),
        )
  return layers
    .filter((_, i) => measured[i])
    .map((layer) => Measurement.name(layer))
    .sort()
}

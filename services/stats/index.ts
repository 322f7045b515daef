import type { Service } from '../module'
import { STATS_PREFIX } from '../recorder'
import { query } from './query'
import { write } from './write'

/**
 * `_stats`: what was counted, over any stretch of time. Model: layers `*stats:<measurement>` of kind series; the path is
 * what is measured (the entity), the key is who accumulates it.
 */
export function stats(): Service {
  return {
    name: 'stats',
    prefix: '_stats',
    layers: [{ name: STATS_PREFIX, kind: 'series', watchable: true }],
    routes: [query, write('PUT'), write('POST')],
  }
}

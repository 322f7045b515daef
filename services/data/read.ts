import { z } from 'zod'
import { Kv4Error, SLOTS } from '../../core'
import { FORMS } from '../form'
import { route } from '../module'
import { PAGING } from '../paging'
import { Flag } from '../parameters'
import { dataLayer } from './layer'
import { listEntries, listKeys } from './list'
import { readEntry } from './read-entry'
import { SELECTORS, Selector } from './selector'
import { timeSeries } from './time-series'

const Query = z.object({
  ...SELECTORS,
  ...PAGING,
  l: z.string().optional(),
  as: z.enum(FORMS).optional(),
  at: z.string().optional(),
  time_series: Flag.optional(),
  gs: z.string().optional(),
  ge: z.string().optional(),
})
type Query = z.output<typeof Query>

/** GET: contract §4.1, §4.4, §4.5. */
export const read = route({
  method: 'GET',
  access: 'account',
  tokens: ['service'],
  summary:
    'The entry `k` (or `k2`, `k3`, `k4`), `at` an instant too. Without one the keys at the path, `as=values` or `as=datum`. `time_series=1`: the history, within `gs` and `ge`.',
  input: { query: Query },
  watch({ principal, query }) {
    for (const slot of SLOTS)
      if (query[slot] !== undefined)
        throw new Kv4Error('bad_request', { fields: { parameter: slot, reason: 'watch by k' } })
    return { layer: dataLayer(query.l, principal) }
  },
  async run({ bucket, path, principal, query }) {
    const place = { layer: dataLayer(query.l, principal), path }
    const selector = Selector.parse(query)
    if (query.time_series === true) {
      refuse(query, 'at')
      refuse(query, 'as')
      return timeSeries(bucket, place, selector, query)
    }
    refuse(query, 'gs')
    refuse(query, 'ge')
    if (selector !== undefined) return await readEntry(bucket, place, selector, query)
    refuse(query, 'at')
    return query.as === undefined
      ? listKeys(bucket, place, query)
      : listEntries(bucket, place, query.as, query)
  },
})

/** A parameter that would be without effect is a misunderstanding. */
function refuse(query: Query, parameter: 'at' | 'as' | 'gs' | 'ge'): void {
  if (query[parameter] !== undefined)
    throw new Kv4Error('bad_request', { fields: { parameter, reason: 'does not go with the others' } })
}

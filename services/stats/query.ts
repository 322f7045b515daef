import { z } from 'zod'
import { Key, Kv4Error, LEVELS, Path, Period, type AggregateRow, type Bucket, type Json } from '../../core'
import { route } from '../module'
import { Flag } from '../parameters'
import { PAGING } from '../paging'
import { introspect } from './introspect'
import { Measurement } from './measurement'
import { rows } from './rows'
import { StatsRange } from './stats-range'

const Query = z.object({
  ...PAGING,
  a: z.enum(['measurements']).describe('what is measured, instead of a figure').optional(),
  l: z.string().describe('the measurement').optional(),
  k: z.string().describe('who accumulated it; absent: everybody').optional(),
  gs: z.string().optional(),
  ge: z.string().optional(),
  break: Flag.optional(),
  format: z.enum(['rows']).describe('rows in order of time, for dashboards').optional(),
  from: z.string().describe('with rows: unix ms or ISO 8601').optional(),
  to: z.string().optional(),
  by: z.enum(LEVELS).describe('with rows: one row for each').optional(),
  fill: Flag.describe('with rows: also where nothing was recorded').optional(),
})
export type StatsQuery = z.output<typeof Query>

/** What is summed up. */
export interface Subject {
  readonly layer: ReturnType<typeof Measurement.layer>
  /** Absent: everything under the measurement. */
  readonly path?: Path
  readonly key?: Key
}

/** GET: contract §5. */
export const query = route({
  method: 'GET',
  access: 'account',
  summary:
    'Sum, min, max and count of the measurement `l` of the path from `gs` to `ge`, with `break` of each period; `format=rows` for dashboards; `a=measurements` lists what is measured.',
  input: { query: Query },
  watch: ({ query }) => ({ layer: Measurement.layer(query.l), ...(query.k === '' && { key: null }) }),
  async run({ bucket, path, query }) {
    if (query.a !== undefined) return introspect(bucket, path, query)
    const subject = subjectOf(path, query)
    return query.format === 'rows' ? rows(bucket, subject, query) : figures(bucket, subject, query)
  },
})

/** At the root without a key everything is meant: the entity of the root alone has no name. */
function subjectOf(path: Path, { l, k }: StatsQuery): Subject {
  const layer = Measurement.layer(l)
  const key = k === undefined || k === '' ? undefined : Key.parse(k)
  if (key !== undefined) return { layer, path, key }
  return path === Path.root ? { layer } : { layer, path }
}

/**
 * One figure, or one for each period that has any at the precision of `gs`. Without a path and a key there is always
 * one for each (contract §12). Nothing recorded: an empty list, also where a figure was asked for.
 */
async function figures(bucket: Bucket, subject: Subject, query: StatsQuery): Promise<Json> {
  for (const name of ['from', 'to', 'by', 'fill'] as const)
    if (query[name] !== undefined)
      throw new Kv4Error('bad_request', { fields: { parameter: name, reason: 'only with format=rows' } })
  const range = StatsRange.ofPeriods(query.gs, query.ge)
  const breaks = query.break === true || subject.path === undefined
  if (breaks) StatsRange.check(range, range.level)
  const { from, to } = range
  const found = await bucket.aggregate({
    ...subject,
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(breaks && { by: range.level }),
  })
  if (found.length === 0) return []
  if (!breaks) return figure(found[0]!)
  return Object.fromEntries(found.map((row) => [Period.print(row.period), figure(row)]))
}

function figure({ sum, min, max, count }: AggregateRow): Json {
  return { sum, min, max, count }
}

import { createHash } from 'node:crypto'

/**
 * The two views of a bucket. Keys are arrays of components (component.ts) and numbers; `raw` collation compares them
 * byte by byte, numbers before texts, so that listings come in the order of the port.
 *
 * keys, under `_sum` (how many keys are live):
 *   [v|c, layer, path, key, -n, exp?] → +1 created, -1 deleted, 0 updated
 *     An update has a row only when it has an `exp` or ends one: the first row of a key is its state.
 *     What pruning left (`b!`) stands at -(n - ½), just behind the oldest version that is kept.
 *   [x, exp, v|c, layer, path, key, n] → 0
 *     What lapses, soonest first.
 *
 * series, under `_stats`:
 *   [m!<layer>, y, mo, d, h, mi], [p!<layer>!<path>, y, …], [k!<layer>!<path>!<key>, y, …] (SeriesKey)
 *     One text, for the shorter its rows, the flatter the index, and the cheaper a sum (decision 33).
 *     `sumsqr` is above 0 exactly where a sample is still there, and 0 where only a minute of pruned ones is (`r!`).
 *     Sums beyond what a float holds would break the whole view, so samples are cut at ±1e280
 *     and their sums at ±1e300.
 *
 * The map functions run in CouchDB, on documents whose `v` is any JSON: they look at nothing in it but numbers.
 */

const KEYS_MAP = `function (doc) {
  var id = doc._id.split('!'), kind = id[0]
  if (kind === 'b') {
    if (doc.live === true) emit(['v', id[1], id[2], id[3], 0.5 - doc.n], 1)
    return
  }
  if (kind !== 'v' && kind !== 'c') return
  var lapses = typeof doc.exp === 'number'
  var value = doc.op === 'delete' ? -1 : doc.op === 'create' || kind === 'c' ? 1 : 0
  if (value !== 0 || lapses || doc.renews === true) {
    var key = [kind, id[1], id[2], id[3], -doc.n]
    if (lapses) key.push(doc.exp)
    emit(key, value)
  }
  if (lapses && doc.op !== 'delete') emit(['x', doc.exp, kind, id[1], id[2], id[3], doc.n], 0)
}`

const SERIES_MAP = `function (doc) {
  var id = doc._id.split('!'), kind = id[0]
  if (kind !== 's' && kind !== 'r') return
  var time = new Date(doc.at), value = kind === 's' ? doc.v : doc.sum
  var most = kind === 's' ? 1e280 : 1e300, stats
  if (isNaN(time.getTime()) || (kind === 'r' && !value)) return
  var period = [time.getUTCFullYear(), time.getUTCMonth() + 1, time.getUTCDate(), time.getUTCHours(), time.getUTCMinutes()]
  function number(x) { return typeof x === 'number' && isFinite(x) }
  function cut(x) { return Math.max(-most, Math.min(most, x)) }
  var size = number(value) ? Math.abs(value) : 0
  if (size > 1e-100 && size < 1e100) stats = value
  else if (number(value)) stats = { sum: cut(value), min: cut(value), max: cut(value), count: 1, sumsqr: 1 }
  else if (value !== null && typeof value === 'object' &&
    number(value.sum) && number(value.min) && number(value.max) && number(value.count))
    stats = { sum: cut(value.sum), min: cut(value.min), max: cut(value.max), count: cut(value.count), sumsqr: 1 }
  else stats = { sum: 0, min: 0, max: 0, count: 1, sumsqr: 1 }
  if (kind === 'r') stats.sumsqr = 0
  emit(['m!' + id[1]].concat(period), stats)
  emit(['p!' + id[1] + '!' + id[2]].concat(period), stats)
  emit(['k!' + id[1] + '!' + id[2] + '!' + id[3]].concat(period), stats)
}`

/** What the rows of the view `series` are grouped by, from components. */
export const SeriesKey = {
  layer(layer: string): string {
    return 'm!' + layer
  },
  path(layer: string, path: string): string {
    return 'p!' + layer + '!' + path
  },
  key(layer: string, path: string, key: string): string {
    return 'k!' + layer + '!' + path + '!' + key
  },
  /** The component that comes last. */
  last(seriesKey: string): string {
    return seriesKey.slice(seriesKey.lastIndexOf('!') + 1)
  },
}

// Of each view: CouchDB ignores the design document's own.
const OPTIONS = { collation: 'raw' } as const

const CONTENT = {
  language: 'javascript',
  views: {
    keys: { map: KEYS_MAP, reduce: '_sum', options: OPTIONS },
    series: { map: SERIES_MAP, reduce: '_stats', options: OPTIONS },
  },
} as const

const NAME = 'kv4-' + createHash('sha256').update(JSON.stringify(CONTENT)).digest('hex').slice(0, 12)

export type ViewName = keyof (typeof CONTENT)['views']

/**
 * The hash of its content is in its name, so that nodes of two releases can work on one bucket, each with its own
 * views.
 */
export const DesignDocument = {
  id: '_design/' + NAME,
  content: CONTENT,

  /** Path of the request that asks several queries of a view. */
  queries(view: ViewName): string {
    return `_design/${NAME}/_view/${view}/queries`
  },

  /** false: somebody edited it. */
  isIntact(document: Readonly<Record<string, unknown>>): boolean {
    const { language, views } = document
    return canonical({ language, views }) === canonical(CONTENT)
  },
}

// CouchDB keeps the order of properties, other implementations of its protocol need not.
function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
}

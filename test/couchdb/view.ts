import vm from 'node:vm'
import type PouchDB from 'pouchdb'

type Key = readonly (string | number)[]
interface Emitted {
  readonly id: string
  readonly key: Key
  readonly value: unknown
}
export interface ViewDefinition {
  readonly map: string
  readonly reduce?: string
  readonly options?: { readonly collation?: string }
}
export interface ViewQuery {
  readonly startkey?: Key
  readonly endkey?: Key
  readonly descending?: boolean
  readonly limit?: number
  readonly reduce?: boolean
  readonly group_level?: number
}

/** As CouchDB answers a request that it refuses. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly error: string,
    reason: string,
  ) {
    super(reason)
  }
}

/** `raw` collation: bytes for texts, numbers before texts, shorter lists before longer. */
function compare(a: Key, b: Key): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i]!, b[i]!]
    if (x === y) continue
    if (typeof x !== typeof y) return typeof x === 'number' ? -1 : 1
    return x < y ? -1 : 1
  }
  return a.length - b.length
}

interface Stats {
  readonly sum: number
  readonly count: number
  readonly min: number
  readonly max: number
  readonly sumsqr: number
}

function stats(value: unknown): Stats {
  if (typeof value === 'number')
    return { sum: value, count: 1, min: value, max: value, sumsqr: value * value }
  const given = value as Stats
  for (const field of ['sum', 'count', 'min', 'max', 'sumsqr'] as const)
    if (typeof given?.[field] !== 'number')
      throw new Refusal(500, 'invalid_value', `user _stats input missing required field ${field}`)
  return given
}

/** CouchDB computes in doubles that may not overflow; it fails the whole view then. */
function finite(sum: Stats): Stats {
  if (!Object.values(sum).every(Number.isFinite)) throw new Refusal(500, 'badarith', 'badarith')
  return sum
}

const REDUCES: Readonly<Record<string, (values: readonly unknown[]) => unknown>> = {
  _sum: (values) => values.reduce<number>((sum, value) => sum + (value as number), 0),
  _stats: (values) =>
    values.map(stats).reduce((a, b) =>
      finite({
        sum: a.sum + b.sum,
        count: a.count + b.count,
        min: Math.min(a.min, b.min),
        max: Math.max(a.max, b.max),
        sumsqr: a.sumsqr + b.sumsqr,
      }),
    ),
}

/**
 * One view, kept up to date from the database's changes when it is asked. PouchDB's own views know neither `raw`
 * collation nor `_stats` over objects that are added up already.
 */
export class View {
  #since = 0
  readonly #byDocument = new Map<string, readonly Emitted[]>()
  #sorted: readonly Emitted[] | undefined
  readonly #map: (document: object) => readonly Emitted[]

  constructor(
    private readonly database: PouchDB.Database,
    private readonly definition: ViewDefinition,
  ) {
    if (definition.options?.collation !== 'raw') throw new Error('this server knows raw collation only')
    const emitted: Emitted[] = []
    let id = ''
    const emit = (key: Key, value: unknown) => {
      // Through JSON, as between CouchDB and its view server.
      emitted.push(JSON.parse(JSON.stringify({ id, key, value })) as Emitted)
    }
    const map = vm.runInNewContext(`(${definition.map})`, { emit }) as (document: object) => void
    this.#map = (document) => {
      id = (document as { _id: string })._id
      emitted.length = 0
      map(document)
      return [...emitted]
    }
  }

  async query(query: ViewQuery): Promise<{ readonly rows: readonly object[] }> {
    const all = await this.#rows()
    const { startkey, endkey, descending = false, limit = Infinity, group_level: level } = query
    const order = descending ? -1 : 1
    if (startkey && endkey && order * compare(startkey, endkey) > 0)
      throw new Refusal(
        400,
        'query_parse_error',
        'No rows can match your key range, reverse your start_key and end_key',
      )
    const rows = (descending ? [...all].reverse() : all).filter(
      ({ key }) =>
        (!startkey || order * compare(key, startkey) >= 0) && (!endkey || order * compare(key, endkey) <= 0),
    )
    if (query.reduce === false || this.definition.reduce === undefined) return { rows: rows.slice(0, limit) }
    const groups = new Map<string, { key: Key | null; values: unknown[] }>()
    for (const { key, value } of rows) {
      const part = level === undefined ? null : key.slice(0, level)
      const name = JSON.stringify(part)
      if (!groups.has(name)) groups.set(name, { key: part, values: [] })
      groups.get(name)!.values.push(value)
    }
    const reduce = REDUCES[this.definition.reduce]!
    return {
      rows: [...groups.values()].slice(0, limit).map(({ key, values }) => ({ key, value: reduce(values) })),
    }
  }

  async #rows(): Promise<readonly Emitted[]> {
    const { results, last_seq } = await this.database.changes({ since: this.#since, include_docs: true })
    for (const { id, deleted, doc } of results) {
      const rows = deleted || id.startsWith('_design/') ? [] : this.#map(doc)
      if (rows.length > 0) this.#byDocument.set(id, rows)
      else this.#byDocument.delete(id)
      this.#sorted = undefined
    }
    this.#since = last_seq
    this.#sorted ??= [...this.#byDocument.values()]
      .flat()
      .sort((a, b) => compare(a.key, b.key) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
    return this.#sorted
  }
}

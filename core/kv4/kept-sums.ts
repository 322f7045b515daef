import type { AggregateQuery, AggregateRow } from '../store/store'
import type { Address } from './address'
import type { Layer } from './layer'
import { Period } from './period'

/** Answers up to this many rows are kept. */
const MOST_ROWS = 2_000
/** Queries whose sums are kept, per layer; and layers. */
const MOST_QUERIES = 100
/** Periods that are remembered as stale one by one; with more of them all are. */
const MOST_STALE = 50

interface Sums {
  readonly query: AggregateQuery
  rows: readonly AggregateRow[]
  /** Periods, of the query's level, in which samples arrived since the rows were read. */
  readonly stale: Map<string, Period>
  /** More has happened than the periods tell: the rows are of no use any more. */
  spoilt: boolean
}

/**
 * What a bucket's samples add up to, as it was lately read. A sample spoils only the period that it falls into: when the
 * same is asked again, only the stretch from the first such period to the last is read anew. So a chart of a year costs
 * the store its last month while samples arrive in that, and nothing while none do.
 */
export class KeptSums {
  #kept = new Map<Layer, Map<string, Sums>>()
  readonly #reading = new Set<Sums>()

  /** @param keep whether what was told of appended samples may be believed, and will be */
  async read(
    query: AggregateQuery,
    keep: () => boolean,
    read: (query: AggregateQuery) => Promise<readonly AggregateRow[]>,
  ): Promise<readonly AggregateRow[]> {
    const { layer, path, key, from, to, by } = query
    const name = JSON.stringify([path, key, from, to, by])
    const kept = keep() ? this.#kept.get(layer)?.get(name) : undefined
    if (kept?.stale.size === 0) return kept.rows
    const reading: Sums = { query, rows: [], stale: new Map(), spoilt: false }
    this.#reading.add(reading)
    try {
      const stretch = kept === undefined ? undefined : staleStretch(kept)
      reading.rows =
        kept === undefined || stretch === undefined
          ? await read(query)
          : [
              ...kept.rows.filter(({ period }) => Period.from(period) < Period.from(stretch.first)),
              ...(await read(withinQuery(query, stretch))),
              ...kept.rows.filter(({ period }) => Period.from(period) > Period.from(stretch.last)),
            ]
      if (keep() && !reading.spoilt && reading.rows.length <= MOST_ROWS) this.#keep(name, reading)
      return reading.rows
    } finally {
      this.#reading.delete(reading)
    }
  }

  /** @param at unix ms */
  appended(address: Address, at: number): void {
    for (const sums of this.#reading) if (concerns(sums.query, address, at)) note(sums, at)
    const kept = this.#kept.get(address.layer)
    if (kept === undefined) return
    for (const [name, sums] of kept) {
      if (!concerns(sums.query, address, at)) continue
      note(sums, at)
      if (sums.spoilt) kept.delete(name)
    }
  }

  clear(): void {
    this.#kept = new Map()
    for (const sums of this.#reading) sums.spoilt = true
  }

  #keep(name: string, sums: Sums): void {
    const { layer } = sums.query
    let kept = this.#kept.get(layer)
    if (kept === undefined || (kept.size >= MOST_QUERIES && !kept.has(name)))
      this.#kept.set(layer, (kept = new Map<string, Sums>()))
    if (this.#kept.size > MOST_QUERIES) this.#kept = new Map([[layer, kept]])
    kept.set(name, sums)
  }
}

/** From one period to another of the same level, both inclusive. */
interface Stretch {
  readonly first: Period
  readonly last: Period
}

function concerns({ layer, path, key, from, to }: AggregateQuery, changed: Address, at: number): boolean {
  if (changed.layer !== layer || (path !== undefined && changed.path !== path)) return false
  if (key !== undefined && changed.key !== key) return false
  return Period.isWithin(at, from, to)
}

function note(sums: Sums, at: number): void {
  const { by } = sums.query
  if (by === undefined || sums.stale.size >= MOST_STALE) sums.spoilt = true
  else {
    const period = Period.of(at, by)
    sums.stale.set(Period.print(period), period)
  }
}

function staleStretch({ stale }: Sums): Stretch {
  const periods = [...stale.values()].sort((a, b) => Period.from(a) - Period.from(b))
  return { first: periods[0]!, last: periods.at(-1)! }
}

/** A range that begins or ends in the middle of a period stays as it was asked. */
function withinQuery(query: AggregateQuery, { first, last }: Stretch): AggregateQuery {
  const { from, to } = query
  return {
    ...query,
    from: from !== undefined && Period.from(from) > Period.from(first) ? from : first,
    to: to !== undefined && Period.to(to) < Period.to(last) ? to : last,
  }
}

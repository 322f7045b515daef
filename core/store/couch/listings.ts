import type { Place } from '../../kv4/address'
import type { Key } from '../../kv4/key'
import type { Layer } from '../../kv4/layer'
import { Path } from '../../kv4/path'
import type { Expiring, KeyRow, Page } from '../store'
import { Component } from './component'
import type { CouchDatabase, ViewKey, ViewRow } from './couch-database'
import { SeriesKey } from './design-document'

type Kind = 'versioned' | 'series' | 'current'
/** What `_stats` answers; see design-document.ts about `sumsqr`. */
export interface Stats {
  readonly sum: number
  readonly count: number
  readonly min: number
  readonly max: number
  readonly sumsqr: number
}

const LETTER = { versioned: 'v', current: 'c' } as const
const { last: LAST } = Component
const MOST_ROWS = 1000

/** A path's component, with LAST: behind that path. */
type Start = readonly [string, ...(typeof LAST)[]]

/** Rows beyond what is wanted: keys with several rows and paths without live keys take some. */
function chunk(wanted: number): number {
  return Math.min(MOST_ROWS, wanted + (wanted >> 2) + 10)
}

function hasSamples(row: ViewRow<Stats>): boolean {
  return row.value.sumsqr > 0
}

/** Listings of one bucket, from the two views, page by page. */
export class Listings {
  constructor(private readonly database: CouchDatabase) {}

  async keys({ layer, path }: Place, kind: Kind, { after, limit }: Page<Key>): Promise<readonly KeyRow[]> {
    const place = [Component.of(layer), Component.ofPath(path)] as const
    const from = after === undefined ? undefined : Component.of(after)
    return kind === 'series'
      ? this.#seriesKeys(place, from, limit)
      : this.#entryKeys([LETTER[kind], ...place], from, limit)
  }

  /** The first row of a key is its state; the others of it are stepped over. */
  async #entryKeys(place: ViewKey, after: string | undefined, limit: number): Promise<readonly KeyRow[]> {
    const found: KeyRow[] = []
    let startkey = after === undefined ? place : [...place, after, LAST]
    let last: string | undefined
    while (found.length < limit) {
      const asked = chunk(limit - found.length)
      const query = { startkey, endkey: [...place, LAST], limit: asked, reduce: false }
      const [rows] = await this.database.queryView<number>('keys', [query])
      for (const { key, value } of rows!) {
        const [, , , component, , exp] = key as [string, string, string, string, number, number?]
        if (component === last) continue
        if (found.length === limit) return found
        last = component
        found.push({
          key: Component.parse(component) as Key,
          live: value >= 0,
          ...(exp === undefined ? {} : { exp }),
        })
      }
      if (rows!.length < asked) break
      startkey = [...place, last!, LAST]
    }
    return found
  }

  async #seriesKeys(
    [layer, path]: readonly [string, string],
    after: string | undefined,
    limit: number,
  ): Promise<readonly KeyRow[]> {
    const found: KeyRow[] = []
    const endkey = [SeriesKey.key(layer, path, LAST)]
    let startkey: ViewKey =
      after === undefined ? [SeriesKey.key(layer, path, '')] : [SeriesKey.key(layer, path, after), LAST]
    while (found.length < limit) {
      const asked = chunk(limit - found.length)
      const query = { startkey, endkey, limit: asked, reduce: true, group_level: 1 }
      const [rows] = await this.database.queryView<Stats>('series', [query])
      for (const row of rows!)
        if (hasSamples(row) && found.length < limit)
          found.push({ key: Component.parse(SeriesKey.last(row.key[0] as string)) as Key, live: true })
      if (rows!.length < asked) break
      startkey = [...rows!.at(-1)!.key, LAST]
    }
    return found
  }

  async paths(
    layer: Layer,
    kind: Kind,
    under: Path,
    depth: number | undefined,
    { after, limit }: Page<Path>,
  ): Promise<readonly Path[]> {
    const deepest = depth === undefined ? Infinity : Path.depth(under) + depth
    const end = Component.behindTree(under)
    const top = Component.ofPath(under)
    const behind = after === undefined ? undefined : Component.ofPath(after)
    let start: Start = behind === undefined || behind < top ? [top] : [behind, LAST]
    const found: Path[] = []
    while (found.length < limit && start[0] < end) {
      const asked = chunk(limit - found.length)
      const rows = await this.#paths(kind, Component.of(layer), start, end, asked)
      let path: Path | undefined
      for (const { component, live } of rows) {
        path = Component.parse(component) as Path
        if (live && Path.depth(path) <= deepest && found.length < limit) found.push(path)
      }
      if (path === undefined || rows.length < asked) break
      start =
        Path.depth(path) <= deepest
          ? [Component.ofPath(path), LAST]
          : [Component.behindTree(Path.lineage(path)[deepest]!)]
    }
    return found
  }

  async layers(): Promise<readonly Layer[]> {
    const range = (first: string) => ({
      startkey: [first],
      endkey: [first, LAST],
      reduce: true,
      group_level: 2,
    })
    const ofSeries = {
      startkey: [SeriesKey.layer('')],
      endkey: [SeriesKey.layer(LAST)],
      reduce: true,
      group_level: 1,
    }
    const [entries, series] = await Promise.all([
      this.database.queryView<number>('keys', [range('v'), range('c')]),
      this.database.queryView<Stats>('series', [ofSeries]),
    ])
    const layers = new Set<string>()
    for (const { key, value } of entries.flat()) if (value > 0) layers.add(key[1] as string)
    for (const row of series.flat()) if (hasSamples(row)) layers.add(SeriesKey.last(row.key[0] as string))
    return [...layers].sort().map((component) => Component.parse(component) as Layer)
  }

  async expiring(after: number, upTo: number, limit: number): Promise<readonly Expiring[]> {
    const bound = (time: number) => ['x', Math.max(-1, Math.min(time, Number.MAX_SAFE_INTEGER)), LAST]
    const query = { startkey: bound(after), endkey: bound(upTo), limit, reduce: false }
    const [rows] = await this.database.queryView<number>('keys', [query])
    return rows!.map((row) => {
      const [, exp, letter, layer, path, key, n] = row.key as [
        string,
        number,
        string,
        string,
        string,
        string,
        number,
      ]
      return {
        address: {
          layer: Component.parse(layer) as Layer,
          path: Component.parse(path) as Path,
          key: Component.parse(key) as Key,
        },
        kind: letter === 'c' ? ('current' as const) : ('versioned' as const),
        n,
        exp,
      }
    })
  }

  async #paths(
    kind: Kind,
    layer: string,
    [first, ...behind]: Start,
    end: string,
    limit: number,
  ): Promise<readonly { readonly component: string; readonly live: boolean }[]> {
    if (kind === 'series') {
      const query = {
        startkey: [SeriesKey.path(layer, first), ...behind],
        endkey: [SeriesKey.path(layer, end)],
        group_level: 1,
      }
      const [rows] = await this.database.queryView<Stats>('series', [{ ...query, limit, reduce: true }])
      return rows!.map((row) => ({
        component: SeriesKey.last(row.key[0] as string),
        live: hasSamples(row),
      }))
    }
    const place = [LETTER[kind], layer]
    const query = { startkey: [...place, first, ...behind], endkey: [...place, end], group_level: 3 }
    const [rows] = await this.database.queryView<number>('keys', [{ ...query, limit, reduce: true }])
    return rows!.map(({ key, value }) => ({ component: key[2] as string, live: value > 0 }))
  }
}

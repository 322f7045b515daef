import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BucketName, Key, Layer, Path, createEngine } from '../../core'
import type { Address, RunningEngine } from '../../core'
import type { AggregateQuery, AggregateRow, Store } from '../../core/store/store'
import { openCouchStore } from '../../core/store/couch/open-couch-store'
import { openEmbeddedStore } from '../../core/store/embedded'
import type { BenchContext, Measurement, Row } from '../measurement'
import { median } from '../measurement'

const FEW = 1_000
const MANY = 1_000_000
const AT_ONCE = 500
const READS = 200
const INDEXED_EVERY = 5_000

const FROM = Date.UTC(2025, 0, 1)
const YEAR = Date.UTC(2026, 0, 1) - FROM

const LAYER = Layer.parse('*stats:bench')
const series = (path: string): Address => ({ layer: LAYER, path: Path.parse(path), key: Key.parse('who') })

/** µs a query by month over a year, of few and of many samples. */
interface Times {
  /** Asked of the store, past what is kept. */
  readonly few: number
  readonly many: number
  /** As a chart asks: again and again, with a new sample in the last month before each question. */
  readonly fewAgain: number
  readonly manyAgain: number
}

/** Of one series with few samples and of one with many, in the same bucket. */
async function byMonth(
  store: Store,
  engine: RunningEngine,
  name: BucketName,
  many: number,
  rounds: number,
): Promise<Times> {
  engine.layers.declare({ name: '*stats:', kind: 'series' })
  await engine.create(name)
  const bucket = engine.bucket(name)
  const write = async (path: string, samples: number) => {
    const address = series(path)
    for (let done = 0; done < samples; done += AT_ONCE) {
      await Promise.all(
        Array.from({ length: Math.min(AT_ONCE, samples - done) }, (_, i) =>
          bucket.append(address, i, { by: 'bench', at: FROM + Math.floor(((done + i) / samples) * YEAR) }),
        ),
      )
      // CouchDB brings its index up to date when it is asked, and has only so long for an answer.
      if (done % INDEXED_EVERY === 0) await bucket.aggregate(series(path))
    }
  }
  await write('/few', FEW)
  await write('/many', many)
  const query = (path: string): AggregateQuery => ({
    ...series(path),
    from: [2025],
    to: [2025],
    by: 'month',
  })
  const timed = async (read: () => Promise<readonly AggregateRow[]>, before?: () => Promise<unknown>) => {
    let elapsed = 0
    for (let i = 0; i < READS; i++) {
      await before?.()
      const start = performance.now()
      const rows = await read()
      elapsed += performance.now() - start
      if (rows.length !== 12) throw new Error(`${rows.length} months`)
    }
    return (elapsed * 1000) / READS
  }
  const again = (path: string) =>
    timed(
      () => bucket.aggregate(query(path)),
      () => bucket.append(series(path), 1, { by: 'bench', at: FROM + YEAR - 1 }),
    )
  const handle = await store.open(name)
  const sides: Readonly<Record<keyof Times, () => Promise<number>>> = {
    few: () => timed(() => handle.aggregate(query('/few'))),
    many: () => timed(() => handle.aggregate(query('/many'))),
    fewAgain: () => again('/few'),
    manyAgain: () => again('/many'),
  }
  const times: Record<keyof Times, number[]> = { few: [], many: [], fewAgain: [], manyAgain: [] }
  const names = Object.keys(sides) as (keyof Times)[]
  for (let round = 0; round <= rounds * 3; round++)
    for (const side of names) {
      const time = await sides[side]()
      // The first of each is for the caches below.
      if (round > 0) times[side].push(time)
    }
  await handle.close()
  const { few, many: ofMany, fewAgain, manyAgain } = times
  return {
    few: median(few),
    many: median(ofMany),
    fewAgain: median(fewAgain),
    manyAgain: median(manyAgain),
  }
}

async function onEmbedded(rounds: number, many: number) {
  const directory = mkdtempSync(join(tmpdir(), 'kv4-bench-stats-'))
  const store = await openEmbeddedStore({
    directory,
    onFatal: (error) => {
      throw error
    },
  })
  const engine = createEngine({ store })
  try {
    return await byMonth(store, engine, BucketName.of('bench'), many, rounds)
  } finally {
    await engine.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

async function onCouch(url: string, rounds: number, many: number) {
  const store = await openCouchStore({
    url,
    node: 'bench',
    log: { warn: console.warn, info: () => undefined },
  })
  const engine = createEngine({ store })
  const name = BucketName.of(`bench-stats-${process.pid}`)
  try {
    return await byMonth(store, engine, name, many, rounds)
  } finally {
    await engine.drop(name)
    await engine.close()
  }
}

function rowsOf(store: string, many: number, times: Times, atMost: number): Row[] {
  const what = (n: number, when: string) => `${store}: by month, ${n.toLocaleString('en')} samples${when}`
  const pair = (when: string, few: number, ofMany: number): Row[] => [
    { what: what(FEW, when), value: few, unit: 'µs' },
    { what: what(many, when), value: ofMany, unit: 'µs', against: what(FEW, when), target: { atMost } },
  ]
  return [
    ...pair('', times.few, times.many),
    ...pair(', again after a sample', times.fewAgain, times.manyAgain),
  ]
}

export const stats: Measurement = {
  name: 'stats',
  title: 'Statistics by month, of a thousand samples and of many',
  async run({ rounds, couchdbUrl }: BenchContext) {
    const rows = rowsOf('embedded', MANY, await onEmbedded(rounds, MANY), 2)
    if (couchdbUrl === undefined) return rows
    return rows.concat(rowsOf('CouchDB', MANY, await onCouch(couchdbUrl, rounds, MANY), 3))
  },
}

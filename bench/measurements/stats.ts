import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BucketName, Key, Layer, Path, createEngine } from '../../core'
import type { Address, RunningEngine } from '../../core'
import { openCouchStore } from '../../core/store/couch/open-couch-store'
import { openEmbeddedStore } from '../../core/store/embedded'
import type { BenchContext, Measurement, Row } from '../measurement'
import { median } from '../measurement'

const FEW = 1_000
const AT_ONCE = 500
const READS = 200
const INDEXED_EVERY = 5_000

const FROM = Date.UTC(2025, 0, 1)
const YEAR = Date.UTC(2026, 0, 1) - FROM

const LAYER = Layer.parse('*stats:bench')
const series = (path: string): Address => ({ layer: LAYER, path: Path.parse(path), key: Key.parse('who') })

/** By month over a year with few and with many samples of one series, µs a query. */
async function byMonth(
  engine: RunningEngine,
  name: BucketName,
  many: number,
  rounds: number,
): Promise<Readonly<Record<'few' | 'many', number>>> {
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
  const read = async (path: string) => {
    const start = performance.now()
    for (let i = 0; i < READS; i++) {
      const rows = await bucket.aggregate({ ...series(path), from: [2025], to: [2025], by: 'month' })
      if (rows.length !== 12) throw new Error(`${rows.length} months`)
    }
    return ((performance.now() - start) * 1000) / READS
  }
  await read('/many')
  await read('/few')
  const times: Record<'few' | 'many', number[]> = { few: [], many: [] }
  for (let round = 0; round < rounds * 3; round++)
    for (const size of ['few', 'many'] as const) times[size].push(await read('/' + size))
  return { few: median(times.few), many: median(times.many) }
}

async function onEmbedded(rounds: number, many: number) {
  const directory = mkdtempSync(join(tmpdir(), 'kv4-bench-stats-'))
  const store = await openEmbeddedStore({
    directory,
    onFatal: (error) => {
      throw error
    },
  })
  const engine = createEngine({ store, node: 'bench' })
  try {
    return await byMonth(engine, BucketName.of('bench'), many, rounds)
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
  const engine = createEngine({ store, node: 'bench' })
  const name = BucketName.of(`bench-stats-${process.pid}`)
  try {
    return await byMonth(engine, name, many, rounds)
  } finally {
    await engine.drop(name)
    await engine.close()
  }
}

function rowsOf(store: string, many: number, times: { few: number; many: number }, atMost: number): Row[] {
  const what = (n: number) => `${store}: by month, ${n.toLocaleString('en')} samples`
  return [
    { what: what(FEW), value: times.few, unit: 'µs' },
    { what: what(many), value: times.many, unit: 'µs', against: what(FEW), target: { atMost } },
  ]
}

/** On CouchDB a tenth of the samples, as filling its index takes most of the time. */
export const stats: Measurement = {
  name: 'stats',
  title: 'Statistics by month, of a thousand samples and of many',
  async run({ rounds, couchdbUrl }: BenchContext) {
    const rows = rowsOf('embedded', 1_000_000, await onEmbedded(rounds, 1_000_000), 2)
    if (couchdbUrl === undefined) return rows
    return rows.concat(rowsOf('CouchDB', 100_000, await onCouch(couchdbUrl, rounds, 100_000), 3))
  },
}

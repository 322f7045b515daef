import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BucketName, Key, Layer, Path, createEngine, type RunningEngine } from '../../core'
import { openCouchStore } from '../../core/store/couch/open-couch-store'
import { openEmbeddedStore } from '../../core/store/embedded'
import { StatsRecorder } from '../../services/recorder'
import { FaultProxy } from '../couchdb/fault-proxy'
import { CouchServer } from '../couchdb/server'

const BUCKET = BucketName.of('elena')
const ENTITY = Path.parse('/my/path')
const SIZE = Layer.parse('*stats:size')

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function embeddedEngine(): Promise<RunningEngine> {
  const directory = await mkdtemp(join(tmpdir(), 'kv4-recorder-'))
  closers.push(() => rm(directory, { recursive: true, force: true }))
  const store = await openEmbeddedStore({
    directory,
    onFatal(error) {
      throw error
    },
  })
  return engineOver(store)
}

async function engineOver(store: Parameters<typeof createEngine>[0]['store']): Promise<RunningEngine> {
  const engine = createEngine({ store })
  closers.push(() => engine.close())
  engine.layers.declare({ name: '*stats:', kind: 'series' })
  await engine.create(BUCKET)
  return engine
}

function recorder(engine: RunningEngine, errors: unknown[], clock?: () => number): StatsRecorder {
  return new StatsRecorder({
    engine,
    flushMs: 15_000,
    onBackgroundError: (error) => errors.push(error),
    ...(clock !== undefined && { clock }),
  })
}

const all = (engine: RunningEngine) => engine.bucket(BUCKET).aggregate({ layer: SIZE, path: ENTITY })

test('writes one sample per series and flush, made of what was recorded', async () => {
  const engine = await embeddedEngine()
  const errors: unknown[] = []
  const stats = recorder(engine, errors)
  for (const value of [3, 9, 5]) stats.record(BUCKET, ENTITY, 'size', 'anna', value)
  stats.record(BUCKET, ENTITY, 'size', 'bob', 1)
  expect(await all(engine)).toEqual([])
  await stats.flush()
  expect(await all(engine)).toEqual([{ period: [], sum: 18, min: 1, max: 9, count: 4 }])
  const { items } = await engine.bucket(BUCKET).samples({ layer: SIZE, path: ENTITY, key: Key.parse('anna') })
  expect(items.map(({ v }) => v)).toEqual([{ sum: 17, min: 3, max: 9, count: 3 }])
  await stats.flush()
  expect(await all(engine)).toMatchObject([{ count: 4 }])
  expect(errors).toEqual([])
})

test('counts each value in its own minute', async () => {
  const engine = await embeddedEngine()
  const errors: unknown[] = []
  let now = Date.UTC(2026, 0, 1, 11, 59, 59)
  const stats = recorder(engine, errors, () => now)
  stats.record(BUCKET, ENTITY, 'size', 'anna', 1)
  now += 2_000
  stats.record(BUCKET, ENTITY, 'size', 'anna', 2)
  await stats.stop()
  expect(await engine.bucket(BUCKET).aggregate({ layer: SIZE, path: ENTITY, by: 'minute' })).toEqual([
    { period: [2026, 1, 1, 11, 59], sum: 1, min: 1, max: 1, count: 1 },
    { period: [2026, 1, 1, 12, 0], sum: 2, min: 2, max: 2, count: 1 },
  ])
  expect(errors).toEqual([])
})

test('forgets what was counted for an account that is gone, and what can never be written', async () => {
  const engine = await embeddedEngine()
  const errors: unknown[] = []
  const stats = recorder(engine, errors)
  stats.record(BucketName.of('gone'), ENTITY, 'size', 'anna', 1)
  await stats.flush()
  expect(errors).toEqual([])
  stats.record(BUCKET, ENTITY, 'size', '', 1)
  stats.record(BUCKET, ENTITY, 'size', 'anna', 1)
  await stats.flush()
  expect(errors).toMatchObject([{ code: 'bad_key' }])
  await stats.flush()
  expect(errors).toHaveLength(1)
  expect(await all(engine)).toMatchObject([{ count: 1 }])
})

test('an answer that is lost, and a store that is away, lose nothing and count nothing twice', async () => {
  const couch = await CouchServer.start({ login: 'admin:admin' })
  closers.push(() => couch.close())
  const proxy = await FaultProxy.start(couch.url)
  closers.push(() => proxy.close())
  const store = await openCouchStore({
    url: proxy.url,
    node: 'test',
    log: { warn: () => undefined } as never,
  })
  const engine = await engineOver(store)
  const errors: unknown[] = []
  const stats = recorder(engine, errors)

  // The write happens, its answer never comes, nor do those of what the adapter then tries.
  stats.record(BUCKET, ENTITY, 'size', 'anna', 5)
  let cut = 0
  proxy.fault = ({ path }) => (path.endsWith('/_bulk_docs') && ++cut ? 'cut after' : undefined)
  await stats.flush()
  expect(cut).toBeGreaterThan(0)
  expect(errors.length).toBeGreaterThan(0)

  stats.record(BUCKET, ENTITY, 'size', 'anna', 7)
  await proxy.leave()
  await stats.flush()
  stats.record(BUCKET, ENTITY, 'size', 'anna', 11)
  proxy.fault = () => undefined
  await proxy.back()
  errors.length = 0
  await stats.stop()
  expect(errors).toEqual([])
  expect(await all(engine)).toEqual([{ period: [], sum: 23, min: 5, max: 11, count: 3 }])
}, 60_000)

test('says at the end what it could not write', async () => {
  const couch = await CouchServer.start()
  closers.push(() => couch.close())
  const proxy = await FaultProxy.start(couch.url)
  closers.push(() => proxy.close())
  const store = await openCouchStore({
    url: proxy.url,
    node: 'test',
    log: { warn: () => undefined } as never,
  })
  const engine = await engineOver(store)
  const errors: unknown[] = []
  const stats = recorder(engine, errors)
  stats.record(BUCKET, ENTITY, 'size', 'anna', 5)
  await proxy.leave()
  await stats.stop()
  expect(errors.map(String).at(-1)).toContain('1 samples of statistics could not be written')
}, 60_000)

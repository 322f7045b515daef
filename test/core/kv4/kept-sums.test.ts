import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bucket, RunningEngine } from '../../../core'
import { BucketName, createEngine } from '../../../core'
import { openEmbeddedStore } from '../../../core/store/embedded'
import type { AggregateQuery } from '../../../core/store/store'
import { SERIES, at } from './contract/bench'
import { overriddenStore } from './overridden'

const name = BucketName.of('kept-sums', 'test')
const { path } = at('/s', 'a', SERIES)
const year: AggregateQuery = { layer: SERIES, path, from: [2025], to: [2025], by: 'month' }

describe('sums that were read before', () => {
  let directory: string
  let engine: RunningEngine
  let bucket: Bucket
  /** The ranges that the store was asked for. */
  const asked: (readonly [AggregateQuery['from'], AggregateQuery['to']])[] = []
  let meanwhile: (() => Promise<void>) | undefined

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kv4-sums-'))
    const store = await openEmbeddedStore({
      directory,
      onFatal: (error) => {
        throw error
      },
    })
    asked.length = 0
    meanwhile = undefined
    engine = createEngine({
      store: overriddenStore(store, {}, (handle) => ({
        aggregate: async (query) => {
          asked.push([query.from, query.to])
          const rows = await handle.aggregate(query)
          await meanwhile?.()
          return rows
        },
      })),
      sweepMs: 0,
    })
    engine.layers.declare({ name: SERIES, kind: 'series' })
    await engine.create(name)
    bucket = engine.bucket(name)
  })
  afterEach(async () => {
    await engine.close()
    await rm(directory, { recursive: true, force: true })
  })

  const add = (month: number, day = 1) =>
    bucket.append(at('/s', 'a', SERIES), month, { by: 'elena', at: Date.UTC(2025, month - 1, day) })
  const counts = async (query = year) =>
    (await bucket.aggregate(query)).map(({ period, count }) => [...period, count].join(':'))

  test('cost nothing while no sample comes, and then only the periods between the first and the last that got any', async () => {
    for (const month of [1, 3, 9]) await add(month)
    expect(await counts()).toEqual(['2025:1:1', '2025:3:1', '2025:9:1'])
    expect(await counts()).toEqual(['2025:1:1', '2025:3:1', '2025:9:1'])
    expect(asked).toEqual([[[2025], [2025]]])

    await add(9)
    expect(await counts()).toEqual(['2025:1:1', '2025:3:1', '2025:9:2'])
    expect(asked.splice(0).at(-1)).toEqual([
      [2025, 9],
      [2025, 9],
    ])

    await add(2)
    await add(4)
    await bucket.append(at('/elsewhere', 'a', SERIES), 1, { by: 'elena', at: Date.UTC(2025, 10) })
    expect(await counts()).toEqual(['2025:1:1', '2025:2:1', '2025:3:1', '2025:4:1', '2025:9:2'])
    expect(asked).toEqual([
      [
        [2025, 2],
        [2025, 4],
      ],
    ])
  })

  test('of a range that begins and ends within a period stay within it', async () => {
    const part: AggregateQuery = { ...year, from: [2025, 3, 10], to: [2025, 5, 20] }
    await add(3, 1)
    await add(3, 15)
    await add(5, 15)
    await add(5, 25)
    expect(await counts(part)).toEqual(['2025:3:1', '2025:5:1'])
    await add(3, 2)
    await add(3, 12)
    await add(5, 12)
    expect(await counts(part)).toEqual(['2025:3:2', '2025:5:2'])
    expect(asked.at(-1)).toEqual([
      [2025, 3, 10],
      [2025, 5, 20],
    ])
  })

  test('learn of a sample that comes while they are read', async () => {
    await add(1)
    meanwhile = async () => {
      meanwhile = undefined
      await add(1)
    }
    expect(await counts()).toEqual(['2025:1:1'])
    expect(await counts()).toEqual(['2025:1:2'])
    await add(2)
    meanwhile = async () => {
      meanwhile = undefined
      await add(1)
    }
    expect(await counts()).toEqual(['2025:1:2', '2025:2:1'])
    expect(await counts()).toEqual(['2025:1:3', '2025:2:1'])
  })

  test('of no period are read anew as a whole', async () => {
    const all: AggregateQuery = { layer: SERIES, path }
    await add(1)
    expect(await counts(all)).toEqual(['1'])
    await add(2)
    expect(await counts(all)).toEqual(['2'])
    expect(await counts(all)).toEqual(['2'])
    expect(asked).toHaveLength(2)
  })

  test('in which more periods got samples than are told apart are read anew as a whole', async () => {
    const minutes: AggregateQuery = { layer: SERIES, path, by: 'minute' }
    const minute = (m: number) =>
      bucket.append(at('/s', 'a', SERIES), 1, { by: 'elena', at: Date.UTC(2025, 0, 1, 0, m) })
    await minute(0)
    await counts(minutes)
    for (let m = 1; m <= 120; m++) await minute(m)
    expect(await counts(minutes)).toHaveLength(121)
    expect(asked.at(-1)).toEqual([undefined, undefined])
  })
})

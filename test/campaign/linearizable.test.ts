import { BucketCache } from '../../core/kv4/cache'
import type { BucketStore } from '../../core/store/store'
import { runLinearizableCampaign } from './linearizable'
import type { LinearizableResult } from './linearizable'
import { PROTOCOL_SERVER, startNodes } from './nodes'
import type { NodesOptions } from './nodes'
import { seeded } from './random'

// A million: npm run campaign:linearizable, with --store 2 for two nodes on CouchDB

interface Run extends Omit<NodesOptions, 'seed'> {
  readonly operations: number
  readonly consistent?: boolean
  /** Some connections are cut. Default true. */
  readonly unreliable?: boolean
}

async function run({
  operations,
  consistent = false,
  unreliable = true,
  ...how
}: Run): Promise<LinearizableResult> {
  const seed = 20261121
  const nodes = await startNodes({ ...how, seed })
  try {
    return await runLinearizableCampaign({
      nodes: nodes.clients,
      ...(unreliable && { unreliable: nodes.unreliable[0]! }),
      operations,
      seed,
      consistent,
      name: 'test',
    })
  } finally {
    await nodes.close()
  }
}

const TWO = { nodes: 2, url: PROTOCOL_SERVER }

describe('histories of concurrent callers over HTTP', () => {
  test('on the embedded store have an order, calls without an answer among them', async () => {
    const result = await run({ operations: 2_500 })
    expect(result.violations).toEqual([])
    expect(result.won).toBeGreaterThan(60)
    expect(result.refused).toBeGreaterThan(180)
    expect(result.unanswered).toBeGreaterThan(0)
  }, 120_000)

  test('on two nodes of one CouchDB have an order, read with consistent=1', async () => {
    const result = await run({ operations: 1_000, couch: TWO, consistent: true })
    expect(result.violations).toEqual([])
    expect(result.won).toBeGreaterThan(20)
    expect(result.refused).toBeGreaterThan(50)
  }, 120_000)
})

describe('the checker finds', () => {
  afterEach(() => jest.restoreAllMocks())

  test('a skipped invalidation', async () => {
    const random = seeded(1)
    const wrote = jest.spyOn(BucketCache.prototype, 'wrote')
    const real = wrote.getMockImplementation()!
    wrote.mockImplementation(function (this: BucketCache, ...how) {
      if (random() > 0.01) real.apply(this, how)
    })
    expect((await run({ operations: 2_000 })).violations).not.toEqual([])
  }, 60_000)

  test('changes of another node that were not heard', async () => {
    const deaf = (bucket: BucketStore, node: number) => {
      const changes = bucket.changes.bind(bucket)
      bucket.changes = async function* (...of) {
        for await (const batch of changes(...of))
          yield node === 1 ? { ...batch, changes: [], cursors: [] } : batch
      }
      return bucket
    }
    expect(
      (await run({ operations: 300, couch: TWO, spoil: deaf, unreliable: false })).violations,
    ).not.toEqual([])
  }, 60_000)

  test('an acknowledgement of what was lost', async () => {
    const random = seeded(1)
    const forgetful = (bucket: BucketStore) => {
      const commit = bucket.commit.bind(bucket)
      bucket.commit = async (writes) => (writes.length === 1 && random() < 0.05 ? ['stored'] : commit(writes))
      return bucket
    }
    expect((await run({ operations: 1_000, spoil: forgetful })).violations).not.toEqual([])
  }, 60_000)

  test('a conflict that was taken for success', async () => {
    const hopeful = (bucket: BucketStore) => {
      const commit = bucket.commit.bind(bucket)
      bucket.commit = async (writes) => (await commit(writes)).map(() => 'stored')
      return bucket
    }
    const result = await run({
      operations: 300,
      couch: TWO,
      consistent: true,
      spoil: hopeful,
      unreliable: false,
    })
    expect(result.violations).not.toEqual([])
  }, 60_000)
})

import type { BucketStore } from '../../core/store/store'
import { PROTOCOL_SERVER, startNodes, type NodesOptions } from './nodes'
import { runWatchCampaign, type WatchCampaignResult } from './watchers'

// 100 watchers over 10,000 writes: npm run campaign:watch, with --store couch or --store <URL> for two nodes on CouchDB

async function run(
  size: { readonly watchers: number; readonly writes: number },
  how: Omit<NodesOptions, 'seed'> = {},
): Promise<WatchCampaignResult> {
  const seed = 20261121
  const nodes = await startNodes({ ...how, seed })
  try {
    return await runWatchCampaign({ nodes: nodes.clients, ...size, seed, name: 'test' })
  } finally {
    await nodes.close()
  }
}

describe('watchers that disconnect at random and resume', () => {
  test('on the embedded store miss nothing', async () => {
    const result = await run({ watchers: 30, writes: 500 })
    expect(result.problems).toEqual([])
    expect(result.disconnects).toBeGreaterThan(50)
    expect(result.told).toBeGreaterThan(2_500)
  }, 180_000)

  test('on two nodes of one CouchDB, resuming on either, miss nothing', async () => {
    const result = await run({ watchers: 15, writes: 300 }, { couch: { nodes: 2, url: PROTOCOL_SERVER } })
    expect(result.problems).toEqual([])
    expect(result.disconnects).toBeGreaterThan(20)
    expect(result.told).toBeGreaterThan(500)
  }, 180_000)

  const url = process.env['KV4_TEST_COUCHDB_URL']
  const onCouch = url === undefined ? test.skip : test
  onCouch(
    'on two nodes of the CouchDB of KV4_TEST_COUCHDB_URL miss nothing',
    async () => {
      const result = await run({ watchers: 15, writes: 300 }, { couch: { nodes: 2, url: url! } })
      expect(result.problems).toEqual([])
      expect(result.disconnects).toBeGreaterThan(20)
    },
    180_000,
  )
})

test('the campaign finds changes that the feed leaves out', async () => {
  let passed = 0
  const leaky = (bucket: BucketStore) => {
    const changes = bucket.changes.bind(bucket)
    bucket.changes = async function* (...of) {
      for await (const batch of changes(...of)) {
        const keep = batch.changes.map(() => ++passed % 50 !== 0)
        yield {
          ...batch,
          changes: batch.changes.filter((_, i) => keep[i]),
          cursors: batch.cursors.filter((_, i) => keep[i]),
        }
      }
    }
    return bucket
  }
  const nodes = await startNodes({ seed: 1, spoil: leaky })
  try {
    const { problems } = await runWatchCampaign({
      nodes: nodes.clients,
      watchers: 6,
      writes: 300,
      seed: 1,
      name: 'leaky',
      patienceMs: 1_000,
    })
    expect(problems.some((problem) => problem.includes('was told'))).toBe(true)
  } finally {
    await nodes.close()
  }
}, 60_000)

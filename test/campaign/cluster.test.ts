import { clusterOfEnvironment, runLossCampaign, runPauseCampaign, runRaceCampaign } from './cluster'

/**
 * On a real cluster of three, where KV4_TEST_COUCHDB_CLUSTER and KV4_TEST_COUCHDB_CONTROL name one (CONTRIBUTING.md); in
 * size: npm run campaign:cluster
 */
const cluster = clusterOfEnvironment()
const onCluster = cluster === undefined ? describe.skip : describe

onCluster('three nodes of CouchDB, where KV4_TEST_COUCHDB_CLUSTER names them', () => {
  test('what was acknowledged survives the loss of any one', async () => {
    const { acknowledged, problems } = await runLossCampaign(cluster!, { rounds: 3, seed: 20261130 })
    expect(problems).toEqual([])
    expect(acknowledged).toBeGreaterThan(100)
  }, 300_000)

  test('while one hangs, the nodes of KV4 beside the others go on', async () => {
    const { operations, failed } = await runPauseCampaign(cluster!, { pauseMs: 10_000 })
    expect(operations).toBeGreaterThan(50)
    expect(failed).toBeLessThanOrEqual(operations / 1_000)
  }, 120_000)

  test('writes to one key at once never vanish: what a branch hides comes up in its history', async () => {
    const { acknowledged, vanished } = await runRaceCampaign(cluster!, { races: 300 })
    expect(vanished).toEqual([])
    expect(acknowledged).toBeGreaterThan(200)
  }, 120_000)
})

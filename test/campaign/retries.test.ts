import { startMortalServer } from './mortal-server'
import { PROTOCOL_SERVER, startNodes } from './nodes'
import { runRetryCampaign } from './retries'

// 30,000 requests, 10,000 cuts: npm run campaign:retries

test('requests are carried out once though connections break and the server is killed', async () => {
  const server = await startMortalServer({ seed: 1, cut: 0.33, longest: 1_500 })
  try {
    const result = await runRetryCampaign({
      ways: [server.unreliable],
      reader: server.reader,
      requests: 220,
      seed: 1,
      settled: () => server.spare(),
    })
    expect(result.problems).toEqual([])
    expect(result.unanswered).toBeGreaterThan(50)
  } finally {
    await server.close()
  }
}, 180_000)

test('… and though each attempt asks another node of one CouchDB', async () => {
  const nodes = await startNodes({ couch: { nodes: 2, url: PROTOCOL_SERVER }, seed: 1, cut: 0.33 })
  try {
    const result = await runRetryCampaign({
      ways: nodes.unreliable,
      reader: nodes.clients[0]!,
      requests: 100,
      seed: 1,
    })
    expect(result.problems).toEqual([])
    expect(result.unanswered).toBeGreaterThan(25)
  } finally {
    await nodes.close()
  }
}, 180_000)

test('the campaign catches an Idempotency-Key that was lost between attempts', async () => {
  const nodes = await startNodes({ seed: 1, cut: 0.33 })
  try {
    const result = await runRetryCampaign({
      ways: nodes.unreliable,
      reader: nodes.clients[0]!,
      requests: 200,
      seed: 1,
      keyOf: (request, attempt) => `${request}.${attempt}`,
    })
    expect(result.problems.some((problem) => problem.includes('was written 2 times'))).toBe(true)
  } finally {
    await nodes.close()
  }
}, 60_000)

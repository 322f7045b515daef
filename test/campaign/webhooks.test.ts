import { runWebhooksCampaign } from './webhooks'

// 10,000 events: npm run campaign:webhooks
test('1,000 events to an endpoint that fails, from a sender that is killed: none is lost, each key in order', async () => {
  const result = await runWebhooksCampaign({
    events: 1_000,
    keys: 50,
    seed: 20261121,
    longest: 600,
    limitMs: 240_000,
  })
  expect(result.problems).toEqual([])
  expect(result.written).toBe(1_000)
  expect(result.kills).toBeGreaterThan(1)
  for (const count of Object.values(result.answers)) expect(count).toBeGreaterThan(0)
}, 300_000)

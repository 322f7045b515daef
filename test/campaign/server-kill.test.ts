import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { startScript, startServe } from '../server/process'
import { runServerKillCampaign } from './server-kill'

// 200 rounds: npm run campaign:kill-server
test('20 kills of a server under 64 writers lose nothing that it acknowledged', async () => {
  const result = await runServerKillCampaign({ rounds: 20, seed: 20261121, longest: 200, start: startServe })
  expect(result.problems).toEqual([])
  expect(result.acknowledged).toBeGreaterThan(1000)
  expect(result.slowestReopenMs).toBeLessThan(2000)
}, 300_000)

test('the campaign catches a server that acknowledges before the commit', async () => {
  const result = await runServerKillCampaign({
    rounds: 2,
    seed: 1,
    longest: 200,
    start: (settings) => startScript(join(__dirname, 'lying-server-process.ts'), settings),
  })
  for (const directory of result.kept) rmSync(directory, { recursive: true })
  expect(result.problems.some((problem) => problem.includes('is lost'))).toBe(true)
}, 180_000)

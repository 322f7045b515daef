import { join } from 'node:path'
import { rmSync } from 'node:fs'
import { runKillCampaign } from './kill'
import { STORE_WRITERS, StoreSubject } from './store-subject'

// 200 rounds: npm run campaign:kill
test('20 kills under 64 writers lose nothing that was acknowledged', async () => {
  const result = await runKillCampaign({
    rounds: 20,
    seed: 20261121,
    longest: 250,
    entry: STORE_WRITERS,
    open: StoreSubject.open,
  })
  expect(result.problems).toEqual([])
  expect(result.acknowledged).toBeGreaterThan(1000)
  expect(result.slowestReopenMs).toBeLessThan(2000)
}, 120_000)

test('the campaign catches a subject that acknowledges before the commit', async () => {
  const result = await runKillCampaign({
    rounds: 3,
    seed: 1,
    longest: 100,
    entry: join(__dirname, 'lying-writers-process.ts'),
    open: StoreSubject.open,
  })
  for (const directory of result.kept) rmSync(directory, { recursive: true })
  expect(result.problems.some((problem) => problem.includes('is lost'))).toBe(true)
}, 60_000)

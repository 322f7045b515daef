import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { TARGETS } from '../couchdb/targets'
import { startScript, startServe } from '../server/process'
import { runServerKillCampaign } from './server-kill'

// 200 rounds: npm run campaign:kill-server
test('4 kills of a server under 64 writers lose nothing that it acknowledged', async () => {
  const result = await runServerKillCampaign({ rounds: 4, seed: 20261121, longest: 200, start: startServe })
  expect(result.problems).toEqual([])
  expect(result.acknowledged).toBeGreaterThan(600)
  expect(result.slowestReopenMs).toBeLessThan(2000)
}, 300_000)

// 200 rounds, and 50 in which CouchDB dies too: npm run campaign:kill-server -- --couchdb URL
test.each(TARGETS)(
  'kills of a server on %s lose nothing that it acknowledged',
  async (_name, startTarget) => {
    const target = await startTarget()
    try {
      const result = await runServerKillCampaign({
        rounds: 2,
        seed: 20261129,
        writers: 16,
        longest: 40,
        start: startServe,
        couchdb: { url: target.url },
      })
      expect(result.problems).toEqual([])
      expect(result.acknowledged).toBeGreaterThan(20)
    } finally {
      await target.stop()
    }
  },
  300_000,
)

test('the campaign catches a server that acknowledges before the commit', async () => {
  const start = (settings: Readonly<Record<string, string>>) =>
    startScript(join(__dirname, 'lying-server-process.ts'), settings)
  let isCaught = false
  // A kill has to fall between an acknowledgement and its commit: how many do depends on how busy the machine is.
  for (let seed = 1; seed <= 8 && !isCaught; seed++) {
    const { kept, problems } = await runServerKillCampaign({ rounds: 2, seed, longest: 200, start })
    for (const directory of kept) rmSync(directory, { recursive: true })
    isCaught = problems.some((problem) => problem.includes('is lost'))
  }
  expect(isCaught).toBe(true)
}, 300_000)

import { parseArgs } from 'node:util'
import { startMortalServer } from './mortal-server'
import { runRetryCampaign } from './retries'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      requests: { type: 'string', default: '30000' },
      /** Most milliseconds between kills. */
      longest: { type: 'string', default: '10000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  })
  const seed = Number(values.seed)
  process.stdout.write(`${values.requests} requests, a third of their connections cut, seed ${seed}\n`)
  const server = await startMortalServer({ seed, cut: 0.33, longest: Number(values.longest) })
  const result = await runRetryCampaign({
    ways: [server.unreliable],
    reader: server.reader,
    requests: Number(values.requests),
    seed,
    onProgress: (line) => process.stdout.write(line + '\n'),
    settled: () => server.spare(),
  })
  for (const problem of result.problems) process.stdout.write(problem + '\n')
  process.stdout.write(
    `${result.requests} requests, ${result.unanswered} attempts without an answer, ${server.kills} kills, ` +
      `${result.problems.length} problems\n`,
  )
  await server.close()
  process.exitCode = result.problems.length === 0 ? 0 : 1
}

void main()

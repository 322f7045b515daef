import { parseArgs } from 'node:util'
import { runKillCampaign } from './kill'
import { STORE_WRITERS, StoreSubject } from './store-subject'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '200' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      writers: { type: 'string', default: '64' },
    },
  })
  const seed = Number(values.seed)
  process.stdout.write(`kill -9 under ${values.writers} writers, ${values.rounds} rounds, seed ${seed}\n`)
  const result = await runKillCampaign({
    rounds: Number(values.rounds),
    seed,
    writers: Number(values.writers),
    entry: STORE_WRITERS,
    open: StoreSubject.open,
    onRound: ({ round, killAfter, acknowledged, reopenMs, problems }) => {
      const verdict = problems.length === 0 ? 'ok' : problems.join('; ')
      process.stdout.write(
        `${round}: killed after ${killAfter} ms, ${acknowledged} acknowledged, open in ${reopenMs.toFixed(0)} ms: ${verdict}\n`,
      )
    },
  })
  process.stdout.write(
    `${result.rounds} kills, ${result.acknowledged} acknowledgements, ${result.problems.length} problems, ` +
      `slowest open ${result.slowestReopenMs.toFixed(0)} ms\n`,
  )
  process.exitCode = result.problems.length === 0 ? 0 : 1
}

void main()

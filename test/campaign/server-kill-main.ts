import { parseArgs } from 'node:util'
import { startServe } from '../server/process'
import { runServerKillCampaign } from './server-kill'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '200' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      writers: { type: 'string', default: '64' },
    },
  })
  const seed = Number(values.seed)
  process.stdout.write(
    `kill -9 of a server under ${values.writers} writers, ${values.rounds} rounds, seed ${seed}\n`,
  )
  const result = await runServerKillCampaign({
    rounds: Number(values.rounds),
    seed,
    writers: Number(values.writers),
    start: startServe,
    onRound: ({ round, moment, acknowledged, reopenMs, startMs, problems }) => {
      const verdict = problems.length === 0 ? 'ok' : problems.join('; ')
      process.stdout.write(
        `${round}: killed after ${moment.acknowledgements} acknowledgements, ${acknowledged} in all, store open in ${reopenMs.toFixed(0)} ms, ` +
          `server in ${startMs.toFixed(0)} ms: ${verdict}\n`,
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

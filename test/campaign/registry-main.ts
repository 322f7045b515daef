import { parseArgs } from 'node:util'
import { FAKETIME, runRegistryCampaign } from './registry'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      services: { type: 'string', default: '500' },
      rounds: { type: 'string', default: '8' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      'pause-ms': { type: 'string', default: '30000' },
    },
  })
  const { services, rounds, seed, 'pause-ms': pauseMs } = values
  const clock = FAKETIME === undefined ? 'the clock cannot be set: no libfaketime' : 'the clock is set'
  process.stdout.write(
    `${services} services, ${rounds} rounds, pauses of ${pauseMs} ms, ${clock}, seed ${seed}\n`,
  )
  const result = await runRegistryCampaign({
    services: Number(services),
    rounds: Number(rounds),
    seed: Number(seed),
    pauseMs: Number(pauseMs),
    onRound: ({ round, fault, deathMs, problems }) =>
      process.stdout.write(
        `${round}: told dead after ${deathMs.toFixed(0)} ms, then ${fault}: ${problems.length === 0 ? 'ok' : problems.join('; ')}\n`,
      ),
  })
  process.stdout.write(
    `${result.rounds} faults, ${result.heartbeats} heartbeats, slowest death ${result.slowestDeathMs.toFixed(0)} ms beyond ` +
      `its timeout, ${result.problems.length} problems\n`,
  )
  process.exitCode = result.problems.length === 0 ? 0 : 1
}

void main()

import { parseArgs } from 'node:util'
import { clusterOfEnvironment, runLossCampaign, runPauseCampaign, runRaceCampaign } from './cluster'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '300' },
      races: { type: 'string', default: '100000' },
      'pause-ms': { type: 'string', default: '30000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  })
  const cluster = clusterOfEnvironment()
  if (cluster === undefined)
    throw new Error(
      'KV4_TEST_COUCHDB_CLUSTER and KV4_TEST_COUCHDB_CONTROL name no cluster: see CONTRIBUTING.md',
    )
  const { rounds, races, 'pause-ms': pauseMs, seed } = values
  const say = (line: string) => process.stdout.write(line + '\n')
  say(`${rounds} nodes lost, ${races} races, a pause of ${pauseMs} ms, seed ${seed}`)
  let sound = true
  if (Number(pauseMs) > 0) {
    const { operations, failed, p99Ms } = await runPauseCampaign(cluster, { pauseMs: Number(pauseMs) })
    say(`a node paused: ${operations} operations at the others, ${failed} failed, p99 ${p99Ms.toFixed(0)} ms`)
    sound &&= failed <= operations / 1_000 && p99Ms < 2_000
  }
  if (Number(races) > 0) {
    const { acknowledged, unanswered, branches, surfacedMs, vanished } = await runRaceCampaign(cluster, {
      races: Number(races),
    })
    for (const each of vanished) say(`vanished: ${each}`)
    say(
      `races: ${acknowledged} acknowledged, ${unanswered} not answered, ${branches} branches, all in the history after ` +
        `${surfacedMs.toFixed(0)} ms, ${vanished.length} vanished`,
    )
    sound &&= vanished.length === 0
  }
  if (Number(rounds) > 0) {
    const result = await runLossCampaign(cluster, {
      rounds: Number(rounds),
      seed: Number(seed),
      onRound: ({ round, node, acknowledged, backMs, problems }) =>
        say(
          `${round}: node ${node + 1} lost, ${acknowledged} acknowledged, back after ${backMs.toFixed(0)} ms: ` +
            (problems.length === 0 ? 'ok' : problems.join('; ')),
        ),
    })
    say(
      `${result.rounds} nodes lost, ${result.acknowledged} acknowledged, ${result.unanswered} not answered, ` +
        `${result.problems.length} problems`,
    )
    sound &&= result.problems.length === 0
  }
  process.exitCode = sound ? 0 : 1
}

void main()

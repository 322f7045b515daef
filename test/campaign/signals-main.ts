import { parseArgs } from 'node:util'
import { runSignalCampaign } from './signals'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sockets: { type: 'string', default: '10000' },
      rounds: { type: 'string', default: '3' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      'every-ms': { type: 'string', default: '2000' },
      'length-ms': { type: 'string', default: '10000' },
      couchdb: { type: 'string' },
    },
  })
  const { sockets, rounds, seed, couchdb } = values
  process.stdout.write(`kill -9 of a node under ${sockets} sockets, ${rounds} rounds, seed ${seed}\n`)
  const result = await runSignalCampaign({
    sockets: Number(sockets),
    rounds: Number(rounds),
    seed: Number(seed),
    everyMs: Number(values['every-ms']),
    lengthMs: Number(values['length-ms']),
    ...(couchdb !== undefined && { couchdbUrl: couchdb }),
    onRound: ({ round, sent, heard, toldMs, undetected }) =>
      process.stdout.write(
        `${round}: ${sent} sent, ${heard} heard, everybody told ${toldMs.toFixed(0)} ms after the kill, ${undetected} undetected\n`,
      ),
  })
  for (const line of result.undetected.slice(0, 20)) process.stdout.write(line + '\n')
  process.stdout.write(
    `${result.sockets} sockets in ${result.rooms} rooms, ${result.kills} kills, ${result.sent} sent, ${result.heard} heard, ` +
      `${result.twice} twice, ${result.detected} missing and told, ${result.undetected.length} undetected\n`,
  )
  process.exitCode = result.undetected.length === 0 ? 0 : 1
}

void main()

import { execFile } from 'node:child_process'
import { parseArgs, promisify } from 'node:util'
import { startServe } from '../server/process'
import { runServerKillCampaign } from './server-kill'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '200' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      writers: { type: 'string', default: '64' },
      longest: { type: 'string', default: '400' },
      couchdb: { type: 'string' },
      'kill-couchdb': { type: 'string' },
      'start-couchdb': { type: 'string' },
    },
  })
  const { couchdb: url, 'kill-couchdb': kill, 'start-couchdb': again } = values
  if ((kill === undefined) !== (again === undefined) || (kill !== undefined && url === undefined))
    throw new Error('--kill-couchdb and --start-couchdb go together, with --couchdb')
  const shell = (command: string) => promisify(execFile)('/bin/sh', ['-c', command])
  const crash = async (): Promise<void> => {
    await shell(kill!)
    await shell(again!)
  }
  const seed = Number(values.seed)
  process.stdout.write(
    `kill -9 of a server${url === undefined ? '' : ' on CouchDB'}${kill === undefined ? '' : ', and of CouchDB,'} ` +
      `under ${values.writers} writers, ${values.rounds} rounds, seed ${seed}\n`,
  )
  const result = await runServerKillCampaign({
    rounds: Number(values.rounds),
    seed,
    writers: Number(values.writers),
    longest: Number(values.longest),
    start: startServe,
    ...(url !== undefined && { couchdb: { url, ...(kill !== undefined && { crash }) } }),
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

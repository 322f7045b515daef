import { parseArgs } from 'node:util'
import { runWebhooksCampaign } from './webhooks'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      events: { type: 'string', default: '10000' },
      keys: { type: 'string', default: '100' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      longest: { type: 'string', default: '600' },
    },
  })
  const [events, keys, seed] = [Number(values.events), Number(values.keys), Number(values.seed)]
  process.stdout.write(
    `${events} events of ${keys} keys, killed after ${values.longest} requests or fewer, seed ${seed}\n`,
  )
  const began = Date.now()
  const result = await runWebhooksCampaign({
    events,
    keys,
    seed,
    longest: Number(values.longest),
    limitMs: Math.max(600_000, events * 200),
    onKill: ({ kills, written, taken }) =>
      process.stdout.write(`kill ${kills}: ${written} written, ${taken} taken\n`),
  })
  const { kills, written, requests, answers, duplicates, problems } = result
  process.stdout.write(
    `${written} events, ${kills} kills, ${requests} requests (${JSON.stringify(answers)}), ${duplicates} duplicates, ` +
      `${problems.length} problems, ${Math.round((Date.now() - began) / 1000)} s\n`,
  )
  for (const problem of problems.slice(0, 20)) process.stdout.write(`  ${problem}\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
}

void main()

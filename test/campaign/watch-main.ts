import { parseArgs } from 'node:util'
import { PROTOCOL_SERVER, startNodes } from './nodes'
import { runWatchCampaign } from './watchers'

/** `--store embedded` (default), `couch` (two nodes on a server of its protocol) or a CouchDB's URL (two nodes on it). */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      watchers: { type: 'string', default: '100' },
      writes: { type: 'string', default: '10000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      store: { type: 'string', default: 'embedded' },
    },
  })
  const seed = Number(values.seed)
  const { store } = values
  process.stdout.write(
    `${values.watchers} watchers over ${values.writes} writes, store ${store}, seed ${seed}\n`,
  )
  const couch =
    store === 'embedded' ? undefined : { nodes: 2, url: store === 'couch' ? PROTOCOL_SERVER : store }
  const nodes = await startNodes({ seed, ...(couch !== undefined && { couch }) })
  try {
    const result = await runWatchCampaign({
      nodes: nodes.clients,
      watchers: Number(values.watchers),
      writes: Number(values.writes),
      seed,
      name: 'campaign',
      onProgress: (written, disconnects) =>
        process.stdout.write(`${written} written, ${disconnects} disconnects\n`),
    })
    for (const problem of result.problems.slice(0, 50)) process.stdout.write(`${problem}\n`)
    process.stdout.write(
      `${result.written} writes, ${result.told} changes told, ${result.disconnects} disconnects, ` +
        `${result.problems.length} problems\n`,
    )
    process.exitCode = result.problems.length === 0 ? 0 : 1
  } finally {
    await nodes.close()
  }
}

void main()

import { parseArgs } from 'node:util'
import { runLinearizableCampaign } from './linearizable'
import { PROTOCOL_SERVER, startNodes } from './nodes'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      operations: { type: 'string', default: '1000000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      callers: { type: 'string', default: '32' },
      /** `embedded`, or so many nodes on KV4_TEST_COUCHDB_URL, or on the protocol server where that is not set. */
      store: { type: 'string', default: 'embedded' },
    },
  })
  const seed = Number(values.seed)
  const embedded = values.store === 'embedded'
  const url = process.env['KV4_TEST_COUCHDB_URL'] ?? PROTOCOL_SERVER
  const couch = embedded ? {} : { couch: { nodes: Number(values.store), url } }
  process.stdout.write(
    `${values.operations} operations, ${values.callers} callers, ` +
      `${embedded ? 'embedded' : `${values.store} nodes on CouchDB`}, seed ${seed}\n`,
  )
  const nodes = await startNodes({ seed, ...couch })
  const result = await runLinearizableCampaign({
    nodes: nodes.clients,
    unreliable: nodes.unreliable[0]!,
    operations: Number(values.operations),
    seed,
    callers: Number(values.callers),
    consistent: !embedded,
    name: 'campaign',
    onEpoch: (line) => process.stdout.write(line + '\n'),
  })
  await nodes.close()
  const { operations, unanswered, won, refused, violations } = result
  for (const violation of violations) process.stdout.write(violation + '\n')
  process.stdout.write(
    `${operations} operations, ${unanswered} without an answer, ${won} conditions held, ${refused} did not, ` +
      `${violations.length} violations\n`,
  )
  process.exitCode = violations.length === 0 ? 0 : 1
}

void main()

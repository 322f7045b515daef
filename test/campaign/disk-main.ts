import { parseArgs } from 'node:util'
import { runDiskCampaign, straceIsThere } from './disk'
import { STORE_WRITERS, StoreSubject } from './store-subject'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      injections: { type: 'string', default: '500' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  })
  if (!straceIsThere()) throw new Error('strace is needed: apt-get install strace')
  const seed = Number(values.seed)
  process.stdout.write(`${values.injections} disk failures, seed ${seed}\n`)
  const result = await runDiskCampaign({
    injections: Number(values.injections),
    seed,
    entry: STORE_WRITERS,
    open: StoreSubject.open,
    onInjection: (line) => process.stdout.write(line + '\n'),
  })
  process.stdout.write(
    `${result.met} failures met, ${result.acknowledged} acknowledgements, ${result.problems.length} problems\n`,
  )
  process.exitCode = result.problems.length === 0 ? 0 : 1
}

void main()

import { parseArgs } from 'node:util'
import { straceIsThere } from './disk'
import { runPowerCampaign } from './power'
import { STORE_FILES, HASTY_STORE_WRITERS, StoreSubject } from './store-subject'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      images: { type: 'string', default: '10000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  })
  if (!straceIsThere()) throw new Error('strace is needed: apt-get install strace')
  const seed = Number(values.seed)
  process.stdout.write(`${values.images} power cuts, seed ${seed}\n`)
  const result = await runPowerCampaign({
    images: Number(values.images),
    seed,
    entry: HASTY_STORE_WRITERS,
    files: STORE_FILES,
    open: StoreSubject.open,
    onRecording: (line) => process.stdout.write(line + '\n'),
  })
  for (const problem of result.problems.slice(0, 50)) process.stdout.write(problem + '\n')
  process.stdout.write(
    `${result.images} images, compared with ${result.compared} acknowledgements, ${result.problems.length} problems\n`,
  )
  process.exitCode = result.problems.length === 0 ? 0 : 1
}

void main()

import { constants, copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { usage } from '../failure'
import { print } from './migrate-bucket'
import { migrateStore } from './migrate-store'
import { StoreLocation } from './store-location'

/** As they stand on the command line. */
export interface MigrationOptions {
  readonly from: string
  readonly to: string
  readonly resume?: boolean
}

/** Opens both stores, copies, and says what came of it. @throws CliFailure, and what opening a store throws */
export async function runMigration(options: MigrationOptions): Promise<void> {
  const from = StoreLocation.parse(options.from)
  const to = StoreLocation.parse(options.to)
  if (StoreLocation.print(from) === StoreLocation.print(to))
    throw usage('source and target are the same store')
  const source = await StoreLocation.open(from, { create: false })
  try {
    const target = await StoreLocation.open(to, { create: true })
    try {
      const total = await migrateStore(source, target, {
        resume: options.resume === true,
        onBucket: (bucket, counts) => process.stderr.write(`${bucket}: ${print(counts)}\n`),
      })
      process.stdout.write(
        `${total.buckets} buckets, ${print(total)}: the same in ${StoreLocation.print(to)} as in ${StoreLocation.print(from)}\n`,
      )
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
  process.stderr.write(pepperAdvice(from, to) + '\n')
}

/** The pepper is no part of a store. */
function pepperAdvice(from: StoreLocation, to: StoreLocation): string {
  if (from.kind === 'embedded' && to.kind === 'embedded') {
    const [old, fresh] = [join(from.directory, 'pepper'), join(to.directory, 'pepper')]
    if (!existsSync(old)) return 'Start the server with the same KV4_PEPPER as before.'
    if (!existsSync(fresh)) copyFileSync(old, fresh, constants.COPYFILE_EXCL)
    return `The pepper was copied too: ${fresh}`
  }
  return from.kind === 'embedded'
    ? `Start the server with the same KV4_PEPPER as before, or with KV4_DATA_DIR=${from.directory}, where its pepper is.`
    : `Start the server with the same KV4_PEPPER as before, or copy the file pepper of the old KV4_DATA_DIR into ${StoreLocation.print(to)}.`
}

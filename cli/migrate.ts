import { Command } from 'commander'
import { constants, copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { usage } from './failure'
import { print } from './migration/migrate-bucket'
import { migrateStore } from './migration/migrate-store'
import { StoreLocation } from './store-location'

interface MigrateCommandOptions {
  readonly from: string
  readonly to: string
  readonly resume?: boolean
}

/** `kv4 migrate --from STORE --to STORE`: copies everything with all history; the source stays as it is. */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description('copy a data directory into CouchDB, or back, with all history')
    .requiredOption('--from <store>', 'data directory, URL of a CouchDB, or couchdb for KV4_COUCHDB_URL')
    .requiredOption('--to <store>', 'the same, empty')
    .option('--resume', 'go on with a copy that was broken off')
    .addHelpText(
      'after',
      `
Stop every server that uses either store first. Each bucket is copied with all versions, current entries and samples,
then both sides are read again and compared. A copy that is broken off goes on with --resume; the source is never
changed. Secrets are kept as hashes under a pepper: the server on the new store needs the same one.

Examples:
  KV4_COUCHDB_URL=http://admin:password@127.0.0.1:5984 kv4 migrate --from ./data --to couchdb
  KV4_COUCHDB_URL=http://admin:password@127.0.0.1:5984 kv4 migrate --from couchdb --to ./data`,
    )
    .action(async (options: MigrateCommandOptions) => {
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
    })
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

import { Command } from 'commander'
import type { MigrationOptions } from './migration/run-migration'

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
    .action(async (options: MigrationOptions) => {
      // Loading both stores takes longer than a request that does not need them.
      const { runMigration } = await import('./migration/run-migration.js')
      await runMigration(options)
    })
}

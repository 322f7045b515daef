import { Command } from 'commander'
import { addSettingFlags, givenSettingFlags } from './setting-flags'

/** `kv4 serve`: the server in this process, until SIGTERM or SIGINT. */
export function serveCommand(): Command {
  const command = new Command('serve').description('run the server').addHelpText(
    'after',
    `
Every setting can stand in the environment (KV4_PORT) or in a flag (--port); a flag wins. Secrets belong into the
environment: flags are seen in the list of processes.

Examples:
  kv4 serve                                        embedded store in ./data, port 4006
  KV4_COUCHDB_URL=http://admin:password@127.0.0.1:5984 kv4 serve
  kv4 serve --port 8080 --data-dir /var/lib/kv4`,
  )
  addSettingFlags(command)
  return command.action(async () => {
    // Loading the server takes longer than a request that does not need it.
    const { serve } = await import('../server/main.js')
    await serve(givenSettingFlags(command))
  })
}

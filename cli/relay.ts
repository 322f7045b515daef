import { Command } from 'commander'
import { usage } from './failure'

/** `kv4 relay`: one tier of the session cache in this process, until SIGTERM or SIGINT. */
export function relayCommand(): Command {
  return new Command('relay')
    .description('run a tier of the session cache')
    .argument('<file>', 'its configuration, JSON; paths in it are relative to it')
    .addHelpText(
      'after',
      `
The configuration says which tier: "edge_supported_relay" the relay, with its sibling as a child; "half_edge" a sibling
alone; "full_edge" or none of them a pressure relief server. docs/session-cache.md has examples of each.

Example:
  kv4 relay relay.conf`,
    )
    .action(async (file: string) => {
      // Loaded here: it takes every other command a tenth of its time.
      const { SessionCacheError, runRelay } = await import('../session-cache/index.js')
      try {
        await runRelay(file)
      } catch (error) {
        if (error instanceof SessionCacheError) throw usage(error.message)
        throw error
      }
    })
}

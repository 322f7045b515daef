import { Command } from 'commander'
import { addSettingFlags, givenSettingFlags } from './setting-flags'

/** `kv4 config`: the configuration that `kv4 serve` would run with, without secrets. */
export function configCommand(): Command {
  const command = new Command('config')
    .description('show the configuration that serve would run with, without secrets')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nThe flags are those of kv4 serve; a flag wins over the environment.')
  addSettingFlags(command)
  return command.action(async ({ json }: { readonly json?: boolean }) => {
    // Loading what validates settings takes longer than a request that does not need it.
    const { describe, readConfig } = await import('../server/config.js')
    const settings = describe(readConfig(process.env, givenSettingFlags(command)))
    if (json === true) {
      const values = Object.fromEntries(settings.map(({ name, value }) => [name, value]))
      process.stdout.write(JSON.stringify(values, null, 2) + '\n')
      return
    }
    const width = Math.max(...settings.map(({ name }) => name.length))
    for (const { name, value } of settings) process.stdout.write(`${name.padEnd(width)}  ${value}\n`)
  })
}

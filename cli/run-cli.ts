import { Command, CommanderError } from 'commander'
import { ConfigError } from '../server/settings'
import { METHODS } from '../services/module'
import { version } from '../package.json'
import { applicationCommands } from './applications'
import { configCommand } from './config'
import { CliFailure, EXIT, type ExitCode } from './failure'
import { hooksCommand } from './hooks'
import { migrateCommand } from './migrate'
import { profileCommand } from './profile'
import { registryCommands } from './registry'
import { relayCommand } from './relay'
import { requestCommand } from './request'
import { schemasCommand } from './schemas'
import { serveCommand } from './serve'
import { watchCommand } from './watch'

const INTRODUCTION = `
Exit codes: 0 done, 1 the answer is an error (its code and what to do are on standard error), 2 wrong usage,
3 no answer.

A first walk:
  kv4 serve                                        prints the secret of $sys at its first start
  kv4 profile set sys --user '$sys'                asks for that secret, and remembers it
  kv4 put /_acc/accounts -d '{"k":"elena","v":{"email":"elena@example.com"}}'
  kv4 get /_acc/accounts
  kv4 get /_ds

kv4 <command> --help says more about each.`

/** The command line: one line of error instead of a stack, and an exit code. */
export async function runCli(argv: readonly string[]): Promise<ExitCode> {
  let exit: ExitCode = EXIT.ok
  const end = (code: ExitCode) => {
    exit = code
  }
  const program = new Command('kv4')
    .description('KV4: a layered, multi-tenant key/value platform. [path, key, layer] and time.')
    .version(version, '-V, --version')
    .addHelpText('after', INTRODUCTION)
  program.addCommand(serveCommand())
  program.addCommand(configCommand())
  for (const method of METHODS) program.addCommand(requestCommand(method, end))
  program.addCommand(watchCommand())
  program.addCommand(profileCommand())
  for (const command of [...registryCommands(end), ...applicationCommands(end)]) program.addCommand(command)
  program.addCommand(schemasCommand(end))
  program.addCommand(hooksCommand(end))
  program.addCommand(migrateCommand())
  program.addCommand(relayCommand())
  for (const command of withChildren(program))
    command
      .exitOverride()
      .showSuggestionAfterError()
      .configureOutput({
        outputError: (text, write) => write(text.replace(/^error: /, 'kv4: ')),
      })

  try {
    await program.parseAsync(argv)
    return exit
  } catch (error) {
    return report(error)
  }
}

function withChildren(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(withChildren)]
}

function report(error: unknown): ExitCode {
  // Commander has said it already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (error instanceof ConfigError) {
    process.stderr.write(`kv4: ${error.message}\n`)
    return EXIT.usage
  }
  if (error instanceof CliFailure) {
    process.stderr.write(
      `kv4: ${error.message}\n` + (error.remedy === undefined ? '' : `  ${error.remedy}\n`),
    )
    return error.exit
  }
  process.stderr.write(`kv4: ${error instanceof Error ? error.message : String(error)}\n`)
  return EXIT.refused
}

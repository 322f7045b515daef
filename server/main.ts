import type { Config } from './config'
import { readConfig } from './config'
import { ConfigError } from './settings'
import { createLog, scrub } from './log'
import { startServer } from './start'
import type { RunningServer } from './start'

// Exit codes: 0 a clean end, 1 a failure while running, 2 a start that cannot work as asked.
const FAILED = 1
const REFUSED = 2

/**
 * The server as a process: reads the configuration, starts, drains at SIGTERM and SIGINT. Never returns a failure:
 * whatever goes wrong ends the process with a sentence on standard error or a log line.
 * @param args flags only, without the command
 */
export async function serve(
  args: readonly string[] = process.argv.slice(2),
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  let config: Config
  try {
    config = readConfig(env, args)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    refuse(error.message)
    return
  }
  const log = createLog(config)
  const fatal = (message: string) => (error: unknown) => {
    log.fatal({ err: error }, message)
    process.exit(FAILED)
  }
  // A promise that nobody handled may be a write that nobody knows the end of.
  process.on('unhandledRejection', fatal('a promise was rejected and nobody handled it'))
  process.on('uncaughtException', fatal('an error was thrown and nobody caught it'))

  let running: RunningServer
  try {
    running = await startServer(config, {
      log,
      onFatal: fatal('the store failed; nothing more can be acknowledged'),
    })
  } catch (error) {
    refuse(reasonOf(error, config))
    return
  }
  if (running.generatedSecret !== undefined)
    process.stderr.write(
      `The secret of $sys, shown this once (KV4_SYS_SECRET sets another):\n\n  ${running.generatedSecret}\n\n`,
    )

  let ending = false
  const end = (signal: NodeJS.Signals) => {
    if (ending) return
    ending = true
    log.info({ signal }, 'draining')
    running.close().then(() => {
      log.info('ended')
      process.exit(0)
    }, fatal('the end was not clean'))
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
}

function refuse(message: string): void {
  process.stderr.write(`kv4: ${scrub(message)}\n`)
  process.exitCode = REFUSED
  // Whatever half a start left open does not keep the process.
  setImmediate(() => process.exit(REFUSED))
}

/** A sentence for the operator. A stack says nothing to him; the cause does. */
function reasonOf(error: unknown, { host, port, dataDir }: Config): string {
  if (!(error instanceof Error)) return String(error)
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use; choose another with --port or KV4_PORT`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine (KV4_HOST)`
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `no permission: ${error.message} (data directory ${dataDir}, port ${port})`
    case 'EEXIST':
    case 'ENOTDIR':
      return `${dataDir} cannot be a directory: something else is there (KV4_DATA_DIR)`
    case 'ENOSPC':
      return `no space left on the disk of ${dataDir}`
    default: {
      const cause = error.cause instanceof Error ? `: ${error.cause.message}` : ''
      return error.message + cause
    }
  }
}

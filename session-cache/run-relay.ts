import { resolve } from 'node:path'
import { readTierConfiguration } from './configuration'
import { startRelay } from './relay'
import { startRelief } from './relief'
import type { RunningTier } from './running-tier'
import { startSibling } from './sibling'
import type { TierLog } from './tier-log'

/**
 * Runs the tier that a configuration file is for, in this process. Paths in the file are relative to it.
 * @throws SessionCacheError bad_configuration, insecure_listener, unsafe_directory; EADDRINUSE and the like
 */
export async function startTier(configurationFile: string, log: TierLog = jsonLog): Promise<RunningTier> {
  const file = resolve(configurationFile)
  const configuration = readTierConfiguration(file)
  switch (configuration.tier) {
    case 'relay':
      return startRelay(configuration, file, log)
    case 'sibling':
      return startSibling(configuration, file, log)
    case 'relief':
      return startRelief(configuration, file, log)
    default:
      return configuration satisfies never
  }
}

/**
 * `kv4 relay conf.json`: runs a tier until SIGTERM or SIGINT, or, as the child of a relay, until that is gone. Resolves
 * when it has ended.
 */
export async function runRelay(configurationFile: string): Promise<void> {
  // Before it says that it listens, so that no signal finds nobody.
  const told = new Promise<void>((stop) => {
    process.once('SIGTERM', () => stop())
    process.once('SIGINT', () => stop())
    process.once('disconnect', () => stop())
  })
  const tier = await startTier(configurationFile)
  await told
  await tier.close()
}

/** JSON lines on standard output. */
const jsonLog: TierLog = (level, message, fields) => {
  process.stdout.write(
    JSON.stringify({ level, time: Date.now(), pid: process.pid, msg: message, ...fields }) + '\n',
  )
}

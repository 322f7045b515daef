import { startTier } from '../../session-cache'

// A relay alone; argv: its configuration.
void startTier(process.argv[2]!, () => undefined).then((relay) => {
  process.stdout.write(`ready ${relay.port}\n`)
  process.on('SIGTERM', () => void relay.close().then(() => process.exit(0)))
})

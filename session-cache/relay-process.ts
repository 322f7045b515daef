import { runRelay } from './run-relay'

// The sibling of a relay, forked by it with the file of its configuration.
runRelay(process.argv[2] ?? '').then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`kv4: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(2)
  },
)

#!/usr/bin/env node
import { runCli } from './run-cli'

/** What a shell shows of a program that SIGPIPE ended; node ignores the signal. */
const BROKEN_PIPE = 128 + 13

// Whoever reads has had enough, as in `kv4 watch … | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(BROKEN_PIPE)
})

void runCli(process.argv).then((exit) => {
  // Not process.exit: what was written has to get out, and a server goes on.
  process.exitCode = exit
})

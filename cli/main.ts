#!/usr/bin/env node
import { runCli } from './run-cli'

void runCli(process.argv).then((exit) => {
  // Not process.exit: what was written has to get out, and a server goes on.
  process.exitCode = exit
})

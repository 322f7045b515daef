import type { CacheConfiguration } from './configuration'
import { sweepMsOf } from './configuration'
import type { Session } from './session'
import type { SharedTable } from './shared-table'

/** Sweeps a table from time to time; what leaves goes to `out`. Returns how to stop it. */
export function startSweeper(
  table: SharedTable,
  cache: CacheConfiguration,
  out: (sessions: readonly Session[]) => void,
): () => void {
  const every = sweepMsOf(cache)
  if (every === undefined) return () => undefined
  const timer = setInterval(() => {
    try {
      const gone = table.sweep(cache.max_evictions)
      if (gone.length > 0) out(gone)
    } catch (error) {
      // The next one may do better; the process has other things to do.
      process.emitWarning(error as Error)
    }
  }, every).unref()
  return () => clearInterval(timer)
}

import { existsSync, linkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Room for 1,024 readers and more. */
const BYTES = 68 * 1024

/**
 * LMDB makes its lock file as a hole and writes into it through memory: where the file system is full, that ends the
 * process (SIGBUS). So the file is there before, with all its bytes, or there is an error. LMDB sets up what stands in
 * it when it is the first to open it.
 * @throws ENOSPC and the like
 */
export function reserveLockFile(directory: string): void {
  const file = join(directory, 'lock.mdb')
  if (existsSync(file)) return
  const whole = `${file}.${process.pid}`
  try {
    writeFileSync(whole, Buffer.alloc(BYTES), { mode: 0o600 })
    // Only whole, and never over the file of somebody who was faster.
    linkSync(whole, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(whole, { force: true })
  }
}

import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { SessionCacheError } from './errors'

/** Of the table's file; another one lies elsewhere. */
const LAYOUT = 3

export interface TablePlace {
  /** Where tables lie. Default /dev/shm, which is memory; the directory for temporary files where there is none. */
  readonly directory?: string
  /** Processes that name the same path and seed share a table. Need not exist. */
  readonly tokenPath?: string
  readonly seed: number
}

/**
 * The directory of a table, made if need be, for this user only. /dev/shm is open to all, so a directory that somebody
 * else put there first is refused.
 * @throws unsafe_directory
 */
export function tableDirectory(place: TablePlace): string {
  const uid = process.getuid?.() ?? 0
  const name = createHash('sha256')
    .update(`${LAYOUT}\0${place.tokenPath === undefined ? '' : resolve(place.tokenPath)}\0${place.seed}`)
    .digest('hex')
    .slice(0, 16)
  const directory = join(place.directory ?? memoryDirectory(), `kv4-sessions-${uid}-${name}`)
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw new SessionCacheError('unsafe_directory', directory, error)
  }
  const found = lstatSync(directory)
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0)
    throw new SessionCacheError('unsafe_directory', directory)
  return directory
}

function memoryDirectory(): string {
  const found = statSync('/dev/shm', { throwIfNoEntry: false })
  return found?.isDirectory() === true ? '/dev/shm' : tmpdir()
}

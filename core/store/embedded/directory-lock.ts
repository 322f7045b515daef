import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { DataDirectoryError } from './data-directory-error'

/**
 * One process per data directory. Both locks are listening sockets, which the kernel takes away with the process,
 * however it dies; neither needs a clean-up nor trusts a process id:
 * - an abstract socket named after the directory's device and inode: taken atomically, seen by every process of the
 *   same network namespace;
 * - a socket in the directory: seen also from other containers on the machine that share it. A file without a
 *   listener is a leftover and is replaced, under the protection of the first lock.
 * The process id is written beside them for the message alone.
 */
export class DirectoryLock {
  private constructor(
    private readonly servers: readonly Server[],
    private readonly handle: number | undefined,
  ) {}

  /** @throws DataDirectoryError data_dir_in_use */
  static async take(directory: string): Promise<DirectoryLock> {
    mkdirSync(directory, { recursive: true })
    const owner = join(directory, 'kv4.pid')
    // Without the cause: the name of an abstract socket tells an operator nothing.
    const inUse = () =>
      new DataDirectoryError('data_dir_in_use', directory, `process ${readOwner(owner)} has it open`)

    const servers: Server[] = []
    let handle: number | undefined
    const release = async () => {
      await Promise.all(servers.map(closed))
      if (handle !== undefined) closeSync(handle)
    }
    try {
      if (process.platform === 'linux') {
        const { dev, ino } = statSync(directory, { bigint: true })
        try {
          servers.push(await listening(`\0kv4:${dev}:${ino}`))
        } catch (error) {
          throw isCode(error, 'EADDRINUSE') ? inUse() : error
        }
        // A socket's path may have 107 bytes; through the descriptor every directory's is short enough.
        handle = openSync(directory, 'r')
      }
      const socket = handle === undefined ? join(directory, 'kv4.sock') : `/proc/self/fd/${handle}/kv4.sock`
      if (await answers(socket)) throw inUse()
      rmSync(socket, { force: true })
      try {
        servers.push(await listening(socket))
      } catch (error) {
        if (isCode(error, 'EADDRINUSE')) throw inUse()
        // Some mounts cannot hold sockets; the abstract one is what protects then.
        if (servers.length === 0) throw error
      }
      writeFileSync(owner, `${process.pid}\n`)
      return new DirectoryLock(servers, handle)
    } catch (error) {
      await release()
      throw error
    }
  }

  async release(): Promise<void> {
    // The socket's path leads through the descriptor: closing the server removes it first.
    await Promise.all(this.servers.map(closed))
    if (this.handle !== undefined) closeSync(this.handle)
  }
}

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code
}

function listening(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy())
    server.once('error', reject)
    server.listen(path, () => {
      server.unref()
      resolve(server)
    })
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(path)
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.once('error', () => resolve(false))
  })
}

function readOwner(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return 'unknown'
  }
}

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Engine } from '../core'
import type { ServiceContext } from '../services/module'
import { readConfig } from '../server/config'
import { startServer } from '../server/start'
import { Client } from './client'

export interface PlatformOptions {
  /** Beside those that every test platform has: KV4_… and their values. */
  readonly settings?: Readonly<Record<string, string>>
}

/** The whole platform over HTTP, on an embedded store of its own unless the settings name a CouchDB. */
export interface Platform {
  readonly url: string
  readonly engine: Engine
  /** What its services were made with. */
  readonly context: ServiceContext
  readonly sys: Client
  /** The platform as somebody else sees it. */
  as(user: string, password: string): Client
  close(): Promise<void>
}

const SECRET = 'a-secret-for-the-tests'

export async function startPlatform({ settings = {} }: PlatformOptions = {}): Promise<Platform> {
  const directory = await mkdtemp(join(tmpdir(), 'kv4-platform-'))
  const config = readConfig({
    KV4_PORT: '0',
    KV4_DATA_DIR: directory,
    KV4_SYS_SECRET: SECRET,
    KV4_PEPPER: 'a pepper for the tests, long enough',
    KV4_NODE: 'test',
    KV4_LOG_LEVEL: 'silent',
    ...settings,
  })
  const server = await startServer(config, {
    scrypt: { ln: 10, r: 8, p: 1 },
    onFatal(error) {
      throw error
    },
  })
  const as = (user: string, password: string) => new Client(server.url, user, password)
  return {
    url: server.url,
    engine: server.engine,
    context: server.context,
    sys: as('$sys', SECRET),
    as,
    async close() {
      await server.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '../client'
import { startServe } from '../server/process'
import type { ServerProcess } from '../server/process'
import { startCuttingProxy } from './nodes'
import { seeded } from './random'

export interface MortalServer {
  readonly reader: Client
  /** Through a proxy that cuts connections. */
  readonly unreliable: Client
  readonly kills: number
  /** Lets it live from now on, and resolves when it does. */
  spare(): Promise<void>
  close(): Promise<void>
}

const SYS_SECRET = 'a-secret-for-the-campaign'

/** `kv4 serve` on an embedded store, killed with SIGKILL again and again and started anew on the same port. */
export async function startMortalServer({
  seed,
  cut,
  longest,
}: {
  readonly seed: number
  /** Part of the calls through the proxy that are cut. */
  readonly cut: number
  /** Most milliseconds that it lives. */
  readonly longest: number
}): Promise<MortalServer> {
  const directory = mkdtempSync(join(tmpdir(), 'kv4-mortal-'))
  const random = seeded(seed)
  const start = (port: number): ServerProcess =>
    startServe({
      KV4_PORT: String(port),
      KV4_DATA_DIR: directory,
      KV4_SYS_SECRET: SYS_SECRET,
      KV4_PEPPER: 'a pepper for the campaign, long enough',
      KV4_NODE: 'campaign',
    })
  let server = start(0)
  const port = await server.port
  const url = `http://127.0.0.1:${port}`
  const sys = new Client(url, '$sys', SYS_SECRET)
  const { secret } = await sys.ok(
    sys.put<{ secret: string }>('/_acc/accounts', { k: 'elena', v: { email: 'elena@async.cl' } }),
  )
  const proxy = await startCuttingProxy(url, cut, random)

  let kills = 0
  let spared = false
  const dying = (async () => {
    while (!spared) {
      await new Promise((resolve) => setTimeout(resolve, random() * longest))
      if (spared) return
      server.child.kill('SIGKILL')
      await server.exit
      kills++
      server = start(port)
      await server.port
    }
  })()
  dying.catch(() => undefined)
  const spare = async () => {
    spared = true
    await dying
  }
  return {
    reader: new Client(url, 'elena', secret),
    unreliable: new Client(proxy.url.replace(/\/$/, ''), 'elena', secret),
    get kills() {
      return kills
    },
    spare,
    async close() {
      await spare()
      await proxy.close()
      server.child.kill('SIGKILL')
      await server.exit
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

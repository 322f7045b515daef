import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCouchStore } from '../../core/store/couch/open-couch-store'
import { openEmbeddedStore } from '../../core/store/embedded'
import type { BucketStore, Store } from '../../core/store/store'
import { readConfig } from '../../server/config'
import { startServer } from '../../server/start'
import { Client } from '../client'
import { FaultProxy } from '../couchdb/fault-proxy'
import { CouchServer } from '../couchdb/server'
import { seeded } from './random'

export interface Nodes {
  /** One account, on each node. */
  readonly clients: readonly Client[]
  /** The same through proxies that cut connections before and after the call is carried out. */
  readonly unreliable: readonly Client[]
  close(): Promise<void>
}

export interface NodesOptions {
  /** How many on one CouchDB: its URL, or 'protocol server' for one of the tests' own. Absent: one, embedded. */
  readonly couch?: { readonly nodes: number; readonly url: string }
  /** Puts a fault into a bucket's store, to see whether it is found. */
  readonly spoil?: (bucket: BucketStore, node: number) => BucketStore
  readonly seed: number
  /** Part of the calls through the proxies that are cut. Default 0.1. */
  readonly cut?: number
}

export const PROTOCOL_SERVER = 'protocol server'
const SYS_SECRET = 'a-secret-for-the-tests'

/** Whole servers in this process, over HTTP. */
export async function startNodes({ couch, spoil, seed, cut = 0.1 }: NodesOptions): Promise<Nodes> {
  const closers: (() => Promise<void>)[] = []
  const url =
    couch?.url === PROTOCOL_SERVER
      ? await CouchServer.start({ login: 'admin:admin' }).then((server) => {
          closers.push(() => server.close())
          return server.url
        })
      : couch?.url
  const urls: string[] = []
  for (let node = 0; node < (couch?.nodes ?? 1); node++) {
    const directory = await mkdtemp(join(tmpdir(), 'kv4-nodes-'))
    closers.push(() => rm(directory, { recursive: true, force: true }))
    const config = readConfig({
      KV4_PORT: '0',
      KV4_DATA_DIR: directory,
      KV4_SYS_SECRET: SYS_SECRET,
      KV4_PEPPER: 'a pepper for the tests, long enough',
      KV4_NODE: `node-${node}`,
      KV4_LOG_LEVEL: 'silent',
      ...(url !== undefined && { KV4_COUCHDB_URL: url }),
    })
    const store = await openStore(url, directory, node)
    if (spoil !== undefined) spoilStore(store, (bucket) => spoil(bucket, node))
    const server = await startServer(config, { store })
    closers.push(() => server.close())
    urls.push(server.url)
  }

  const sys = new Client(urls[0]!, '$sys', SYS_SECRET)
  const account = `elena${process.pid}x${Date.now().toString(36)}`
  const { secret } = await sys.ok(
    sys.put<{ secret: string }>('/_acc/accounts', { k: account, v: { email: `${account}@example.com` } }),
  )
  closers.push(async () => void (await sys.delete(`/_acc/accounts?k=${account}`)))

  const random = seeded(seed)
  const proxies: FaultProxy[] = []
  for (const url of urls) {
    const proxy = await startCuttingProxy(url, cut, random)
    proxies.push(proxy)
    closers.push(() => proxy.close())
  }
  return {
    clients: urls.map((url) => new Client(url, account, secret)),
    unreliable: proxies.map(({ url }) => new Client(url.replace(/\/$/, ''), account, secret)),
    async close() {
      for (const close of closers.reverse()) await close()
    },
  }
}

/** Cuts so many of the connections, some of them before the call arrives. */
export async function startCuttingProxy(
  url: string,
  part: number,
  random: () => number,
): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(url)
  proxy.fault = () => {
    // What passed is not looked at, and would fill the memory.
    proxy.passed.length = 0
    if (random() > part) return undefined
    return random() < 0.3 ? 'cut before' : 'cut after'
  }
  return proxy
}

function openStore(url: string | undefined, directory: string, node: number): Promise<Store> {
  if (url !== undefined) return openCouchStore({ url, node: `node-${node}` })
  return openEmbeddedStore({
    directory,
    onFatal(error) {
      throw error
    },
  })
}

/** In buckets of tenants alone: a platform whose own accounts are spoilt would not get far. */
function spoilStore(store: Store, spoil: (bucket: BucketStore) => BucketStore): void {
  const open = store.open.bind(store)
  store.open = async (name) => (name === '$sys' ? open(name) : spoil(await open(name)))
}

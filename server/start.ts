import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import {
  ClusterKey,
  Pepper,
  basicAuthentication,
  createAccountEnds,
  createBanEnds,
  createCredentialEnds,
  createAuthentication,
  createBans,
  createKeepers,
  createTokenKeeper,
  ensureSystemAccount,
  withBearerTokens,
} from '../auth'
import type { KeepersOptions, ThrottleOptions } from '../auth'
import { createEngine } from '../core'
import type { RunningEngine, Store } from '../core'
import { openCouchStore } from '../core/store/couch/open-couch-store'
import { openEmbeddedStore } from '../core/store/embedded'
import { CATALOG, MOUNTS } from '../services/catalog'
import type { Service, ServiceContext, ServiceFactory } from '../services/module'
import type { MountFactory } from '../services/mount'
import { StatsRecorder } from '../services/recorder'
import { Watching } from '../services/watching'
import { bind } from './binder'
import { CallCount } from './call-count'
import { withoutCredentials } from './config'
import type { Config } from './config'
import { connectionsOf } from './connections'
import { ExternalServices } from './external/external-services'
import { Tunnels } from './external/tunnels'
import { createHttp } from './http'
import type { HttpTimeouts } from './http'
import { Idempotency } from './idempotency'
import { Liveness } from './liveness'
import { createLog } from './log'
import type { Log } from './log'
import { bindMounts } from './mounts'
import { nodeUrlOf, publicWsUrlOf } from './node-url'
import { originOf } from './origin'
import { Destinations } from './outgoing/destinations'
import { WebhookClient } from './outgoing/webhook-client'
import { remoteAddressOf } from './remote-address'
import { ServiceWatches } from './service-watches'
import { createDialer } from './socket'
import { Standing } from './standing'
import { createUpgrades } from './upgrade'

export interface StartOptions {
  /** Default: JSON lines on standard output. */
  readonly log?: Log
  /** Told once, when the store can no longer promise anything: the process has to end. Default: a log line, exit 1. */
  readonly onFatal?: (error: Error) => void
  /** Instead of the store that the configuration names; closed with the server. */
  readonly store?: Store
  /** Default: the catalogue. */
  readonly services?: readonly ServiceFactory[]
  /** Default: the catalogue's. */
  readonly mounts?: readonly MountFactory[]
  /** Of passwords; tests make it cheap. */
  readonly scrypt?: KeepersOptions['scrypt']
  readonly throttle?: ThrottleOptions
  readonly timeouts?: HttpTimeouts
}

export interface RunningServer {
  /** `http://127.0.0.1:4006`, without a trailing slash. */
  readonly url: string
  readonly port: number
  readonly engine: RunningEngine
  readonly services: readonly Service[]
  /** What the services were made with. */
  readonly context: ServiceContext
  /** Set when this start made the secret of `$sys`: it can never be shown again. */
  readonly generatedSecret?: string
  /**
   * Stops accepting, finishes the requests under way (for KV4_DRAIN_MS at most), then closes services, engine and
   * store. Calling it again waits for the same end.
   */
  close(): Promise<void>
}

/**
 * The composition root: store, engine, logins, services, HTTP, in this order; whatever fails, what was opened before it
 * is closed again.
 * @throws CouchSetupError, the embedded store's refusal of a directory in use, BindingError, EADDRINUSE and the like
 */
export async function startServer(config: Config, options: StartOptions = {}): Promise<RunningServer> {
  const log = options.log ?? createLog(config)
  const onFatal =
    options.onFatal ??
    ((error: Error) => {
      log.fatal({ err: error }, 'the store failed; nothing more can be acknowledged')
      process.exit(1)
    })
  const closers: (() => Promise<void>)[] = []
  async function unwind(): Promise<void> {
    for (const close of closers.splice(0).reverse()) await close()
  }

  try {
    mkdirSync(config.dataDir, { recursive: true, mode: 0o700 })
    const store = options.store ?? (await openStore(config, log, onFatal))
    const engine = createEngine({
      store,
      cacheBytes: config.cacheMb * 1024 * 1024,
      graceMs: config.couchdbGraceMs,
      ...(config.openBuckets === undefined ? {} : { maxOpenBuckets: config.openBuckets }),
      onBackgroundError: (error) =>
        log.warn({ err: error }, 'background work failed and will be tried again'),
    })
    closers.push(() => engine.close())
    const stats = new StatsRecorder({
      engine,
      flushMs: config.statsFlushMs,
      onBackgroundError: (error) => log.warn({ err: error }, 'statistics were not written'),
    })
    // After the services, which count to the end.
    closers.push(() => stats.stop())
    const calls = new CallCount(stats)

    const pepper =
      config.pepper === undefined ? Pepper.fromFile(pepperFile(config)) : new Pepper(config.pepper)
    const keepers = createKeepers({
      pepper,
      ...(options.scrypt === undefined ? {} : { scrypt: options.scrypt }),
    })
    const liveness = new Liveness()
    closers.push(async () => liveness.stop())
    const destinations = new Destinations({ only: config.serviceAllow, setting: 'KV4_SERVICE_ALLOW' })
    const external: ServiceContext['external'] = {
      isOwn: (prefix) => bindings.byPrefix.has(prefix),
      checkUrl: (url) => destinations.check(url),
      callerKey: (host, salt) => pepper.mac('caller-key', `${salt} ${host}`).toString('base64url'),
      call: (asked) => externals.call(asked),
    }
    const hookDestinations = new Destinations({ also: config.hooksAllow, setting: 'KV4_HOOKS_ALLOW' })
    const webhookClient = new WebhookClient(hookDestinations)
    closers.push(() => webhookClient.close())
    const tokens = createTokenKeeper({ engine, pepper })
    const bans = createBans(engine)
    const banEnds = createBanEnds(bans, (error) =>
      log.warn({ err: error }, 'bans are not followed and will be looked at again'),
    )
    const accountEnds = createAccountEnds(engine, (error) =>
      log.warn({ err: error }, 'accounts are not followed and will be looked at again'),
    )
    const watching = new Watching({
      engine,
      most: config.watchMax,
      mostPerAccount: config.watchPerAccount,
    })
    const context: ServiceContext = {
      engine,
      node: config.node,
      epoch: randomUUID(),
      requireVer: config.requireVer,
      ...(config.schemasDir === undefined ? {} : { schemasDir: config.schemasDir }),
      keepers,
      tokens,
      external,
      webhooks: {
        check: (url) => hookDestinations.check(url, 'endpoint'),
        post: (call) => webhookClient.post(call),
        secret: (name) => pepper.mac('webhook-secret', name),
        retriesMs: config.hooksRetriesMs,
        timeoutMs: config.hooksTimeoutMs,
        leaseMs: config.hooksLeaseMs,
      },
      bans,
      banEnds,
      accountEnds,
      watches: new ServiceWatches({ bindings: () => bindings, engine, watching, bans, banEnds }),
      stats,
      cluster: new ClusterKey(pepper),
      dial: createDialer({ liveness, log }),
      onBackgroundError: (error) =>
        log.warn({ err: error }, "a service's background work failed and will be tried again"),
    }
    const services = (options.services ?? CATALOG).map((factory) => factory(context))
    const bindings = bind(services, engine)
    const system = await ensureSystemAccount(
      engine,
      keepers,
      config.sysSecret === undefined ? {} : { secret: config.sysSecret },
    )
    await bindings.start()
    closers.push(() => bindings.stop())
    stats.start()

    const basic = createAuthentication({
      engine,
      keepers,
      ...(options.throttle === undefined ? {} : { throttle: options.throttle }),
      onBackgroundError: (error) => log.warn({ err: error }, 'a login could not be renewed'),
    })
    const authentication = withBearerTokens(basic, tokens)
    const credentialEnds = createCredentialEnds({
      engine,
      authentication,
      onBackgroundError: (error) =>
        log.warn({ err: error }, 'credentials are not followed and will be looked at again'),
    })
    closers.push(async () => credentialEnds.stop())
    const addressOf = remoteAddressOf(config.trustProxy)
    const externals = new ExternalServices({
      engine,
      tokens,
      rules: external,
      destinations,
      addressOf,
      timeoutMs: config.serviceTimeoutMs,
      status: config.status,
      log,
    })
    closers.push(() => externals.close())
    const tunnels = new Tunnels({
      services: externals,
      authentication,
      addressOf,
      bans,
      calls,
      log,
    })
    const mounts = bindMounts({
      mounts: (options.mounts ?? MOUNTS).map((factory) => factory(context)),
      engine,
      authentication,
      addressOf,
      originOf: originOf(config.trustProxy),
      bans,
      calls,
      log,
      logins: config.mountLogins,
    })
    const { server, drain } = createHttp({
      standing: new Standing({ bans, banEnds, credentialEnds }),
      watching,
      bindings,
      mounts,
      engine,
      bans,
      addressOf,
      calls,
      idempotency: new Idempotency({
        engine,
        pepper,
        epoch: context.epoch,
        exclusive: store.features.exclusive,
        onBackgroundError: (error) => log.warn({ err: error }, 'an answer could not be kept'),
      }),
      external: externals,
      authenticate: basicAuthentication(authentication, addressOf),
      config,
      log,
      timeouts: options.timeouts,
    })
    const upgrades = createUpgrades({
      routes: services.flatMap(({ sockets = [] }) => sockets),
      otherwise: (request, socket, head) => tunnels.take(request, socket, head),
      engine,
      authentication,
      addressOf,
      origins: config.origins,
      liveness,
      log,
    })
    upgrades.attach(server)
    const connections = connectionsOf(server)
    // Who connects while the process is held up waits in this queue. Whom it has no room for the kernel leaves to knock again,
    // after longer and longer times.
    server.listen({ port: config.port, host: config.host, backlog: config.maxConnections })
    await once(server, 'listening')
    const { port, address, family } = server.address() as AddressInfo
    const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`

    closers.push(async () => {
      drain()
      upgrades.drain()
      tunnels.close()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      // A connection that was busy when `close` was called is idle once it has been answered.
      const idle = setInterval(() => server.closeIdleConnections(), 50)
      const late = setTimeout(() => server.closeAllConnections(), config.drainMs)
      await closed
      clearInterval(idle)
      clearTimeout(late)
    })

    const nodeUrl = nodeUrlOf(config, server.address() as AddressInfo)
    closers.push(() =>
      bindings.retire().catch((error: unknown) => log.warn({ err: error }, 'a service did not take leave')),
    )
    await bindings.announce({
      url: nodeUrl,
      publicUrl: publicWsUrlOf(config, nodeUrl),
      beatMs: config.hostBeatMs,
      connections: () => connections.size,
      maxConnections: config.maxConnections,
    })

    log.info(
      {
        url,
        store: config.couchdbUrl === undefined ? config.dataDir : withoutCredentials(config.couchdbUrl),
        status: config.status,
      },
      'kv4 listens',
    )
    let closing: Promise<void> | undefined
    return {
      url,
      port,
      engine,
      services,
      context,
      ...(system.generated === undefined ? {} : { generatedSecret: system.generated }),
      close: () => (closing ??= unwind()),
    }
  } catch (error) {
    await unwind()
    throw error
  }
}

/** Also for CouchDB: whoever has its databases has not the pepper. Nodes that share one CouchDB set KV4_PEPPER. */
function pepperFile(config: Config): string {
  return join(config.dataDir, 'pepper')
}

async function openStore(config: Config, log: Log, onFatal: (error: Error) => void): Promise<Store> {
  if (config.couchdbUrl !== undefined)
    return openCouchStore({ url: config.couchdbUrl, node: config.node, log })
  const directory = join(config.dataDir, 'store')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  chmodSync(directory, 0o700)
  return openEmbeddedStore({ directory, onFatal })
}

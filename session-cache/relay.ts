import { dirname, resolve } from 'node:path'
import type { RelayConfiguration } from './configuration'
import { readTierConfiguration, shapeOf, touchOf } from './configuration'
import type { Downstream } from './downstream'
import { NOTHING_BEHIND } from './downstream'
import { SessionCacheError } from './errors'
import type { FrameClient } from './frame-server'
import { LastDownstream } from './last-downstream'
import { Kv4LastTier } from './last-tier'
import type { Session } from './session'
import { SharedTable } from './shared-table'
import { SiblingPeers } from './sibling-peers'
import { SiblingProcess } from './sibling-process'
import { startSweeper } from './sweeper'
import { tableDirectory } from './table-directory'
import type { RunningTier } from './running-tier'
import type { TierLog } from './tier-log'
import { TierServer } from './tier-server'
import { TOPIC, sessionFields } from './wire'

/**
 * The middle tier. It keeps what passes, tells the other boxes, and hands on to its sibling, which stands towards the
 * relief servers, or to siblings that run elsewhere; behind all of them a KV4 account, where one is configured.
 *
 * A miss is looked for in the other boxes and behind the sibling at the same time, then once in KV4.
 */
export async function startRelay(
  configuration: RelayConfiguration,
  configurationFile: string,
  log: TierLog,
): Promise<RunningTier> {
  const base = dirname(configurationFile)
  const { cache, relay } = configuration.path_types[configuration.auth_path]!
  const table = new SharedTable(
    tableDirectory({
      ...(cache.directory === undefined ? {} : { directory: cache.directory }),
      ...(cache.token_path === undefined ? {} : { tokenPath: resolve(base, cache.token_path) }),
      seed: cache.seed,
    }),
    { shape: shapeOf(cache), ...touchOf(cache), hotBytes: 0 },
  )
  const closers: (() => Promise<void>)[] = [() => table.close()]
  async function close(): Promise<void> {
    for (const closer of closers.splice(0).reverse()) await closer()
  }

  /** `left` takes what nobody behind takes. */
  function siblings(left: (sessions: readonly Session[]) => void): Downstream {
    const file = siblingFile(relay.proc_name, base)
    if (relay.peers === undefined)
      return file === undefined
        ? NOTHING_BEHIND
        : new SiblingProcess(file, configuration.lookup_ms * 3, log, left)
    if (file !== undefined)
      throw new SessionCacheError('bad_configuration', 'relay.proc_name and relay.peers: one of both')
    return new SiblingPeers({
      peers: relay.peers,
      base,
      path: configuration.auth_path,
      recordSize: cache.record_size,
      shape: { slots: cache.el_count, seed: cache.seed },
      receiver: { life: cache.sessions_length, stamp: (key) => table.stamp(key) },
      table,
      log,
    })
  }

  try {
    const last: Downstream =
      configuration.kv4 === undefined
        ? NOTHING_BEHIND
        : new LastDownstream(new Kv4LastTier(configuration.kv4), log)
    closers.push(() => last.close())
    const left = (sessions: readonly Session[]) => {
      if (last.out(sessions) || behind === NOTHING_BEHIND) return
      log('warn', 'sessions that left were not handed on: nobody takes them', { sessions: sessions.length })
    }
    const behind = siblings(left)
    closers.push(() => behind.close())

    const out = (sessions: readonly Session[]) => {
      if (!behind.out(sessions)) left(sessions)
    }
    const server: TierServer = new TierServer({
      configuration,
      cache,
      base,
      table,
      log,
      wraps: true,
      changed(session, from, hash) {
        const fields = sessionFields(session, server.shape)
        server.publish(
          TOPIC.session,
          hash === undefined ? fields : { ...fields, hash },
          server.subscribers.of(TOPIC.session, from),
        )
        behind.changed(session)
        last.changed(session)
      },
      out,
      missed: (_, topic) => topic === TOPIC.session,
      find: coalesced(async (key: string, from: FrameClient) => {
        const found = await firstOf([
          server.ask(key, server.subscribers.of(TOPIC.need, from)),
          behind.find(key),
        ])
        return found ?? (await last.find(key))
      }),
    })
    const stopSweeper = startSweeper(table, cache, out)
    closers.push(async () => stopSweeper())
    const place = await server.listen()
    closers.push(() => server.close())
    log('info', 'listens', { tier: 'relay', ...place })
    return { tier: 'relay', ...place, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The first that is found; undefined when none is. */
async function firstOf(lookups: readonly Promise<Session | undefined>[]): Promise<Session | undefined> {
  return new Promise((resolve, reject) => {
    let left = lookups.length
    for (const lookup of lookups)
      lookup.then((session) => {
        if (session !== undefined || --left === 0) resolve(session)
      }, reject)
  })
}

/** Lookups of one key that come together are one. */
function coalesced<From>(
  find: (key: string, from: From) => Promise<Session | undefined>,
): (key: string, from: From) => Promise<Session | undefined> {
  const open = new Map<string, Promise<Session | undefined>>()
  return (key, from) => {
    let lookup = open.get(key)
    if (lookup === undefined) {
      lookup = find(key, from).finally(() => open.delete(key))
      open.set(key, lookup)
    }
    return lookup
  }
}

/** The seed names the program and its configuration; the program can only be this one. */
function siblingFile(name: string | readonly string[] | undefined, base: string): string | undefined {
  if (name === undefined) return undefined
  const [program, file] = typeof name === 'string' ? ['kv4', name] : name
  if ((program !== 'global-sessions' && program !== 'kv4') || file === undefined)
    throw new SessionCacheError('bad_configuration', 'relay.proc_name: ["global-sessions", "<file>"]')
  const path = resolve(base, file)
  // A child that cannot be a sibling would be started again and again; one that is a relay would start children itself.
  if (readTierConfiguration(path).tier !== 'sibling')
    throw new SessionCacheError('bad_configuration', `${path} is not for a sibling ("half_edge": true)`)
  return path
}

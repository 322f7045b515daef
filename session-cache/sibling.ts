import { dirname, resolve } from 'node:path'
import type { SiblingConfiguration } from './configuration'
import { shapeOf, touchOf } from './configuration'
import type { Downstream } from './downstream'
import { NOTHING_BEHIND } from './downstream'
import type { FrameClient } from './frame-server'
import { LastDownstream } from './last-downstream'
import { Kv4LastTier } from './last-tier'
import { rendezvous } from './rendezvous'
import type { RunningTier } from './running-tier'
import type { Session } from './session'
import { SharedTable } from './shared-table'
import type { FromSibling, ToSibling } from './sibling-process'
import { tableDirectory } from './table-directory'
import type { TierLog } from './tier-log'
import { TierServer } from './tier-server'
import { TOPIC, sessionFields } from './wire'

/** A relief server that was away may hold an older copy than the next one. */
const SETTLE_MS = 30

/**
 * The sibling: the relay's process towards the relief servers. It attaches to the relay's table, spreads sessions over
 * the relief servers by rendezvous hashing, `copies` of each, and asks them for what the relay does not have.
 *
 *   new session        → the `replicating` servers that it belongs to
 *   left the relay     → the `age-out` servers that it belongs to (there is none: the `replicating` ones; none: KV4,
 *                        its own or that of the relay)
 *   destroyed          → all; those who were away are told when they are back
 *   looked for         → those it belongs to; then the others, the next in rank among them had it before somebody
 *                        joined; then once in KV4. Found with the others, it goes to those it belongs to.
 */
export async function startSibling(
  configuration: SiblingConfiguration,
  configurationFile: string,
  log: TierLog,
): Promise<RunningTier> {
  const base = dirname(configurationFile)
  const { cache, copies } = configuration
  const table = new SharedTable(
    tableDirectory({
      ...(cache.directory === undefined ? {} : { directory: cache.directory }),
      ...(cache.token_path === undefined ? {} : { tokenPath: resolve(base, cache.token_path) }),
      seed: cache.seed,
    }),
    {
      ...touchOf(cache),
      hotBytes: 0,
      ...(cache.am_initializer === true ? { shape: shapeOf(cache) } : {}),
    },
  )
  const last: Downstream =
    configuration.kv4 === undefined
      ? NOTHING_BEHIND
      : new LastDownstream(new Kv4LastTier(configuration.kv4), log)

  const owners = (key: string, topic: string): { first: FrameClient[]; others: FrameClient[] } => {
    const clients = new Map(server.subscribers.of(topic).map((client) => [client.name, client]))
    const ranked = rendezvous(key, clients.keys()).map((name) => clients.get(name)!)
    return { first: ranked.slice(0, copies), others: ranked.slice(copies) }
  }
  const owned = (topic: string, session: Session) => {
    const { first } = owners(session.key, topic)
    server.publish(topic, sessionFields(session, server.shape), first)
    return first.length > 0
  }
  const out = (sessions: readonly Session[]) => {
    const left = sessions.filter((session) => !owned(TOPIC.backup, session) && !owned(TOPIC.session, session))
    // The relay may have a KV4 account where this configuration names none.
    if (left.length > 0 && !last.out(left) && hasRelay) tell({ op: 'left', sessions: left })
  }
  const changed = (session: Session) => {
    if (session.value === null) {
      const fields = sessionFields(session, server.shape)
      const told = new Set([...server.subscribers.of(TOPIC.session), ...server.subscribers.of(TOPIC.backup)])
      for (const client of told)
        server.publish(client.topics.has(TOPIC.session) ? TOPIC.session : TOPIC.backup, fields, [client])
    } else owned(TOPIC.session, session)
    last.changed(session)
  }
  const find = async (key: string, but?: FrameClient): Promise<Session | undefined> => {
    const first = new Set<FrameClient>()
    for (const topic of [TOPIC.session, TOPIC.backup])
      for (const client of owners(key, topic).first) if (client !== but) first.add(client)
    const others = server.subscribers.of(TOPIC.need, but).filter((client) => !first.has(client))
    const near = await server.ask(key, [...first], {}, SETTLE_MS)
    if (near !== undefined) return near
    const far = await server.ask(key, others, {}, SETTLE_MS)
    if (far !== undefined) {
      out([far])
      return far
    }
    const kept = await last.find(key)
    if (kept !== undefined || configuration.kv4 !== undefined) return kept
    // No KV4 of its own: one of the relief servers may have one, and one is enough to ask.
    return server.ask(key, server.subscribers.of('last_tier', but).slice(0, 1), { last: true })
  }
  const server: TierServer = new TierServer({
    configuration,
    cache,
    base,
    table,
    log,
    wraps: false,
    changed: (session) => changed(session),
    out,
    missed: (session, topic, client) =>
      session.value === null ||
      (topic === TOPIC.session && owners(session.key, topic).first.includes(client)),
    find,
  })

  let hasRelay = false
  const hear = (message: ToSibling) => {
    hasRelay = true
    switch (message.op) {
      case 'changed':
        changed(message.session)
        return
      case 'out':
        out(message.sessions)
        return
      case 'find':
        find(message.key).then(
          (session) => tell({ op: 'found', id: message.id, session: session ?? null }),
          (error: unknown) => {
            log('warn', 'a lookup failed', { error: String(error) })
            tell({ op: 'found', id: message.id, session: null })
          },
        )
        return
      default:
        message satisfies never
    }
  }
  const tell = (message: FromSibling) => {
    if (process.connected) process.send!(message, () => undefined)
  }

  try {
    const place = await server.listen()
    process.on('message', hear)
    log('info', 'listens', { tier: 'sibling', ...place })
    return {
      tier: 'sibling',
      ...place,
      async close() {
        process.off('message', hear)
        await server.close()
        await last.close()
        await table.close()
      },
    }
  } catch (error) {
    await table.close()
    throw error
  }
}

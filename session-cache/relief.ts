import { hostname } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { ReliefConfiguration } from './configuration'
import { CatchUp } from './catch-up'
import { shapeOf, touchOf } from './configuration'
import type { Downstream } from './downstream'
import { NOTHING_BEHIND } from './downstream'
import { SessionCacheError } from './errors'
import type { Frame } from './frames'
import { numberIn, textIn } from './frames'
import { heldSession } from './held'
import { LastDownstream } from './last-downstream'
import { Kv4LastTier } from './last-tier'
import { RelayClient } from './relay-client'
import type { RunningTier } from './running-tier'
import type { Session } from './session'
import { SharedTable } from './shared-table'
import { startSweeper } from './sweeper'
import { tableDirectory } from './table-directory'
import type { TierLog } from './tier-log'
import { TOPIC, isSessionKey, sessionFields, sessionIn } from './wire'

/**
 * A pressure relief server: a client of the sibling with a table of its own. `replicating` takes new sessions,
 * `age-out` takes what leaves the relay; both answer for what they hold, and say so when they do not hold it, so that
 * nobody waits. What leaves its table goes to KV4, where one is configured.
 */
export async function startRelief(
  configuration: ReliefConfiguration,
  configurationFile: string,
  log: TierLog,
): Promise<RunningTier> {
  const base = dirname(configurationFile)
  const { lru, message_relay: line } = configuration
  const { cache } = lru
  const path = line.auth_path ?? lru.auth_path ?? 'auths'
  const directory = tableDirectory({
    ...(cache.directory === undefined ? {} : { directory: cache.directory }),
    // A table of its own, also where nothing names one: a box or another relief server may stand beside it.
    tokenPath: resolve(base, cache.token_path ?? lru.token_path ?? configurationFile),
    seed: cache.seed,
  })
  const table = new SharedTable(directory, { shape: shapeOf(cache), ...touchOf(cache), hotBytes: 0 })
  const kv4 = configuration.kv4 ?? lru.kv4
  const last: Downstream = kv4 === undefined ? NOTHING_BEHIND : new LastDownstream(new Kv4LastTier(kv4), log)
  const out = (sessions: readonly Session[]) => last.out(sessions)
  const shape = { slots: cache.el_count, seed: cache.seed }

  const client = new RelayClient({ configuration: line, base, path, recordSize: cache.record_size })
  const take = (frame: Frame) => {
    const session = sessionIn(frame, { life: cache.sessions_length, stamp: (key) => table.stamp(key) })
    if (session === undefined) return
    last.changed(session)
    try {
      const put = table.put(session)
      if (put.out.length > 0) out(put.out)
    } catch (error) {
      if (!(error instanceof SessionCacheError)) throw error
      log('warn', 'a session was not taken', { error: error.code })
    }
  }
  const answer = async (frame: Frame) => {
    const key = textIn(frame, 'key') ?? textIn(frame, 'hash')
    const requester = numberIn(frame, 'requester')
    if (!isSessionKey(key) || requester === undefined) return
    let session = heldSession(table, key, textIn(frame, 'hash'), shape, 'as no use')
    if (session === undefined && frame['last'] === true) session = await last.find(key)
    // Answers that nobody may wait for any more: without an answer of their own.
    client.tell(
      `${TOPIC.known}-${requester}`,
      session === undefined || session.value === null
        ? { key, missing: true }
        : sessionFields(session, shape),
    )
  }
  const name = line.name ?? `${hostname()} ${directory}`
  const named = () => ({ name })
  const catchUp = new CatchUp(client, table)
  const back = () => ({ name, ...catchUp.away() })
  // The first subscription carries the name, before anything is spread by it.
  client.subscribe(TOPIC.need, (frame) => void answer(frame), named)
  if (line.age_or_replica === 'replicating') client.subscribe(TOPIC.session, take, back)
  else client.subscribe(TOPIC.backup, take, back)
  if (kv4 !== undefined) client.subscribe('last_tier', () => undefined, named)
  client.on('client-ready', () => log('info', 'connected', { tier: 'relief', name }))
  client.on('client-lost', (error) => log('warn', 'the line to the sibling ended', { error: error?.message }))
  const stopSweeper = startSweeper(table, cache, out)
  log('info', 'runs', { tier: 'relief', name, kind: line.age_or_replica })
  return {
    tier: 'relief',
    async close() {
      stopSweeper()
      catchUp.stop()
      await client.close()
      await last.close()
      await table.close()
    },
  }
}

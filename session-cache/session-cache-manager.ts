import { randomInt } from 'node:crypto'
import type { BoxTable, CustomLruManager, CustomLruManagerClass, Found } from './box-table'
import { CustomBoxTable, SharedBoxTable } from './box-table'
import { CatchUp } from './catch-up'
import type { LruConfiguration } from './configuration'
import { lruConfiguration, messageRelayConfiguration } from './configuration'
import { SessionCacheError } from './errors'
import type { Frame } from './frames'
import { numberIn, textIn } from './frames'
import { LastDownstream } from './last-downstream'
import { Kv4LastTier } from './last-tier'
import { LRUManager } from './lru-manager'
import { RelayClient } from './relay-client'
import type { Session } from './session'
import type { TierLog } from './tier-log'
import type { Receiver } from './wire'
import { TOPIC, isSessionKey, sessionFields, sessionIn } from './wire'

/** The first configuration of the constructor, as in the seed; `custom_lru_manager` is a class. */
export type LruConf = Readonly<Record<string, unknown>> & {
  readonly custom_lru_manager?: CustomLruManagerClass
}

/** The second one. Without it the cache is purely local. */
export type MessageRelayConf = Readonly<Record<string, unknown>>

export interface WorkQueue {
  empty_queue(): boolean
  get_work(): unknown
}

interface Unsent {
  readonly topic: string
  readonly session?: Session
}

export type KeyHandler = (key: string) => void

const UNSENT = 10_000
const GROUP = 100
const AGAIN_MS = 1000
const FIRST_LINE_MS = 1000
const KEEP_DELAY_MS = 2

/**
 * The sessions of a box, shared by its processes, with the relay behind them. The methods are the original's; what is
 * mended of them is said at each.
 *
 * Without a line to the relay everything goes on locally; what is set meanwhile is sent when the line is back, and what
 * others set meanwhile is asked for, also by the process that opens the table next.
 */
export class SessionCacheManager {
  readonly process_identifier = randomInt(1, 1_000_000)
  readonly conf: LruConf
  readonly #configuration: LruConfiguration
  readonly #box: BoxTable
  readonly #receiver: Receiver
  readonly #client: RelayClient | undefined
  readonly #catchUp: CatchUp | undefined
  readonly #last: LastDownstream | undefined
  /** What could not be told. With a session: it has left the table meanwhile; without: the table has it. */
  readonly #unsent = new Map<string, Unsent>()
  #sending = false
  #dropped = false
  #again: NodeJS.Timeout | undefined
  readonly #handlers = new Map<string, KeyHandler>()
  readonly #asking = new Map<string, Promise<Found | undefined>>()
  readonly #found: Found[] = []
  #keeping: NodeJS.Timeout | undefined
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #log: TierLog
  #closed: Promise<void> | undefined

  /** @throws bad_configuration, unsafe_directory */
  constructor(lru_conf: LruConf, message_relays?: MessageRelayConf, log: TierLog = () => undefined) {
    this.conf = lru_conf
    this.#log = log
    this.#configuration = lruConfiguration(lru_conf)
    const { cache, kv4, manage_section: manages } = this.#configuration
    const line = message_relays === undefined ? undefined : messageRelayConfiguration(message_relays)
    const path = this.#configuration.auth_path ?? line?.auth_path
    if (line !== undefined && path === undefined)
      throw new SessionCacheError('bad_configuration', 'auth_path stands in neither configuration')
    const Custom = lru_conf.custom_lru_manager
    if (Custom === undefined) {
      const manager = new LRUManager(lru_conf)
      manager.on_eviction((sessions) => this.#out(sessions))
      this.#box = new SharedBoxTable(manager)
    } else this.#box = new CustomBoxTable(new Custom(lru_conf as never), cache.el_count, cache.seed)
    this.#receiver = { life: cache.sessions_length, stamp: (key) => this.#box.stamp(key) }
    if (kv4 !== undefined) this.#last = new LastDownstream(new Kv4LastTier(kv4), log)
    this.initialize(lru_conf)
    if (line === undefined || path === undefined) return

    this.#client = new RelayClient({
      configuration: line,
      base: process.cwd(),
      path,
      recordSize: cache.record_size,
    })
    this.#client.on('client-ready', () => void this.#sendUnsent())
    this.#client.on('client-lost', (error) =>
      log('warn', 'the line to the relay ended', { error: error?.message }),
    )
    // One process of a box listens for all; the table is theirs together.
    if (manages !== false) {
      this.#catchUp = new CatchUp(
        this.#client,
        this.#box instanceof SharedBoxTable ? this.#box.manager.table : undefined,
      )
      this.#subscribe(this.#client, this.#catchUp)
    } else this.#client.subscribe(`${TOPIC.known}-${this.process_identifier}`, (frame) => this.#heard(frame))
  }

  get_LRUManager(): LRUManager | CustomLruManager {
    return this.#box.manager
  }

  /** For subclasses: called at the end of the local set-up, before there is a line. */
  initialize(_conf: LruConf): void {}

  /** For subclasses: `proc` has acknowledged that it holds the session. */
  mark_session_sent(_proc: number, _key: string): void {}

  /** For subclasses: true keeps this process from answering who looks for the session. */
  session_sent(_proc: number, _key: string): boolean {
    return false
  }

  /**
   * The text of the session, objects as their JSON; false: there is none in any tier. Looked for in the relay only when
   * this box has none; what is found there is kept here.
   */
  get(key: string): Promise<string | false> {
    let here: ReturnType<BoxTable['get']>
    try {
      here = this.#box.get(key)
    } catch {
      if (!isSessionKey(key)) return Promise.resolve(false)
      // The same again, as the promise's error.
      return this.#getBeyond(key)
    }
    // Most come to an end here, without what an async function costs.
    return typeof here === 'string' ? Promise.resolve(here) : this.#getBeyond(key, here)
  }

  async #getBeyond(key: string, here = this.#box.get(key)): Promise<string | false> {
    const value = here instanceof Promise ? await here : here
    if (value !== false) return value ?? false
    if (!isSessionKey(key)) return false
    const found = await this.#find(key)
    return found?.session.value ?? false
  }

  /**
   * Sets in this box, tells the relay, and resolves with the token when it has it; without a line, when this box has it.
   * `life` in ms instead of `sessions_length`. Mended: every process tells, not only the one that manages the section,
   * and `hash` is the token.
   * @throws bad_key, value_too_large, table_missing
   */
  async set(key: string, value: unknown, life?: number): Promise<string> {
    const session = await this.#box.set(key, value, life)
    await this.#tell(session)
    return this.#box.tokenOf(key)
  }

  /** Sets the hash of the value, and resolves with it. */
  async hash_set(key: string, value: unknown): Promise<string> {
    const hash = (await this.#box.manager.hash_set(key, value)) as string
    const session = await this.#box.session(key)
    if (session !== undefined) await this.#tell(session)
    return hash
  }

  check_hash(hash: string, value: unknown): boolean {
    return this.#box.manager.check_hash(hash, value)
  }

  /** In this box only, as in the original: the other tiers keep it, and `get` finds it there. See `destroy`. */
  delete(key: string): unknown {
    return this.#box.manager.delete(key)
  }

  /** In all tiers: nobody finds it any more, late copies included. */
  async destroy(key: string): Promise<void> {
    if (!isSessionKey(key)) throw new SessionCacheError('bad_key')
    await this.#tell(await this.#box.destroy(key))
  }

  /** `handler` is called when the session comes from another tier. One a key. */
  application_set_key_notify(key: string, handler: KeyHandler): void {
    this.#handlers.set(key, handler)
  }

  /**
   * Every `slow` ms looks into the queue, and posts what `handler` makes of each piece of work; every `fast` ms while
   * there is some.
   */
  add_message_handler(handler: (work: unknown) => Frame, queue: WorkQueue, slow = 5000, fast = 1000): void {
    const later = (ms: number) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        if (queue.empty_queue()) later(slow)
        else void drain().then(() => later(fast))
      }, ms).unref()
      this.#timers.add(timer)
    }
    const drain = async () => {
      while (!queue.empty_queue() && this.#closed === undefined)
        await this.post_message(handler(queue.get_work()))
    }
    later(slow)
  }

  /** Sends a message; `_m_path` is "session" by default. Resolves with the answer; false: there was none. */
  async post_message(message: Frame): Promise<Frame | false> {
    if (this.#client === undefined) return false
    try {
      return await this.#client.request({ _m_path: 'session', ...message })
    } catch {
      // The original sends and forgets; whoever wants to know looks at the result.
      return false
    }
  }

  client_going_down(): void {
    void this.close()
  }

  /** Ends the line and lets go of the table; what has to go to KV4 goes there first. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    clearTimeout(this.#again)
    this.#catchUp?.stop()
    await this.#client?.close()
    await this.#keepFound()
    await this.#last?.close()
    await this.#box.manager.disconnect()
  }

  #subscribe(client: RelayClient, catchUp: CatchUp): void {
    client.subscribe(
      TOPIC.session,
      (frame) => this.#heard(frame),
      () => catchUp.away(),
    )
    client.subscribe(TOPIC.need, (frame) => void this.#answer(client, frame))
    client.subscribe(`${TOPIC.known}-${this.process_identifier}`, (frame) => this.#heard(frame))
    client.subscribe(TOPIC.received, (frame) => {
      const requester = numberIn(frame, 'requester')
      const key = textIn(frame, 'key')
      if (requester !== undefined && key !== undefined) this.mark_session_sent(requester, key)
    })
  }

  #heard(frame: Frame): void {
    const session = sessionIn(frame, this.#receiver)
    if (session !== undefined) void this.#take(session, textIn(frame, 'hash'))
  }

  async #take(session: Session, hash: string | undefined): Promise<void> {
    if (this.#closed !== undefined) return
    try {
      await this.#box.take(session, hash)
    } catch (error) {
      if (!(error instanceof SessionCacheError)) throw error
      this.#log('warn', 'a session was not kept', { error: error.code })
      return
    }
    this.#handlers.get(session.key)?.(session.key)
  }

  async #answer(client: RelayClient, frame: Frame): Promise<void> {
    const key = textIn(frame, 'key')
    const requester = numberIn(frame, 'requester')
    if (!isSessionKey(key) || requester === undefined || this.session_sent(requester, key)) return
    const session = await this.#box.session(key)
    client.tell(
      `${TOPIC.known}-${requester}`,
      session === undefined || session.value === null ? { key, missing: true } : this.#fields(session),
    )
  }

  /** Lookups of one key that come together are one, and so are those that come before it is kept here. */
  #find(key: string): Promise<Found | undefined> {
    let asking = this.#asking.get(key)
    if (asking === undefined) {
      asking = this.#ask(key)
      this.#asking.set(key, asking)
      void asking.then(
        (found) => (found === undefined ? this.#asking.delete(key) : this.#keepLater(found)),
        () => this.#asking.delete(key),
      )
    }
    return asking
  }

  /** Whoever asked need not wait until it is in the table, and many go there together. */
  #keepLater(found: Found): void {
    this.#box.heard(found.session.at)
    this.#found.push(found)
    this.#keeping ??= setTimeout(() => void this.#keepFound(), KEEP_DELAY_MS)
  }

  async #keepFound(): Promise<void> {
    clearTimeout(this.#keeping)
    this.#keeping = undefined
    const found = this.#found.splice(0)
    try {
      await this.#box.takeAll(found)
    } catch (error) {
      if (!(error instanceof SessionCacheError)) throw error
      this.#log('warn', 'sessions were not kept', { error: error.code })
    } finally {
      for (const { session } of found) this.#asking.delete(session.key)
    }
    for (const { session } of found) this.#handlers.get(session.key)?.(session.key)
  }

  async #ask(key: string): Promise<Found | undefined> {
    const client = this.#client
    if (client !== undefined) {
      if (!client.ready && client.awayMs === undefined) await waitFor(client.firstAttempt(), FIRST_LINE_MS)
      try {
        const answer = await client.need(key, this.process_identifier)
        const session = textIn(answer, 'key') === key ? sessionIn(answer, this.#receiver) : undefined
        if (session !== undefined) return { session, hash: textIn(answer, 'hash') }
      } catch (error) {
        if (!(error instanceof SessionCacheError)) throw error
        this.#log('warn', 'the relay could not be asked', { error: error.code })
      }
    }
    const kept = await this.#last?.find(key)
    return kept === undefined ? undefined : { session: kept, hash: undefined }
  }

  /** false: the relay has not heard of it, and will be told again. */
  async #tell(session: Session): Promise<boolean> {
    if (session.value === null) this.#last?.changed(session)
    const client = this.#client
    if (client === undefined) return true
    if (!client.ready && client.awayMs === undefined) await waitFor(client.firstAttempt(), FIRST_LINE_MS)
    try {
      await client.publish(TOPIC.session, this.#fields(session))
      return true
    } catch (error) {
      if (!(error instanceof SessionCacheError)) throw error
      this.#keepUnsent(session.key, { topic: TOPIC.session })
      return false
    }
  }

  #out(sessions: readonly Session[]): void {
    const client = this.#client
    if (client === undefined) {
      this.#last?.out(sessions)
      return
    }
    for (const session of sessions) {
      if (client.tell(TOPIC.backup, this.#fields(session))) continue
      // Behind a line that is down KV4 may still be there; the relay hears of what it never heard of later.
      this.#last?.out([session])
      const { topic } = this.#unsent.get(session.key) ?? { topic: TOPIC.backup }
      this.#keepUnsent(session.key, { topic, session })
    }
  }

  #keepUnsent(key: string, unsent: Unsent): void {
    this.#unsent.delete(key)
    this.#unsent.set(key, unsent)
    if (this.#unsent.size > UNSENT) {
      this.#unsent.delete(this.#unsent.keys().next().value!)
      if (!this.#dropped) this.#log('warn', 'too much waits for the relay; the oldest will not be told')
      this.#dropped = true
    }
    if (this.#client?.ready === true) this.#sendAgainLater()
  }

  /** The line is up, but the relay did not answer, or too much was under way. */
  #sendAgainLater(): void {
    if (this.#again !== undefined || this.#closed !== undefined) return
    this.#again = setTimeout(() => {
      this.#again = undefined
      void this.#sendUnsent()
    }, AGAIN_MS).unref()
  }

  /** In groups, so that what is set meanwhile finds room beside them. */
  async #sendUnsent(): Promise<void> {
    if (this.#sending) return
    this.#sending = true
    try {
      while (this.#unsent.size > 0 && this.#client?.ready === true && this.#closed === undefined) {
        const group = [...this.#unsent].slice(0, GROUP)
        for (const [key] of group) this.#unsent.delete(key)
        const told = await Promise.all(group.map(([key, unsent]) => this.#sendAgain(key, unsent)))
        if (told.includes(false)) return
      }
      this.#dropped = false
    } catch (error) {
      if (!(error instanceof SessionCacheError)) throw error
      this.#log('warn', 'what was not told cannot be read', { error: error.code })
    } finally {
      this.#sending = false
    }
  }

  async #sendAgain(key: string, unsent: Unsent): Promise<boolean> {
    if (unsent.session !== undefined)
      try {
        await this.#client!.publish(unsent.topic, this.#fields(unsent.session))
        return true
      } catch (error) {
        if (!(error instanceof SessionCacheError)) throw error
        this.#keepUnsent(key, unsent)
        return false
      }
    const session = await this.#box.session(key)
    return session === undefined || this.#tell(session)
  }

  #fields(session: Session): Frame {
    const { el_count: slots, seed } = this.#configuration.cache
    return sessionFields(session, { slots, seed })
  }
}

async function waitFor(event: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([event, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))])
  clearTimeout(timer)
}

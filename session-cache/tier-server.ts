import { resolve } from 'node:path'
import type { CacheConfiguration } from './configuration'
import { limitsOf } from './configuration'
import type { RelayConfiguration, SiblingConfiguration } from './configuration'
import { SessionCacheError } from './errors'
import type { Frame } from './frames'
import { numberIn, textIn } from './frames'
import type { FrameClient } from './frame-server'
import type { Place } from './frame-server'
import { FrameServer } from './frame-server'
import { heldSession } from './held'
import { Questions } from './questions'
import type { Session } from './session'
import type { SharedTable } from './shared-table'
import { Subscribers, publication } from './subscribers'
import type { TierLog } from './tier-log'
import type { TokenShape } from './wire'
import { TOPIC, isSessionKey, sessionAnswer, sessionFields, sessionIn } from './wire'

export interface TierServerOptions {
  readonly configuration: RelayConfiguration | SiblingConfiguration
  readonly cache: CacheConfiguration
  readonly base: string
  readonly table: SharedTable
  readonly log: TierLog
  /**
   * How is answered: a relay wraps everything into `msg`, an endpoint says `state` to publications and subscriptions and
   * answers operations (`_tx_op`) with the result itself, as those of the original do.
   */
  readonly wraps: boolean
  /** A client published a session that is new here; `hash` as the client gave it. */
  changed(session: Session, from: FrameClient, hash: string | undefined): void
  /** Sessions that had to leave the table. */
  out(sessions: readonly Session[]): void
  /** Whether a client that was away has missed this session by what it subscribes to. */
  missed(session: Session, topic: string, client: FrameClient): boolean
  /** Where to look for a session that is not in the table. */
  find(key: string, from: FrameClient): Promise<Session | undefined>
}

const TOPICS = 64
const TOPIC_LENGTH = 256
const CATCH_UP_PAGE = 50
/** Lookups that may be under way; whoever asks more is told at once that nothing was found. */
const LOOKUPS = 10_000

/** What the relay and its sibling have in common: they listen, keep what passes, and answer who looks for a session. */
export class TierServer {
  readonly subscribers = new Subscribers()
  readonly questions: Questions
  readonly shape: TokenShape
  readonly path: string
  readonly #server: FrameServer
  #lookups = 0
  readonly #catchingUp = new Set<FrameClient>()

  constructor(private readonly options: TierServerOptions) {
    const { configuration, cache, base, log } = options
    this.path = configuration.auth_path
    this.shape = { slots: cache.el_count, seed: cache.seed }
    this.questions = new Questions(configuration.lookup_ms)
    this.#server = new FrameServer({
      address: configuration.address,
      port: configuration.port,
      path: configuration.uds_path === undefined ? undefined : resolve(base, configuration.uds_path),
      tls: configuration.tls,
      secret: configuration.secret,
      insecure: configuration.insecure,
      base,
      limits: limitsOf(configuration.limits, cache.record_size),
      connections: configuration.limits.connections ?? 1000,
      log,
      accept: (client) => this.subscribers.add(client),
      frame: (client, frame) => this.#hear(client, frame),
      gone: (client) => {
        this.subscribers.remove(client)
        this.questions.gone(client)
      },
    })
  }

  listen(): Promise<Place> {
    return this.#server.listen()
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  publish(topic: string, fields: Frame, to: readonly FrameClient[]): void {
    for (const client of to) client.send(publication(topic, this.path, fields))
  }

  /** Stores what another tier says; what had to leave goes downstream. false: it is known already. */
  take(session: Session): boolean {
    const { stored, out } = this.options.table.put(session)
    if (out.length > 0) this.options.out(out)
    return stored
  }

  /**
   * Asks clients that may hold a session; the answers come as `session_known-<requester>`. Of several the newest counts
   * that comes within `settleMs` after the first.
   */
  ask(
    key: string,
    clients: readonly FrameClient[],
    extra: Frame = {},
    settleMs = 0,
  ): Promise<Session | undefined> {
    return this.questions.ask(
      key,
      clients,
      (client, requester) => client.send(publication(TOPIC.need, this.path, { key, requester, ...extra })),
      settleMs,
    )
  }

  #hear(client: FrameClient, frame: Frame): void {
    try {
      if (!this.#isOnPath(frame)) this.#refuse(client, frame)
      else if (frame['_ps_op'] !== undefined) this.#publishSubscribe(client, frame)
      else if (frame['_tx_op'] !== undefined) this.#operate(client, frame)
      else this.#refuse(client, frame)
    } catch (error) {
      this.#failed(client, frame, error)
    }
  }

  /** An endpoint is the end of one path, which its messages need not name. */
  #isOnPath(frame: Frame): boolean {
    const path = frame['_m_path']
    return path === this.path || (path === undefined && !this.options.wraps)
  }

  #failed(client: FrameClient, frame: Frame, error: unknown): void {
    const code = error instanceof SessionCacheError ? error.code : 'internal'
    this.#refuse(client, frame, { error: code })
    if (code === 'internal' || code === 'table_failed')
      this.options.log('warn', 'a message was not served', { error: String(error) })
  }

  #publishSubscribe(client: FrameClient, frame: Frame): void {
    const topic = textIn(frame, 'topic')
    if (topic === undefined || topic.length > TOPIC_LENGTH) {
      this.#refuse(client, frame)
      return
    }
    switch (frame['_ps_op']) {
      case 'sub':
        this.#subscribe(client, frame, topic)
        return
      case 'unsub':
        client.topics.delete(topic)
        this.#acknowledge(client, frame)
        return
      case 'pub':
        this.#published(client, frame, topic)
        return
      default:
        this.#refuse(client, frame)
    }
  }

  #subscribe(client: FrameClient, frame: Frame, topic: string): void {
    if (client.topics.size >= TOPICS) {
      this.#refuse(client, frame)
      return
    }
    client.topics.add(topic)
    const name = textIn(frame, 'name')
    if (name !== undefined && name.length <= 128) client.name = name
    this.#acknowledge(client, frame)
    const away = numberIn(frame, 'away_ms')
    const told = topic === TOPIC.session || topic === TOPIC.backup
    if (told && away !== undefined && !this.#catchingUp.has(client)) {
      this.#catchingUp.add(client)
      this.#catchUp(client, topic, Date.now() - away)
        .catch((error: unknown) =>
          this.options.log('warn', 'a client was not told all', { error: String(error) }),
        )
        .finally(() => this.#catchingUp.delete(client))
    }
  }

  /** What was written while the client was away, so that it holds nothing that has changed meanwhile. */
  async #catchUp(client: FrameClient, topic: string, since: number): Promise<void> {
    for (const page of this.options.table.writtenSince(since, CATCH_UP_PAGE)) {
      for (const session of page) {
        if (!this.options.missed(session, topic, client)) continue
        if (!client.send(publication(topic, this.path, sessionFields(session, this.shape)))) return
        // As fast as it reads: a page alone may be more than is let wait.
        await client.drained()
      }
      // Others in between.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  #published(client: FrameClient, frame: Frame, topic: string): void {
    if (topic === TOPIC.need) {
      this.#answerNeed(client, frame)
      return
    }
    if (topic === TOPIC.session || topic === TOPIC.gone || topic === TOPIC.backup) {
      const session = this.#sessionIn(frame)
      if (session === undefined) {
        this.#refuse(client, frame)
        return
      }
      try {
        if (!this.take(session)) {
          this.#acknowledge(client, frame)
          return
        }
      } catch (error) {
        // What cannot be kept here still goes on to those who may.
        if (topic === TOPIC.backup) this.options.out([session])
        else this.options.changed(session, client, textIn(frame, 'hash'))
        throw error
      }
      // A backup is a copy that found no room: nobody else needs to hear of it.
      if (topic !== TOPIC.backup) this.options.changed(session, client, textIn(frame, 'hash'))
    } else {
      const requester = /^session_known-(\d+)$/.exec(topic)?.[1]
      const key = textIn(frame, 'key')
      if (requester !== undefined && key !== undefined)
        this.questions.heard(key, Number(requester), client, this.#sessionIn(frame))
      const rest = Object.fromEntries(
        Object.entries(frame).filter(([name]) => name !== '_ps_op' && name !== '_response_id'),
      )
      const others = this.subscribers.of(topic, client)
      for (const other of others) other.send(rest)
    }
    this.#acknowledge(client, frame)
  }

  #answerNeed(client: FrameClient, frame: Frame): void {
    const key = textIn(frame, 'key') ?? textIn(frame, 'hash')
    if (!isSessionKey(key)) {
      this.#refuse(client, frame)
      return
    }
    // What is here is answered in the same turn.
    const here = this.#held(key, textIn(frame, 'hash'))
    if (here !== undefined) this.#answerFound(client, frame, here)
    else
      this.lookup(key, client)
        .then((found) => this.#answerFound(client, frame, found))
        .catch((error: unknown) => this.#failed(client, frame, error))
  }

  #answerFound(client: FrameClient, frame: Frame, session: Session | undefined): void {
    const found = session === undefined || session.value === null ? undefined : session
    if (frame['_response_id'] !== undefined) {
      if (found === undefined) this.#refuse(client, frame)
      else this.#send(client, frame, (id) => sessionAnswer(id, found, this.shape))
      return
    }
    const requester = numberIn(frame, 'requester')
    if (requester === undefined || found === undefined) return
    client.send(publication(`${TOPIC.known}-${requester}`, this.path, sessionFields(found, this.shape)))
  }

  /** In the table, or wherever `find` finds it; then it is in the table too. A destroyed session has the value null. */
  async lookup(key: string, from: FrameClient): Promise<Session | undefined> {
    const here = this.#held(key)
    if (here !== undefined) return here
    if (this.#lookups >= LOOKUPS) return undefined
    this.#lookups++
    const found = await this.options.find(key, from).finally(() => this.#lookups--)
    if (found === undefined) return undefined
    try {
      this.take(found)
    } catch (error) {
      // It is answered all the same; it only cannot be kept here.
      if (!(error instanceof SessionCacheError)) throw error
    }
    // Somebody may have destroyed it while it was looked for.
    return this.options.table.session(key) ?? found
  }

  #held(key: string, hash?: string): Session | undefined {
    return heldSession(this.options.table, key, hash, this.shape, 'as a use')
  }

  #operate(client: FrameClient, frame: Frame): void {
    const when = Date.now()
    const result = (status: 'OK' | 'ERR', explain: string, data?: unknown) => {
      this.#performed(client, frame, { status, ...(data === undefined ? {} : { data }), explain, when })
    }
    const key = textIn(frame, 'key') ?? textIn(frame, 'hash')
    switch (frame['_tx_op']) {
      case 'G': {
        if (!isSessionKey(key)) {
          result('ERR', 'get')
          return
        }
        this.lookup(key, client).then(
          (session) => {
            if (session === undefined || session.value === null) result('ERR', 'get')
            else result('OK', 'get', session.value)
          },
          (error: unknown) => this.#failed(client, frame, error),
        )
        return
      }
      case 'S': {
        const session = this.#sessionIn(frame)
        if (session === undefined) {
          result('ERR', 'op performed')
          return
        }
        const known = this.options.table.session(session.key)
        const lives = known !== undefined && known.value !== null
        const refused = frame['_user_op'] === 'create' ? lives : frame['_user_op'] === 'update' && !lives
        if (refused) {
          result('ERR', 'op performed')
          return
        }
        if (this.take(session)) this.options.changed(session, client, undefined)
        result('OK', 'op performed')
        return
      }
      case 'D': {
        if (!isSessionKey(key)) {
          result('ERR', 'op performed')
          return
        }
        this.options.changed(this.options.table.destroy(key), client, undefined)
        result('OK', 'op performed')
        return
      }
      case 'C': {
        const operation = textIn(frame, '_exec_op')
        if (operation?.startsWith('test') === true) {
          result('OK', 'op performed')
          return
        }
        if (operation !== 'evictions' && operation !== 'evictions-forward') {
          result('ERR', 'op performed')
          return
        }
        const most = Math.trunc(
          Math.max(0, Math.min(numberIn(frame, 'reduced_max') ?? this.options.cache.max_evictions, 10_000)),
        )
        const gone = this.options.table.evict(most, numberIn(frame, 'time_shift') ?? 0)
        // Without `forward` the one who asks takes them over.
        if (operation === 'evictions-forward') this.options.out(gone)
        result(
          'OK',
          'op performed',
          operation === 'evictions' ? gone.map((session) => sessionFields(session, this.shape)) : gone.length,
        )
        return
      }
      default:
        result('ERR', 'op performed')
    }
  }

  #sessionIn(frame: Frame): Session | undefined {
    const { table } = this.options
    const session = sessionIn(frame, {
      life: table.shape.sessionsLength,
      stamp: (key) => table.stamp(key),
    })
    if (session?.value !== null || frame['topic'] === TOPIC.gone || frame['topic'] === TOPIC.session)
      return session
    return undefined
  }

  #acknowledge(client: FrameClient, frame: Frame): void {
    this.#reply(client, frame, this.options.wraps ? { msg: 'OK' } : { state: 'OK' })
  }

  #refuse(client: FrameClient, frame: Frame, why: Frame = {}): void {
    if (this.options.wraps) this.#reply(client, frame, { msg: 'ERROR', ...why })
    else if (frame['_ps_op'] !== undefined) this.#reply(client, frame, { state: 'ERR', ...why })
    else this.#performed(client, frame, { status: 'ERR', explain: 'op performed', when: Date.now(), ...why })
  }

  /** The result of an operation; an endpoint of the original writes `_response_id` behind it. */
  #performed(client: FrameClient, frame: Frame, result: Frame): void {
    if (this.options.wraps) this.#reply(client, frame, { msg: result })
    else this.#send(client, frame, (id) => ({ ...result, _response_id: id }))
  }

  #reply(client: FrameClient, frame: Frame, fields: Frame): void {
    this.#send(client, frame, (id) => ({ _response_id: id, ...fields }))
  }

  /** `_response_id` as it came; a message without one wants no answer. */
  #send(client: FrameClient, frame: Frame, answer: (id: number | string) => Frame): void {
    const id = frame['_response_id']
    if (typeof id === 'number' || typeof id === 'string') client.send(answer(id))
  }
}

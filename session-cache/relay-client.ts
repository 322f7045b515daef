import { EventEmitter } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { resolve } from 'node:path'
import type { MessageRelayConfiguration } from './configuration'
import { limitsOf } from './configuration'
import { SessionCacheError } from './errors'
import type { Frame } from './frames'
import { textIn } from './frames'
import { FramedConnection } from './framed-connection'
import { clientTls } from './tls-files'
import { TOPIC } from './wire'

export interface RelayClientOptions {
  readonly configuration: MessageRelayConfiguration
  /** Files of the configuration are looked for from here. */
  readonly base: string
  readonly path: string
  /** Of the values that are to pass; the default limit on frames comes from it. */
  readonly recordSize: number
}

export interface RelayClientEvents {
  'client-ready': [address: string, port: number | string]
  /** Why the line ended or could not be made; it is tried again. */
  'client-lost': [error: Error | undefined]
}

type Handler = (frame: Frame) => void

interface Pending {
  resolve(frame: Frame): void
  reject(error: Error): void
  /** performance.now() at which it is given up. */
  readonly until: number
}

const CONNECT_MS = 5000
const FIRST_WAIT_MS = 100
const READ_BYTES = 64 * 1024
/** So many times the time that an answer may take, nothing heard: the line is made anew. */
const SILENT_TIMEOUTS = 3

interface Subscription {
  readonly handler: Handler
  /** Fields that a renewed subscription carries beside the topic, asked for each time. */
  readonly extra: () => Frame
}

/**
 * The line from a client to a relay, or from a relief server to the sibling. It makes itself anew when it ends,
 * subscribes again, and says so by `client-ready`.
 *
 *   connecting --socket up--> [say the secret] --> ready --socket down--> waiting --> connecting
 *
 * The wait is 100 ms, and doubles until something is heard.
 */
export class RelayClient extends EventEmitter<RelayClientEvents> {
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #pending = new Map<number, Pending>()
  #connection: FramedConnection | undefined
  #ready = false
  #wait = FIRST_WAIT_MS
  #again: NodeJS.Timeout | undefined
  #watch: NodeJS.Timeout | undefined
  #slot = 0
  #lostAt: number | undefined
  #heardAt = 0
  #upAt = 0
  #closed = false
  #settled: () => void = () => undefined
  readonly #firstAttempt: Promise<void>

  constructor(private readonly options: RelayClientOptions) {
    super()
    this.#firstAttempt = new Promise((resolve) => (this.#settled = resolve))
    // A constructor's caller may still want to listen.
    queueMicrotask(() => this.#connect())
  }

  get ready(): boolean {
    return this.#ready
  }

  /** Resolves when the first attempt to connect has come to an end, good or bad. */
  firstAttempt(): Promise<void> {
    return this.#firstAttempt
  }

  /** How long the line is up, ms; 0: it is not. */
  get upMs(): number {
    return this.#ready ? performance.now() - this.#upAt : 0
  }

  /** When something was heard last, unix ms; of a line that is up. */
  get heardAt(): number {
    return Date.now() - (performance.now() - this.#heardAt)
  }

  /** How long nothing was heard before the line came back, ms; undefined: this is the first line. */
  get awayMs(): number | undefined {
    return this.#lostAt === undefined ? undefined : Date.now() - this.#lostAt
  }

  /** One handler a topic; it lasts over reconnects. */
  subscribe(topic: string, handler: Handler, extra: () => Frame = () => ({})): void {
    this.#subscriptions.set(topic, { handler, extra })
    if (this.#ready) this.#sendSubscription(topic, extra())
  }

  /** Resolves with the whole answer. @throws not_connected, timeout, too_many_pending */
  publish(topic: string, message: Frame): Promise<Frame> {
    return this.request({ ...message, _ps_op: 'pub', topic, _m_path: this.options.path })
  }

  request(message: Frame): Promise<Frame> {
    return this.#ask((id) => ({ ...message, _response_id: id }))
  }

  /** Asks for a session; `requester`: who wants to know. Resolves and throws as `publish`. */
  need(key: string, requester: number): Promise<Frame> {
    const { path } = this.options
    // Field by field: to copy the fields of another object takes longer than all the rest here.
    return this.#ask((id) => ({
      key,
      requester,
      _ps_op: 'pub',
      topic: TOPIC.need,
      _m_path: path,
      _response_id: id,
    }))
  }

  #ask(question: (id: number) => Frame): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const connection = this.#connection
      if (!this.#ready || connection === undefined) {
        reject(new SessionCacheError('not_connected'))
        return
      }
      const id = this.#freeSlot()
      if (id === undefined) {
        reject(new SessionCacheError('too_many_pending'))
        return
      }
      // First of all: the rest is done while the relay works.
      connection.send(question(id))
      const { timeout_ms: wait } = this.options.configuration
      this.#pending.set(id, { resolve, reject, until: performance.now() + wait })
      // One timer for all that wait: a timer each would cost more than the rest of a request.
      this.#watch ??= setInterval(() => this.#giveUp(), Math.max(10, wait / 8)).unref()
    })
  }

  /** Without an answer. false: there is no line. */
  tell(topic: string, message: Frame): boolean {
    if (!this.#ready || this.#connection === undefined) return false
    return this.#connection.send({ ...message, _ps_op: 'pub', topic, _m_path: this.options.path })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#again)
    clearInterval(this.#watch)
    this.#settled()
    const socket = this.#connection?.socket
    if (socket === undefined || socket.destroyed) return
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => socket.destroy(), 500)
      socket.once('close', () => {
        clearTimeout(late)
        resolve()
      })
      // What was written gets out.
      socket.end()
    })
  }

  #connect(): void {
    if (this.#closed) return
    const { configuration, base, recordSize } = this.options
    const { address, port, uds_path, tls, secret } = configuration
    const path = uds_path === undefined ? undefined : resolve(base, uds_path)
    let socket: Socket
    let up: string
    try {
      if (tls === undefined || tls === false) {
        // Into one buffer, without a stream in between: an answer waits for less.
        const onread = {
          buffer: Buffer.allocUnsafeSlow(READ_BYTES),
          callback: (bytes: number, buffer: Uint8Array) => {
            connection.read((buffer as Buffer).subarray(0, bytes))
            return true
          },
        }
        socket = connect(path === undefined ? { port, host: address, onread } : { path, onread })
        up = 'connect'
      } else {
        socket = connectTls({
          ...(path === undefined ? { port, host: address } : { path }),
          ...clientTls(tls, base),
        })
        up = 'secureConnect'
      }
    } catch (error) {
      this.#over(error as Error)
      return
    }
    const connection = new FramedConnection(
      socket,
      { ...limitsOf(configuration.limits, recordSize), framesPerSecond: 0 },
      { frame: (frame) => this.#receive(frame), end: (error) => this.#over(error) },
    )
    this.#connection = connection
    const late = setTimeout(() => connection.destroy(new SessionCacheError('timeout')), CONNECT_MS)
    socket.once('close', () => clearTimeout(late))
    socket.once(up, () => {
      clearTimeout(late)
      this.#ready = true
      this.#upAt = this.#heardAt = performance.now()
      if (secret !== undefined) connection.send({ _ps_op: 'auth', secret })
      for (const [topic, { extra }] of this.#subscriptions) this.#sendSubscription(topic, extra())
      this.emit('client-ready', path ?? address, path === undefined ? port : 'UDS')
      this.#settled()
    })
  }

  #sendSubscription(topic: string, extra: Frame): void {
    this.request({ ...extra, _ps_op: 'sub', topic, _m_path: this.options.path }).catch(() => {
      // Not answered: the line is lost, and the next one subscribes again; or it is slow, and answers later.
    })
  }

  #receive(frame: Frame): void {
    this.#heardAt = performance.now()
    // Not before: whoever is not let in learns it only when the line is up.
    this.#wait = FIRST_WAIT_MS
    const id = frame['_response_id']
    if (typeof id === 'number') {
      const pending = this.#pending.get(id)
      if (pending === undefined) return
      this.#pending.delete(id)
      pending.resolve(frame)
      return
    }
    const topic = textIn(frame, 'topic')
    if (topic === undefined || frame['_m_path'] !== this.options.path) return
    this.#subscriptions.get(topic)?.handler(frame)
  }

  #over(error: Error | undefined): void {
    // From when on something may have been missed, which is before the end was noticed.
    if (this.#ready) this.#lostAt = this.heardAt
    this.#ready = false
    this.#connection = undefined
    this.#settled()
    for (const pending of this.#pending.values())
      pending.reject(new SessionCacheError('not_connected', undefined, error))
    this.#pending.clear()
    if (this.#closed) return
    this.emit('client-lost', error)
    // Not all clients of a relay that comes back at the same moment.
    this.#again = setTimeout(() => this.#connect(), this.#wait * (0.5 + Math.random() / 2))
    this.#wait = Math.min(this.options.configuration.reconnect_ms, this.#wait * 2)
  }

  #giveUp(): void {
    const now = performance.now()
    for (const [id, pending] of this.#pending) {
      if (pending.until > now) continue
      this.#pending.delete(id)
      pending.reject(new SessionCacheError('timeout'))
    }
    // A relay that is gone without a word: the next line may lead to one that is there.
    const silence = SILENT_TIMEOUTS * this.options.configuration.timeout_ms
    if (this.#ready && now - this.#heardAt > silence)
      this.#connection?.destroy(new SessionCacheError('timeout', 'nothing was heard'))
    if (this.#pending.size > 0) return
    clearInterval(this.#watch)
    this.#watch = undefined
  }

  #freeSlot(): number | undefined {
    const { max_pending: most } = this.options.configuration
    if (this.#pending.size >= most) return undefined
    while (this.#pending.has(this.#slot)) this.#slot = (this.#slot + 1) % most
    const slot = this.#slot
    this.#slot = (slot + 1) % most
    return slot
  }
}

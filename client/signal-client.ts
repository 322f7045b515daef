import { requestHost, requestToken, type Gateway } from './gateway'
import { Listeners, type SignalEvents } from './signal-events'
import { read, write } from './signal-frames'
import { webSocketClass, type WebSocketClass, type WebSocketLike } from './web-socket'

/** Where to connect, and with what; asked again before each connection. */
export interface SignalAccess {
  /** Base of the websocket's URL, as `_host` tells it: `wss://signal.example.com/ws`. */
  host(): Promise<string>
  token(): Promise<string>
}

export interface SignalOptions {
  /** Come back when the connection is lost. Default true. */
  readonly reconnect?: boolean
  /** Instead of the platform's own. */
  readonly WebSocket?: WebSocketClass
}

const FIRST_PAUSE_MS = 160
const LONGEST_PAUSE_MS = 10_000
/** The server closes so for good: the token is no good, or the user was kicked. */
const FINAL = new Set([4001, 4003])
const CLOSED_HERE = 1000
const TOKEN_SECONDS = 60

/**
 * A user in a room of the platform, from a browser or Node.
 *
 *     idle ─open()─► connecting ─► open ─lost─► waiting (160 ms, doubling to 10 s) ─► connecting
 *                        └──── refused, kicked, close() ────► closed
 */
export class SignalClient {
  readonly #access: SignalAccess
  readonly #options: SignalOptions
  readonly #listeners = new Listeners()
  #socket: WebSocketLike | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #pause = FIRST_PAUSE_MS
  #isIn = false
  #ended = false

  constructor(access: SignalAccess, options: SignalOptions = {}) {
    this.#access = access
    this.#options = options
  }

  /** For programs that may know the account's secret: tokens come straight from the platform. */
  static of(gateway: Gateway, channel: string, user: string, options?: SignalOptions): SignalClient {
    return new SignalClient(
      {
        host: () => requestHost(gateway, channel, user),
        token: () => requestToken(gateway, channel, user, TOKEN_SECONDS),
      },
      options,
    )
  }

  /** @returns ends the listening */
  on<Name extends keyof SignalEvents>(name: Name, listener: (event: SignalEvents[Name]) => void): () => void {
    return this.#listeners.add(name, listener)
  }

  /** Resolves with who is there. Rejects when the first connection does not come about; then nothing is tried again. */
  async open(): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      const ends = [
        this.on('peers', (peers) => settle(() => resolve(peers))),
        this.on('closed', ({ code, reason }) => settle(() => reject(new Error(`closed: ${code} ${reason}`)))),
      ]
      const settle = (act: () => void) => {
        for (const end of ends) end()
        act()
      }
      this.#connect().catch((error: unknown) => {
        this.#ended = true
        settle(() => reject(error instanceof Error ? error : new Error(String(error))))
      })
    })
  }

  /**
   * To a user, or to everybody else in the room. What the platform cannot deliver is lost without a word.
   * @throws Error while there is no connection
   */
  send(
    payload: unknown,
    { to, operation = 'message' }: { readonly to?: string; readonly operation?: string } = {},
  ): void {
    if (!this.#isIn) throw new Error('not connected')
    this.#socket!.send(write(payload, operation, to))
  }

  close(): void {
    if (this.#ended) return
    clearTimeout(this.#timer)
    if (this.#socket === undefined) this.#end(CLOSED_HERE, '')
    else {
      this.#ended = true
      this.#socket.close(CLOSED_HERE)
    }
  }

  async #connect(): Promise<void> {
    const WebSocket = this.#options.WebSocket ?? (await webSocketClass())
    const [host, token] = await Promise.all([this.#access.host(), this.#access.token()])
    if (this.#ended) return
    const socket = new WebSocket(`${host.replace(/\/+$/, '')}/v2/${token}?gaps=1`)
    this.#socket = socket
    socket.onmessage = ({ data }) => this.#heard(String(data))
    // A close follows.
    socket.onerror = () => undefined
    socket.onclose = ({ code, reason }) => this.#lost(code, reason)
  }

  #heard(frame: string): void {
    const told = read(frame)
    if (told === undefined) return
    if (told.name === 'peers') {
      this.#isIn = true
      this.#pause = FIRST_PAUSE_MS
    }
    this.#listeners.tell(told.name, told.value)
  }

  #lost(code: number, reason: string): void {
    const wasIn = this.#isIn
    this.#socket = undefined
    this.#isIn = false
    if (this.#ended || FINAL.has(code) || this.#options.reconnect === false) {
      this.#end(code, reason)
      return
    }
    if (wasIn) this.#listeners.tell('gap', undefined)
    this.#tryAgain()
  }

  #tryAgain(): void {
    this.#timer = setTimeout(() => {
      this.#connect().catch(() => {
        if (!this.#ended) this.#tryAgain()
      })
    }, this.#pause)
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS)
  }

  #end(code: number, reason: string): void {
    this.#ended = true
    this.#listeners.tell('closed', { code, reason })
  }
}

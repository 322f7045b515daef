import type { WebSocket } from 'ws'

/** Each socket is asked this often, and has as long to answer. */
const INTERVAL_MS = 30_000
const SLOTS = 30

/**
 * Pings every socket each 30 s and cuts the connections that did not answer the ping before. Sockets are spread over the
 * interval, so that ten thousand of them are not asked in one go.
 */
export class Liveness {
  readonly #slots = Array.from({ length: SLOTS }, () => new Set<WebSocket>())
  readonly #silent = new WeakSet<WebSocket>()
  readonly #timer: NodeJS.Timeout
  #turn = 0
  #next = 0

  constructor(intervalMs = INTERVAL_MS) {
    this.#timer = setInterval(() => this.#ask(this.#slots[this.#turn++ % SLOTS]!), intervalMs / SLOTS).unref()
  }

  add(socket: WebSocket): void {
    const slot = this.#slots[this.#next++ % SLOTS]!
    slot.add(socket)
    socket.on('pong', () => this.#silent.delete(socket))
    socket.once('close', () => slot.delete(socket))
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #ask(slot: ReadonlySet<WebSocket>): void {
    for (const socket of slot) {
      // What is not read has its answer waiting unread, perhaps.
      if (socket.isPaused) continue
      if (this.#silent.has(socket)) socket.terminate()
      else {
        this.#silent.add(socket)
        socket.ping()
      }
    }
  }
}

import type { Socket, SocketDialer, SocketListener } from '../../../services/socket'

/** One side of a connection. What it sends waits until the wire passes it on. */
class End implements Socket {
  readonly sent: Buffer[] = []
  listener: SocketListener = {}
  isPaused = false

  constructor(private readonly connection: Connection) {}

  send(frame: string | Buffer): void {
    if (this.connection.isOpen) this.sent.push(Buffer.from(frame))
  }

  close(code: number): void {
    this.connection.end(code)
  }

  terminate(): void {
    this.connection.end(1006)
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  get waiting(): number {
    return this.sent.reduce((sum, { length }) => sum + length, 0)
  }
}

class Connection {
  isOpen = true
  readonly dialled = new End(this)
  readonly answered = new End(this)

  /** What is on its way is lost. */
  end(code: number): void {
    if (!this.isOpen) return
    this.isOpen = false
    for (const { listener } of [this.dialled, this.answered]) listener.closed?.(code)
  }

  /** Passes the oldest frame on. false: there is none, or its reader has paused. */
  pass(from: End, to: End): boolean {
    if (!this.isOpen || to.isPaused) return false
    const frame = from.sent.shift()
    if (frame === undefined) return false
    to.listener.message?.(frame)
    return true
  }
}

/** Connections to one listener, in memory, that break when they are told to. */
export class Wire {
  connection: Connection | undefined
  dialled = 0
  /** Nobody answers. */
  isDown = false
  readonly headers: (Readonly<Record<string, string>> | undefined)[] = []

  constructor(private readonly listenerOf: () => SocketListener) {}

  readonly dial: SocketDialer = (_url, listener, options) => {
    this.dialled++
    this.headers.push(options?.headers)
    setImmediate(() => {
      if (this.isDown) {
        listener.closed?.(1006)
        return
      }
      const connection = new Connection()
      this.connection = connection
      connection.dialled.listener = listener
      connection.answered.listener = this.listenerOf()
      connection.answered.listener.open?.(connection.answered)
      listener.open?.(connection.dialled)
    })
  }

  cut(): void {
    this.connection?.end(1006)
  }

  /** To the listener. */
  forth(): boolean {
    const { connection } = this
    return connection?.pass(connection.dialled, connection.answered) ?? false
  }

  back(): boolean {
    const { connection } = this
    return connection?.pass(connection.answered, connection.dialled) ?? false
  }
}

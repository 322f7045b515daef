import WebSocket from 'ws'
import type { ClientOptions } from 'ws'

/** A plain websocket client, as those of the contract are: it knows the URL and text frames. */
export class Peer {
  readonly frames: string[] = []
  readonly #ws: WebSocket
  readonly #wakers = new Set<() => void>()
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  #code: number | undefined

  constructor(url: string, options: ClientOptions = {}) {
    this.#ws = new WebSocket(url, { perMessageDeflate: false, ...options })
    this.#ws.on('message', (data, isBinary) => {
      this.frames.push(isBinary ? '(binary)' : (data as Buffer).toString('utf8'))
      this.#wake()
    })
    this.#ws.on('error', () => undefined)
    this.closed = new Promise((resolve) =>
      this.#ws.once('close', (code, reason) => {
        this.#code = code
        this.#wake()
        resolve({ code, reason: reason.toString() })
      }),
    )
  }

  /** Once it is in: the server has told who is there. */
  static async in(url: string, options?: ClientOptions): Promise<Peer> {
    const peer = new Peer(url, options)
    await peer.seen((frames) => frames.length > 0)
    return peer
  }

  get socket(): WebSocket {
    return this.#ws
  }

  send(frame: string | object | Buffer): void {
    this.#ws.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  }

  /** What has arrived, forgotten from now on. */
  take(): string[] {
    return this.frames.splice(0)
  }

  /** Waits for frames that are as wanted, and takes all that have arrived. */
  async until(wanted: (frames: readonly string[]) => boolean, timeoutMs?: number): Promise<string[]> {
    await this.seen(wanted, timeoutMs)
    return this.take()
  }

  /** Waits for frames that are as wanted. */
  async seen(wanted: (frames: readonly string[]) => boolean, timeoutMs = 10_000): Promise<void> {
    const end = Date.now() + timeoutMs
    while (!wanted(this.frames)) {
      if (this.#code !== undefined)
        throw new Error(`closed (${this.#code}) with ${JSON.stringify(this.frames)}`)
      const left = end - Date.now()
      if (left <= 0)
        throw new Error(`not within ${timeoutMs} ms: ${JSON.stringify(this.frames.slice(0, 20))}`)
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer)
          this.#wakers.delete(done)
          resolve()
        }
        const timer = setTimeout(done, left)
        this.#wakers.add(done)
      })
    }
  }

  /** The next so many frames. */
  next(count = 1): Promise<string[]> {
    return this.until((frames) => frames.length >= count)
  }

  async close(): Promise<void> {
    this.#ws.close()
    await this.closed
  }

  terminate(): void {
    this.#ws.terminate()
  }

  #wake(): void {
    for (const waker of [...this.#wakers]) waker()
  }
}

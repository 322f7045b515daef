import type { Socket } from 'node:net'
import { SessionCacheError } from './errors'
import type { Frame } from './frames'
import { FrameReader, encodeFrame } from './frames'

export interface ConnectionLimits {
  /** Bytes of one frame at most. */
  readonly frameBytes: number
  /** Frames that are read in a second; what is more waits in the sender. 0: as many as come. */
  readonly framesPerSecond: number
  /** Bytes that wait for a slow reader at most; then the connection ends. */
  readonly backlogBytes: number
}

export interface ConnectionEvents {
  frame(frame: Frame): void
  /** Once. error: why, when it was not the other end's wish. */
  end(error: Error | undefined): void
}

const MAX_DEPTH = 64
const KEEP_ALIVE_MS = 30_000

/** A socket that speaks frames. A malformed frame, a frame too large and a reader too slow end it, and nothing else. */
export class FramedConnection {
  readonly #reader: FrameReader
  #tokens: number
  #refilled = performance.now()
  #resume: NodeJS.Timeout | undefined
  #error: Error | undefined
  #ended = false

  constructor(
    readonly socket: Socket,
    private readonly limits: ConnectionLimits,
    private readonly events: ConnectionEvents,
  ) {
    this.#reader = new FrameReader({ bytes: limits.frameBytes, depth: MAX_DEPTH })
    this.#tokens = limits.framesPerSecond
    socket.setNoDelay(true)
    // The other machine may go without a word.
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    socket.on('data', (chunk: Buffer) => this.read(chunk))
    socket.on('error', (error) => (this.#error ??= error))
    socket.on('end', () => socket.end())
    socket.on('close', () => {
      clearTimeout(this.#resume)
      this.#ended = true
      events.end(this.#error)
    })
  }

  get open(): boolean {
    return !this.#ended && this.socket.writable
  }

  /** false: the connection is over. */
  send(frame: Frame): boolean {
    return this.sendText(encodeFrame(frame))
  }

  /** One or several frames as they go over the wire. */
  sendText(text: string): boolean {
    if (!this.open) return false
    if (this.socket.writableLength + text.length > this.limits.backlogBytes) {
      this.destroy(new SessionCacheError('closed', 'the other end reads too slowly'))
      return false
    }
    this.socket.write(text)
    return true
  }

  /** Resolves when what was sent is on its way, or the connection is over. */
  async drained(): Promise<void> {
    const { socket } = this
    if (!this.open || !socket.writableNeedDrain) return
    await new Promise<void>((resolve) => {
      const done = () => {
        socket.off('drain', done)
        socket.off('close', done)
        resolve()
      }
      socket.on('drain', done)
      socket.on('close', done)
    })
  }

  destroy(error?: Error): void {
    this.#error ??= error
    this.socket.destroy()
  }

  /** What the socket does not tell by `data`, since it was made to read into a buffer of its own. */
  read(chunk: Buffer): void {
    let frames: Frame[]
    try {
      frames = this.#reader.push(chunk)
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    for (const frame of frames) {
      if (this.#ended || this.socket.destroyed) return
      this.events.frame(frame)
    }
    if (this.limits.framesPerSecond > 0) this.#spend(frames.length)
  }

  #spend(frames: number): void {
    const { framesPerSecond } = this.limits
    const now = performance.now()
    this.#tokens = Math.min(framesPerSecond, this.#tokens + ((now - this.#refilled) / 1000) * framesPerSecond)
    this.#refilled = now
    this.#tokens -= frames
    if (this.#tokens >= 0 || this.#resume !== undefined) return
    this.socket.pause()
    this.#resume = setTimeout(
      () => {
        this.#resume = undefined
        this.socket.resume()
      },
      Math.ceil((-this.#tokens / framesPerSecond) * 1000),
    )
  }
}

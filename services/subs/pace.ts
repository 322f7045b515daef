import type { Socket } from '../socket'

/** Of messages, which cost as much as the room is large. */
const MESSAGES_PER_SECOND = 100
const MESSAGES_AT_ONCE = 300
const BYTES_PER_SECOND = 512 * 1024
const BYTES_AT_ONCE = 2 * 1024 * 1024
/** Of frames of any kind: a known client sends `ping` a thousand times a second, and its peers may do more. */
const FRAMES_PER_SECOND = 5_000
const FRAMES_AT_ONCE = 20_000
/** The clock is asked once for so many frames. */
const FRAMES_BETWEEN = 64
const SHORTEST_PAUSE_MS = 20

/** What a credit of one kind is: it fills with time up to a most, and may be overdrawn once. */
class Credit {
  #left: number
  #at: number

  constructor(
    private readonly perSecond: number,
    private readonly most: number,
    now: number,
  ) {
    this.#left = most
    this.#at = now
  }

  /** ms until there is credit again; 0: there is. */
  take(amount: number, now: number): number {
    this.#left = Math.min(this.most, this.#left + ((now - this.#at) * this.perSecond) / 1000) - amount
    this.#at = now
    return this.#left >= 0 ? 0 : (-this.#left * 1000) / this.perSecond
  }
}

/**
 * Slows a connection that sends more than its share by not reading it for a while: nothing is lost and nobody is
 * disconnected, what is too much waits at the sender. Keep-alives count as frames only.
 */
export class Pace {
  readonly #frames: Credit
  readonly #messages: Credit
  readonly #bytes: Credit
  #uncounted = 0
  #until = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    private readonly socket: Pick<Socket, 'pause' | 'resume'>,
    private readonly now: () => number = () => performance.now(),
  ) {
    const at = now()
    this.#frames = new Credit(FRAMES_PER_SECOND, FRAMES_AT_ONCE, at)
    this.#messages = new Credit(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE, at)
    this.#bytes = new Credit(BYTES_PER_SECOND, BYTES_AT_ONCE, at)
  }

  keepAlive(): void {
    if (++this.#uncounted < FRAMES_BETWEEN) return
    this.#pause(this.#frames.take(this.#uncounted, this.now()))
    this.#uncounted = 0
  }

  message(bytes: number): void {
    const now = this.now()
    this.#pause(Math.max(this.#messages.take(1, now), this.#bytes.take(bytes, now)))
    this.keepAlive()
  }

  end(): void {
    clearTimeout(this.#timer)
  }

  #pause(ms: number): void {
    if (ms === 0) return
    // What was read already goes on arriving, and makes it longer.
    this.#until = Math.max(this.#until, this.now() + ms)
    if (this.#timer !== undefined) return
    this.socket.pause()
    this.#wait()
  }

  #wait(): void {
    this.#timer = setTimeout(
      () => {
        if (this.now() < this.#until) {
          this.#wait()
          return
        }
        this.#timer = undefined
        this.socket.resume()
      },
      Math.max(SHORTEST_PAUSE_MS, this.#until - this.now()),
    )
  }
}

import type { ServerResponse } from 'node:http'
import { Kv4Error } from '../core'

export interface StreamOptions<Part> {
  /** What is sent of a part. Absent: the part, which is text. */
  readonly text?: (part: Part) => string
  /** What a silent stream sends, so that proxies keep the connection and the dead are noticed. Absent: nothing. */
  readonly beat?: () => string
  /**
   * Whoever reads goes on elsewhere from where this ends, so that a server that drains ends it. Absent: it has an end of its
   * own, without which it is not whole, so that it may come to it as long as the connection is left.
   */
  readonly resumable?: boolean
}

export interface OpenStreamsOptions {
  /** Silence after which a stream shows that it is alive, ms. */
  readonly beatMs: number
  /** How long a reader may leave what was sent untaken, ms. */
  readonly stallMs: number
}

const DEFAULTS: OpenStreamsOptions = { beatMs: 15_000, stallMs: 10_000 }

/** One answer that goes on. */
class OpenStream {
  wroteAt = performance.now()
  /** Since when the reader has not taken what was sent; undefined: he has. */
  blockedAt: number | undefined
  #closed = false
  #settle: ((nothing: undefined) => void) | undefined
  #fail: ((error: unknown) => void) | undefined

  constructor(
    readonly response: ServerResponse,
    readonly beat: (() => string) | undefined,
    readonly resumable: boolean,
  ) {
    this.#closed = response.closed
    response.once('close', () => {
      this.#closed = true
      this.#settle?.(undefined)
    })
  }

  /** What the promise comes to; undefined once the caller has gone. Leaves nothing behind on what lives longer. */
  until<Value>(promise: Promise<Value>): Promise<Value | undefined> {
    if (this.#closed) {
      promise.catch(() => undefined)
      return Promise.resolve(undefined)
    }
    return new Promise((resolve, reject) => {
      this.#settle = resolve
      this.#fail = reject
      promise.then(resolve, reject)
    })
  }

  async write(text: string): Promise<void> {
    const { response } = this
    this.wroteAt = performance.now()
    if (response.write(text)) return
    this.blockedAt = this.wroteAt
    await this.until(new Promise((resolve) => response.once('drain', () => resolve(true))))
    this.blockedAt = undefined
  }

  drop(): void {
    this.#fail?.(new Kv4Error('reader_too_slow'))
  }
}

/** Answers that go on. A server that drains ends those whose clients resume elsewhere. */
export class OpenStreams {
  readonly #open = new Set<OpenStream>()
  #draining = false
  #timer: NodeJS.Timeout | undefined

  constructor(private readonly options: OpenStreamsOptions = DEFAULTS) {}

  get size(): number {
    return this.#open.size
  }

  /** Ends every stream that is resumable after the part that is on its way, and each later one at once. */
  drain(): void {
    this.#draining = true
    for (const { response, resumable } of this.#open) if (resumable) response.end()
  }

  /**
   * Writes `parts` behind the headers that were sent, never faster than the caller reads. Resolves when the parts have
   * ended, the caller has gone or the server drains and has ended it; the source is released in each case.
   * @throws what the source throws, and reader_too_slow, with the answer still open
   */
  async send<Part = string>(
    response: ServerResponse,
    parts: AsyncIterable<Part>,
    { beat, text = String, resumable = false }: StreamOptions<Part> = {},
  ): Promise<void> {
    const source = parts[Symbol.asyncIterator]()
    const stream = new OpenStream(response, beat, resumable)
    this.#open.add(stream)
    this.#timer ??= this.#look()
    try {
      if (this.#draining && resumable) response.end()
      for (;;) {
        const next = await stream.until(source.next())
        if (next === undefined || response.writableEnded) return
        if (next.done === true) return
        await stream.write(text(next.value))
      }
    } finally {
      this.#open.delete(stream)
      if (this.#open.size === 0) {
        clearInterval(this.#timer)
        this.#timer = undefined
      }
      // Not awaited: a source that waits for its signal returns only once the caller's close has been heard.
      void source.return?.().catch(() => undefined)
    }
  }

  /** One timer for all streams: each is looked at often enough to be no more than a quarter late. */
  #look(): NodeJS.Timeout {
    const { beatMs, stallMs } = this.options
    return setInterval(
      () => {
        const now = performance.now()
        for (const stream of this.#open) {
          const { response, beat, blockedAt, wroteAt } = stream
          if (blockedAt !== undefined) {
            if (now - blockedAt >= stallMs) stream.drop()
          } else if (beat !== undefined && now - wroteAt >= beatMs && !response.writableEnded) {
            stream.wroteAt = now
            response.write(beat())
          }
        }
      },
      Math.max(10, Math.min(beatMs, stallMs) / 4),
    ).unref()
  }
}

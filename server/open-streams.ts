import type { ServerResponse } from 'node:http'

export interface StreamOptions {
  /** Sent after so many ms without anything else, so that proxies keep the connection and the dead are noticed. */
  readonly beat?: { readonly everyMs: number; readonly text: string }
}

/** Answers that go on. A server that drains ends them: their clients resume elsewhere. */
export class OpenStreams {
  readonly #open = new Set<ServerResponse>()
  #draining = false

  get size(): number {
    return this.#open.size
  }

  /** Ends every stream after the part that is on its way, and each later one at once. */
  drain(): void {
    this.#draining = true
    for (const response of this.#open) response.end()
  }

  /**
   * Writes `parts` behind the headers that were sent, never faster than the caller reads. Resolves when the parts have
   * ended, the caller has gone or the server drains; the source is released in each case.
   * @throws what the source throws, with the answer still open
   */
  async send(
    response: ServerResponse,
    parts: AsyncIterable<string>,
    { beat }: StreamOptions = {},
  ): Promise<void> {
    const source = parts[Symbol.asyncIterator]()
    const closed = new Promise<undefined>((resolve) => {
      if (response.closed) resolve(undefined)
      else response.once('close', () => resolve(undefined))
    })
    this.#open.add(response)
    let wroteAt = performance.now()
    const timer =
      beat &&
      setInterval(() => {
        if (
          performance.now() - wroteAt < beat.everyMs ||
          response.writableNeedDrain ||
          response.writableEnded
        )
          return
        wroteAt = performance.now()
        response.write(beat.text)
      }, beat.everyMs / 2).unref()
    try {
      if (this.#draining) response.end()
      for (;;) {
        const next = await Promise.race([source.next(), closed])
        if (next === undefined || response.writableEnded) return
        if (next.done === true) {
          response.end()
          return
        }
        wroteAt = performance.now()
        if (!response.write(next.value)) await Promise.race([drained(response), closed])
      }
    } finally {
      clearInterval(timer)
      this.#open.delete(response)
      // Not awaited: a source that waits for its signal returns only once the caller's close has been heard.
      void source.return?.().catch(() => undefined)
    }
  }
}

function drained(response: ServerResponse): Promise<undefined> {
  return new Promise((resolve) => response.once('drain', () => resolve(undefined)))
}

import type { ServerResponse } from 'node:http'

interface Answer {
  readonly response: ServerResponse
  readonly status: number
  readonly headers: readonly string[]
  readonly body: string | Buffer | undefined
  readonly encoding: BufferEncoding
}

/**
 * Answers that are ready. All of one turn of the event loop go out together at its end: sent one at a time, between the
 * requests that are still being read, each of them wakes the other side anew, and that costs more than the request
 * itself (docs/decisions/0081). Somebody who is alone waits for nobody.
 */
export class Outbox {
  #ready: Answer[] = []

  /** @param onError told when node does not take an answer; its connection ends */
  constructor(private readonly onError: (error: unknown) => void) {}

  /**
   * Sends a whole answer. Of two for one response the first is sent, and none to somebody who has gone.
   * @param headers name, value, name, value …
   * @param encoding of a text, and of the headers that node sends with it
   */
  add(
    response: ServerResponse,
    status: number,
    headers: readonly string[],
    body: string | Buffer | undefined,
    encoding: BufferEncoding = 'utf8',
  ): void {
    if (this.#ready.push({ response, status, headers, body, encoding }) === 1) setImmediate(this.#sendAll)
  }

  readonly #sendAll = (): void => {
    const ready = this.#ready
    this.#ready = []
    for (const { response, status, headers, body, encoding } of ready) {
      if (response.headersSent || response.destroyed) continue
      try {
        // Node copies the list before it changes anything.
        response.writeHead(status, headers as string[])
        response.end(body, encoding)
      } catch (error) {
        response.destroy()
        this.onError(error)
      }
    }
  }
}

import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** What came to an endpoint. */
export interface Received {
  readonly path: string
  readonly method: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Unix ms. */
  readonly at: number
}

/** Answers one request, or leaves it without an answer. */
export type Answering = (received: Received, response: ServerResponse, request: IncomingMessage) => void

export const answer =
  (status: number, headers: Record<string, string> = {}): Answering =>
  (_received, response) => {
    response.writeHead(status, headers)
    response.end()
  }
export const ok = answer(204)
export const hang: Answering = () => undefined
export const reset: Answering = (_received, _response, request) => void request.socket.resetAndDestroy()

/** A real endpoint of webhooks, in this process. */
export class Receiver {
  readonly received: Received[] = []
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  /** May be exchanged at any time. */
  answering: Answering

  private constructor(answering: Answering) {
    this.answering = answering
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('error', () => undefined)
      request.on('end', () => {
        const received = {
          path: request.url!,
          method: request.method!,
          headers: request.headers,
          body: Buffer.concat(chunks).toString('utf8'),
          at: Date.now(),
        }
        this.received.push(received)
        this.answering(received, response, request)
      })
    })
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  static async start(answering: Answering = ok): Promise<Receiver> {
    const receiver = new Receiver(answering)
    await new Promise<void>((done) => receiver.#server.listen(0, '127.0.0.1', done))
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`
  }

  /** The changes that came, in the order of coming. */
  get changes(): Record<string, unknown>[] {
    return this.received.map(({ body }) => (JSON.parse(body) as { data: Record<string, unknown> }).data)
  }

  close(): Promise<void> {
    return new Promise((done) => {
      this.#server.close(() => done())
      for (const socket of this.#sockets) socket.destroy()
    })
  }
}

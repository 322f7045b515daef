import http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'

/**
 * - `cut before`: the connection is closed, the request does not arrive;
 * - `cut after`: the request is carried out, the connection is closed before its answer;
 * - `cut within`: … in the middle of its answer;
 * - `status`: an answer of this status; `forward`: after the request was carried out, with the body of its answer;
 * - `answer`: this, and the request does not arrive.
 */
export type Fault =
  | 'cut before'
  | 'cut after'
  | 'cut within'
  | { readonly status: number; readonly forward?: boolean }
  | { readonly delayMs: number }
  | { readonly answer: object }

export interface Passing {
  readonly method: string
  /** With the query. */
  readonly path: string
  readonly body: string
}

/** Between the adapter and a CouchDB: passes everything, but for what `fault` says of a request. */
export class FaultProxy {
  /** undefined: pass it on. */
  fault: (request: Passing) => Fault | undefined = () => undefined
  readonly passed: Passing[] = []
  readonly #sockets = new Set<Socket>()
  readonly #server: http.Server
  #away = false
  #port = 0

  private constructor(private readonly target: URL) {
    this.#server = http.createServer((request, response) => {
      this.#pass(request, response).catch(() => response.destroy())
    })
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  static async start(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(new URL(target))
    await proxy.back()
    return proxy
  }

  /** With the target's credentials. */
  get url(): string {
    const url = new URL(this.target)
    url.host = `127.0.0.1:${this.#port}`
    return url.href
  }

  /** Connections are refused, those that are open break. */
  async leave(): Promise<void> {
    this.#away = true
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  async back(): Promise<void> {
    this.#away = false
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    if (!this.#away) await this.leave()
  }

  async #pass(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const body = await buffer(request)
    const passing = { method: request.method!, path: request.url!, body: body.toString('utf8') }
    this.passed.push(passing)
    const fault = this.fault(passing)
    if (fault === 'cut before') return void response.destroy()
    if (typeof fault === 'object' && 'status' in fault && !fault.forward) {
      response.writeHead(fault.status, { 'content-type': 'application/json' })
      return void response.end(JSON.stringify({ error: 'fault', reason: `status ${fault.status}` }))
    }
    if (typeof fault === 'object' && 'answer' in fault) {
      response.writeHead(200, { 'content-type': 'application/json' })
      return void response.end(JSON.stringify(fault.answer))
    }
    if (typeof fault === 'object' && 'delayMs' in fault)
      await new Promise((resolve) => setTimeout(resolve, fault.delayMs))

    const { 'accept-encoding': _, ...headers } = request.headers
    const forwarded = http.request(
      {
        host: this.target.hostname,
        port: this.target.port,
        method: passing.method,
        path: passing.path,
        headers,
      },
      (answer) => {
        if (fault === undefined || (typeof fault === 'object' && 'delayMs' in fault)) {
          response.writeHead(answer.statusCode!, answer.headers)
          answer.pipe(response)
          answer.on('error', () => response.destroy())
          return
        }
        buffer(answer).then(
          (whole) => {
            if (fault === 'cut after') return response.destroy()
            const status = typeof fault === 'object' ? fault.status : answer.statusCode!
            response.writeHead(status, { 'content-type': 'application/json', 'content-length': whole.length })
            if (fault === 'cut within')
              return response.write(whole.subarray(0, whole.length >> 1), () => response.destroy())
            return response.end(whole)
          },
          () => response.destroy(),
        )
      },
    )
    forwarded.on('error', () => response.destroy())
    response.on('close', () => forwarded.destroy())
    forwarded.end(body)
  }
}

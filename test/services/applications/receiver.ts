import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

export interface Delivery {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: { readonly name: string; readonly uri: string; readonly what: string }
}

/** Somebody who is told: everything that arrives, and a status for each. */
export class Receiver {
  readonly got: Delivery[] = []
  /** Of the next answers; then 200. */
  readonly statuses: number[] = []
  readonly #server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    request.on('end', () => {
      const { method, url, headers } = request
      this.got.push({ method: method!, path: url!, headers, body: JSON.parse(text) as Delivery['body'] })
      response.writeHead(this.statuses.shift() ?? 200).end()
    })
  })

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  url(path = '/hook'): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`
  }

  /** What has arrived under a path, once it is so many; `quietMs` later no more may have come. */
  async until(path: string, count: number, quietMs = 300): Promise<readonly Delivery[]> {
    const of = () => this.got.filter((delivery) => delivery.path === path)
    for (let i = 0; i < 400 && of().length < count; i++) await wait(50)
    await wait(quietMs)
    return of()
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }
}

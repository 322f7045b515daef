import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { HostRegistration } from '../../../service'
import type { Client } from '../../client'
import { startPlatform, type Platform } from '../../platform'

/** One host of an external service, in this process. */
export interface TestHost {
  readonly url: string
  readonly port: number
  readonly server: Server
  /** The requests that it got. */
  readonly seen: IncomingMessage[]
  /** Refuses connections from now on, and ends those that it has. */
  close(): Promise<void>
}

export type Answering = (request: IncomingMessage, response: ServerResponse, host: TestHost) => void

export const answerOk: Answering = (request, response) => {
  request.resume()
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end('{"v":"served","s":"ok"}')
  })
}

export async function startHost(answer: Answering = answerOk, port = 0): Promise<TestHost> {
  const sockets = new Set<Socket>()
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    seen.push(request)
    answer(request, response, host)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  const { port: bound } = server.address() as AddressInfo
  const host: TestHost = {
    server,
    seen,
    port: bound,
    url: `http://127.0.0.1:${bound}`,
    close: () =>
      new Promise((done) => {
        server.close(() => done())
        for (const socket of sockets) socket.destroy()
      }),
  }
  return host
}

/** A platform that may send calls to this machine. */
export async function startOpenPlatform(settings: Readonly<Record<string, string>> = {}): Promise<Platform> {
  return startPlatform({ settings: { KV4_SERVICE_ALLOW: '127.0.0.0/8', ...settings } })
}

export interface Registered extends HostRegistration {
  readonly load?: number
  readonly lapse?: number
}

/** Registers as `$sys`; answers the key. */
export async function register(platform: Platform, { host, ...v }: Registered): Promise<string> {
  const { key } = await platform.sys.ok(
    platform.sys.put<{ key: string }>('/_host/runtime/hosts/active', { k: host, v }),
  )
  return key
}

export async function makeAccount(by: Client, k: string): Promise<string> {
  const { secret } = await by.ok(
    by.put<{ secret: string }>('/_acc/accounts', { k, v: { email: `${k}@async.cl` } }),
  )
  return secret
}

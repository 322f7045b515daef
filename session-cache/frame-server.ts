import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { ServerTls } from './configuration'
import { SessionCacheError } from './errors'
import type { Frame } from './frames'
import { textIn } from './frames'
import type { ConnectionLimits } from './framed-connection'
import { FramedConnection } from './framed-connection'
import { serverTls } from './tls-files'
import type { TierLog } from './tier-log'

export interface FrameServerOptions {
  readonly address: string
  readonly port: number
  /** A socket of the file system to listen on instead of address and port. */
  readonly path: string | undefined
  readonly tls: ServerTls | false | undefined
  readonly secret: string | undefined
  readonly insecure: boolean
  readonly base: string
  readonly limits: ConnectionLimits
  readonly connections: number
  readonly log: TierLog
  /** A client that may speak. */
  accept(client: FrameClient): void
  frame(client: FrameClient, frame: Frame): void
  gone(client: FrameClient): void
}

/** A connected client, as a server knows it. */
export interface FrameClient {
  /** Address and port, until the client says a name of its own. */
  name: string
  readonly topics: Set<string>
  send(frame: Frame): boolean
  /** Resolves when what was sent is on its way, or the client is gone. */
  drained(): Promise<void>
  end(error: Error): void
}

const AUTH_WAIT_MS = 5000
const HANDSHAKE_MS = 10_000
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/

/** Where a server listens. */
export type Place = { readonly port: number; readonly address: string } | { readonly path: string }

/**
 * Listens for clients that speak frames, and lets them in: by their certificate where `tls.client_cert` is configured,
 * by the secret in their first message where `secret` is.
 */
export class FrameServer {
  readonly #server: Server
  #named = 0
  readonly #sockets = new Set<Socket>()
  /** Those whose TLS is not agreed on yet, too. */
  readonly #raw = new Set<Socket>()

  /** @throws insecure_listener */
  constructor(private readonly options: FrameServerOptions) {
    const { tls, secret, insecure, address, path, base } = options
    const certified = typeof tls === 'object' && tls.client_cert !== undefined
    const within = path !== undefined || LOOPBACK.test(address)
    if (!certified && secret === undefined && !insecure && !within)
      throw new SessionCacheError('insecure_listener', address)
    this.#server =
      tls === undefined || tls === false
        ? createServer((socket) => this.#welcome(socket))
        : createTlsServer({ ...serverTls(tls, base), handshakeTimeout: HANDSHAKE_MS }, (socket) =>
            this.#welcome(socket),
          )
    this.#server.maxConnections = options.connections
    this.#server.on('connection', (socket) => {
      this.#raw.add(socket)
      socket.once('close', () => this.#raw.delete(socket))
    })
    this.#server.on('tlsClientError', (error: Error) =>
      options.log('warn', 'a client was not let in', { error: error.message }),
    )
  }

  async listen(): Promise<Place> {
    const { path, port, address } = this.options
    if (path === undefined) {
      this.#server.listen(port, address)
      await once(this.#server, 'listening')
      return { port: (this.#server.address() as AddressInfo).port, address }
    }
    await removeStale(path)
    this.#server.listen({ path })
    await once(this.#server, 'listening')
    // Whatever the umask says: for this user only.
    chmodSync(path, 0o600)
    return { path }
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroySoon()
    const late = setTimeout(() => {
      for (const socket of this.#raw) socket.destroy()
    }, 500)
    await closed
    clearTimeout(late)
  }

  #welcome(socket: Socket): void {
    const { options } = this
    this.#sockets.add(socket)
    let known = options.secret === undefined
    const late = known
      ? undefined
      : setTimeout(
          () => connection.destroy(new SessionCacheError('closed', 'no secret was said')),
          AUTH_WAIT_MS,
        )
    const connection = new FramedConnection(socket, options.limits, {
      frame: (frame) => {
        if (frame['_ps_op'] === 'auth') {
          if (options.secret !== undefined && !isSame(textIn(frame, 'secret') ?? '', options.secret)) {
            connection.destroy(new SessionCacheError('closed', 'a wrong secret'))
            return
          }
          clearTimeout(late)
          if (!known) options.accept(client)
          known = true
          if (frame['_response_id'] !== undefined)
            client.send({ _response_id: frame['_response_id'], msg: 'OK' })
        } else if (known) options.frame(client, frame)
        else connection.destroy(new SessionCacheError('closed', 'the first message is not the secret'))
      },
      end: (error) => {
        clearTimeout(late)
        this.#sockets.delete(socket)
        if (error !== undefined)
          options.log('warn', 'a connection ended', { client: client.name, error: error.message })
        if (known) options.gone(client)
      },
    })
    const client: FrameClient = {
      name:
        options.path === undefined
          ? `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`
          : `socket ${++this.#named}`,
      topics: new Set(),
      send: (frame) => connection.send(frame),
      drained: () => connection.drained(),
      end: (error) => connection.destroy(error),
    }
    if (known) options.accept(client)
  }
}

/** A server that was killed leaves its socket behind; one that answers is left alone. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found?.isSocket() !== true) return
  const refused = await new Promise<boolean>((resolve) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(false)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
  if (refused) unlinkSync(path)
}

function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(wanted))
}

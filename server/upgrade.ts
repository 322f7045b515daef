import { STATUS_CODES, ServerResponse } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import type { Authentication, Principal } from '../auth'
import { Kv4Error, isKv4Error } from '../core'
import type { Bucket, Engine } from '../core'
import { ACCESS_RULES } from '../services/module'
import type { SocketListener, SocketRequest, SocketRoute } from '../services/socket'
import { permit } from './access'
import { BindingError } from './binder'
import { errorText } from './envelope'
import type { Liveness } from './liveness'
import type { Log } from './log'
import { MAX_FRAME, listen } from './socket'
import { statusOf } from './status'

const GOING_AWAY = 1001
/** What a client that is told to go has for its goodbye, in ms. */
const FAREWELL_MS = 1_000

export interface UpgradeOptions {
  /** Asked in this order; the first whose pattern matches answers. */
  readonly routes: readonly SocketRoute[]
  /** Asked for what no route answers: true when it has taken the connection. */
  readonly otherwise?: (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<boolean>
  readonly engine: Engine
  readonly authentication: Authentication
  readonly addressOf: (request: IncomingMessage) => string
  /** Origins of pages that may open sockets (KV4_ORIGINS); empty: any. What is no page sends none and may. */
  readonly origins: readonly string[]
  readonly liveness: Liveness
  readonly log: Log
}

export interface Upgrades {
  attach(server: Server): void
  /** Tells every socket to go elsewhere (1001), cuts those that stay, and takes no more. */
  drain(): void
}

/**
 * The one place where HTTP connections become something else.
 *
 *     upgrade ─ not a websocket ─► answered as the request that it would be without
 *        │
 *        └ websocket ─ origin ─ route ─ credential ─ admit ─► handshake ─► listener
 *                         └────────┴───────┴──────────┴─► HTTP answer of the error, end
 *
 * @throws BindingError for a route without a pattern or a known access rule
 */
export function createUpgrades(options: UpgradeOptions): Upgrades {
  const { routes, otherwise, engine, authentication, addressOf, liveness, log } = options
  for (const route of routes) checkRoute(route)
  const origins = new Set(options.origins.map((origin) => origin.toLowerCase()))
  const acceptors = new Map<number, WebSocketServer>()
  const open = new Set<WebSocket>()
  let draining = false

  function acceptor(maxPayload: number): WebSocketServer {
    let known = acceptors.get(maxPayload)
    if (known === undefined) {
      known = new WebSocketServer({
        noServer: true,
        clientTracking: false,
        perMessageDeflate: false,
        maxPayload,
      })
      acceptors.set(maxPayload, known)
    }
    return known
  }

  async function take(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (draining) throw new Kv4Error('overloaded', { retryAfter: 1 })
    const { origin } = request.headers
    if (origins.size > 0 && origin !== undefined && !origins.has(origin.toLowerCase()))
      throw new Kv4Error('forbidden', { fields: { reason: 'pages of this origin may not open sockets' } })
    const target = request.url!
    const mark = target.indexOf('?')
    const rawPath = mark === -1 ? target : target.slice(0, mark)
    for (const route of routes) {
      const match = route.pattern.exec(rawPath)
      if (match === null) continue
      const rawQuery = mark === -1 ? '' : target.slice(mark + 1)
      const asked = new UpgradeRequest(request, rawPath, rawQuery, addressOf(request), engine)
      if (route.access !== 'public') {
        asked.login = await authentication.authenticate(request.headers, asked.remoteAddress)
        permit(route.access, asked.login)
      }
      const listener = await route.admit(asked, match)
      shake(route, listener, request, socket, head)
      return
    }
    if ((await otherwise?.(request, socket, head)) !== true)
      throw new Kv4Error('not_found', { fields: { reason: 'no socket is opened here' } })
  }

  function shake(
    route: SocketRoute,
    listener: SocketListener,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): void {
    let opened = false
    // Gone, or no websocket after all, which the library answers itself.
    socket.once('close', () => {
      if (!opened) listener.closed?.(1006)
    })
    if (socket.destroyed) return
    socket.off('error', ignore)
    acceptor(route.maxFrame ?? MAX_FRAME).handleUpgrade(request, socket, head, (ws) => {
      opened = true
      open.add(ws)
      ws.once('close', () => open.delete(ws))
      listen(ws, listener, { maxWaiting: route.maxWaiting, liveness, log })
      if (draining) ws.close(GOING_AWAY)
    })
  }

  return {
    attach(server) {
      server.on('upgrade', (request, socket, head) => {
        if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
          answerAsRequest(server, request, socket as Socket)
          return
        }
        // Whoever goes while he is being looked at is nobody's failure.
        socket.on('error', ignore)
        take(request, socket, head).catch((cause: unknown) => {
          const error = isKv4Error(cause) ? cause : new Kv4Error('internal', { cause })
          if (error.code === 'internal') log.error({ err: error }, 'an upgrade failed')
          else log.debug({ code: error.code, detail: error.detail }, 'an upgrade was refused')
          refuse(socket, error)
        })
      })
    },
    drain() {
      draining = true
      for (const ws of open) ws.close(GOING_AWAY)
      setTimeout(() => {
        for (const ws of open) ws.terminate()
      }, FAREWELL_MS).unref()
    },
  }
}

function ignore(): void {}

function checkRoute(route: SocketRoute): void {
  const title = `socket ${String(route.pattern)}`
  if (!(route.pattern instanceof RegExp) || route.pattern.global || route.pattern.sticky)
    throw new BindingError(`${title}: the pattern is not a stateless regular expression`)
  if (!ACCESS_RULES.includes(route.access))
    throw new BindingError(
      `${title}: the route has no access rule, or an unknown one (${String(route.access)})`,
    )
}

/**
 * Some clients offer HTTP/2 with their first request. Nobody has to take an offer; but node has let go of the connection
 * already, and has not read a body.
 */
function answerAsRequest(server: Server, request: IncomingMessage, socket: Socket): void {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers
  if (length !== '0' || coding !== undefined) {
    refuse(
      socket,
      new Kv4Error('bad_request', { fields: { reason: 'an upgrade that is not to a websocket' } }),
    )
    return
  }
  socket.on('error', ignore)
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.once('finish', () => socket.end(() => socket.destroy()))
  server.emit('request', request, response)
}

/** The answer that the request would get without the upgrade, and the end of the connection. */
function refuse(socket: Duplex, error: Kv4Error): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const status = statusOf(error.code)
  const text = errorText(error)
  const retry = status === 429 || status === 503 ? `Retry-After: ${Math.ceil(error.retryAfter ?? 1)}\r\n` : ''
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n${retry}Cache-Control: no-store\r\n` +
      `X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n${text}`,
    () => socket.destroy(),
  )
}

class UpgradeRequest implements SocketRequest {
  login: Principal | undefined

  constructor(
    private readonly request: IncomingMessage,
    readonly rawPath: string,
    readonly rawQuery: string,
    readonly remoteAddress: string,
    private readonly engine: Engine,
  ) {}

  get headers(): IncomingMessage['headers'] {
    return this.request.headers
  }

  get principal(): Principal {
    if (this.login === undefined)
      throw new Kv4Error('internal', { detail: 'a public socket asked who is calling' })
    return this.login
  }

  get bucket(): Bucket {
    return this.engine.bucket(this.principal.bucket)
  }
}

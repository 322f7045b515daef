import { Router } from 'express'
import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { CHALLENGE } from '../auth'
import type { Bans, Principal } from '../auth'
import { Kv4Error, isKv4Error } from '../core'
import type { Engine, ErrorCode, Json } from '../core'
import { Reply } from '../services/module'
import type { EventSource, Method, ServiceRequest } from '../services/module'
import { WatchQuery, asksToWatch } from '../services/watch'
import type { Watching } from '../services/watching'
import { permit } from './access'
import { PREFLIGHT, sendAnswer } from './answer'
import { methodsAt } from './binder'
import type { Bindings } from './binder'
import type { CallCount } from './call-count'
import type { Config } from './config'
import { formatEntityTag, isKnown } from './entity-tag'
import { errorText, okText } from './envelope'
import { sendEventStream } from './event-stream'
import { BoundRequest, Exchange } from './exchange'
import type { RouteCall } from './exchange'
import { isExternal } from './external/external-services'
import type { ExternalServices } from './external/external-services'
import { readiness } from './health'
import { IDEMPOTENCY_KEY } from './idempotency'
import type { Idempotency } from './idempotency'
import { parseInput } from './input'
import type { Log } from './log'
import type { Mounts } from './mounts'
import { OpenStreams } from './open-streams'
import { Outbox } from './outbox'
import { CallerGone, leavesBody, readRequestBody } from './request-body'
import { requestId } from './request-id'
import { parseRequestTarget } from './request-target'
import type { Standing } from './standing'
import { statusOf } from './status'

/** What the chain hangs on a request beside what node and Express do. */
interface ChainRequest extends Request {
  exchange: Exchange
  user?: Principal
}

/** How long a caller may take, ms. */
export interface HttpTimeouts {
  /** From the connection, or the end of the request before, to the end of the head. */
  readonly headersMs: number
  /** To the end of the body. */
  readonly requestMs: number
  /** How often that is looked at. */
  readonly checkMs: number
}

const TIMEOUTS: HttpTimeouts = { headersMs: 10_000, requestMs: 30_000, checkMs: 1_000 }

export interface HttpOptions {
  readonly bindings: Bindings
  /** The wire formats beside the envelope. Absent: none. */
  readonly mounts?: Mounts
  readonly engine: Engine
  readonly bans: Pick<Bans, 'check'>
  /** Who is calling, for bans. */
  readonly addressOf: (request: IncomingMessage) => string
  readonly calls: CallCount
  /** Whether those for whom something goes on may still have it. */
  readonly standing: Standing
  readonly watching: Watching
  readonly idempotency: Idempotency
  /** Services that run elsewhere. Absent: none. */
  readonly external?: ExternalServices
  /** Puts the principal into `request.user`, or fails with an error: passport's middleware as auth/ makes it. */
  readonly authenticate: RequestHandler
  readonly config: Pick<Config, 'status' | 'maxConnections' | 'streamBeatMs' | 'streamStallMs'>
  readonly log: Log
  /** Tests make them short. Default 10 s, 30 s, 1 s. */
  readonly timeouts?: HttpTimeouts | undefined
}

/** An HTTP server that does not listen yet. */
export interface Http {
  readonly server: Server
  /** From now on /readyz says no, each answer ends its connection, event streams end, and who polls is answered. */
  readonly drain: () => void
}

const OK = okText('ok')

/** How loud the end of a stream is told; what is the caller's doing hardly. */
const STREAM_LOG: Partial<Record<ErrorCode, 'error' | 'debug'>> = {
  internal: 'error',
  reader_too_slow: 'debug',
  unauthorized: 'debug',
  forbidden: 'debug',
  bucket_not_found: 'debug',
}

/**
 * The one HTTP path: an Express router with passport, mounted straight on node:http. An Express app in its place would
 * change the prototype of every request and response, which costs more than all the rest (docs/decisions/0040).
 * The chain: accept → open → authenticate → answer; every error leaves through `refuse`. What belongs to a mount goes
 * from `accept` to the mount, which answers errors itself.
 */
export function createHttp({
  bindings,
  mounts,
  engine,
  bans,
  addressOf,
  calls,
  standing,
  watching,
  idempotency,
  external,
  authenticate,
  config,
  log,
  timeouts = TIMEOUTS,
}: HttpOptions): Http {
  const rest = config.status === 'rest'
  const isReady = readiness(engine)
  const logsRequests = log.isLevelEnabled('debug')
  const streams = new OpenStreams({ beatMs: config.streamBeatMs, stallMs: config.streamStallMs })
  const outbox = new Outbox((error) => log.error({ err: error }, 'an answer could not be given'))
  const closing = new AbortController()
  let draining = false

  function send(
    request: ChainRequest,
    response: ServerResponse,
    status: number,
    text: string,
    headers?: readonly string[],
  ): void {
    sendAnswer(outbox, response, status, text, {
      requestId: request.exchange.id,
      crossOrigin: request.headers.origin !== undefined,
      last: draining || leavesBody(request),
      headers,
    })
  }

  /** The first of all: what a mount answers goes no further. */
  function accept(request: ChainRequest, response: Response): void {
    // The last answer on this connection has been given, a 408 perhaps: who reads that sends it again elsewhere.
    if (!request.socket.writable) return
    // Of the router only when `refuse` itself failed.
    const failed = (error: unknown) => {
      log.error({ err: error }, 'an answer could not be given')
      response.destroy()
    }
    try {
      const { id } = (request.exchange = new Exchange(requestId(request.headers['x-request-id'])))
      if (logsRequests) logRequest(request, response, log)
      const mount = mounts?.find(request.url)
      if (mount === undefined) router(request, response, failed)
      else void mounts!.serve(mount, request, response, { requestId: id, last: draining, streams, outbox })
    } catch (error) {
      failed(error)
    }
  }

  /** Understands the request line and finds the route. */
  function open(request: ChainRequest, response: Response, next: NextFunction): void {
    const method = request.method === 'HEAD' ? 'GET' : request.method
    if (method === 'OPTIONS') {
      send(request, response, 200, '{"s":"ok"}', ['Allow', PREFLIGHT[3], ...PREFLIGHT])
      return
    }

    const { prefix, path, query } = parseRequestTarget(request.url)
    const bound = bindings.byPrefix.get(prefix)
    if (bound === undefined) {
      if (prefix === 'healthz' && method === 'GET') send(request, response, 200, OK)
      else if (prefix === 'readyz' && method === 'GET') ready(request, response, next)
      else if (external === undefined) throw noService()
      else
        external
          .find(prefix)
          .then((found) => {
            if (found === undefined) throw noService()
            enter(request, response, next, { bound: found, path, query })
          })
          .catch(next)
      return
    }
    enter(request, response, next, { bound, path, query })
  }

  /** Finds the route of a service. */
  function enter(
    request: ChainRequest,
    response: Response,
    next: NextFunction,
    { bound, path, query }: Omit<RouteCall, 'route'>,
  ): void {
    const { exchange } = request
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const methods = methodsAt(bound, path)
    const route = methods.get(method as Method)
    if (route === undefined) {
      if (methods.size === 0) throw new Kv4Error('not_found', { fields: { reason: 'no such resource' } })
      const allowed = [...methods.keys(), ...(methods.has('GET') ? ['HEAD'] : []), 'OPTIONS']
      exchange.headers = ['Allow', allowed.join(', ')]
      throw new Kv4Error('method_not_allowed')
    }
    exchange.call = { bound, route, path, query }
    if (route.access === 'public') void answer(request, response, next)
    else next()
  }

  // Probes look at the status, so these two have one in either mode.
  function ready(request: ChainRequest, response: Response, next: NextFunction): void {
    const refusal = () =>
      send(request, response, 503, errorText(new Kv4Error('store_unavailable')), ['Retry-After', '1'])
    if (draining) refusal()
    else isReady().then((yes) => (yes ? send(request, response, 200, OK) : refusal()), next)
  }

  /** Access, input, the service, the envelope. */
  async function answer(request: ChainRequest, response: Response, next: NextFunction): Promise<void> {
    try {
      const principal = request.user
      const call = request.exchange.call!
      const { route } = call
      const address = addressOf(request)
      if (principal !== undefined) {
        await bans.check(principal.bucket, call.path, address)
        calls.add(principal, call.bound.service.name, route.method)
      }
      permit(route.access, principal, route.tokens)
      if (external !== undefined && isExternal(call.bound)) {
        const { id: requestId } = request.exchange
        const crossOrigin = request.headers.origin !== undefined
        const asked = { request, call, principal: principal!, requestId }
        await external.serve(asked, response, { crossOrigin, last: draining })
        return
      }
      const query = parseInput(route.input?.query, call.query, 'query')
      const body =
        route.input?.body === undefined
          ? undefined
          : parseInput(route.input.body, await readRequestBody(request, response), 'body')
      const asked = new BoundRequest(
        call,
        query,
        body,
        principal,
        engine,
        request,
        response,
        address,
        standing,
        closing.signal,
        watching,
      )
      const key = request.headers[IDEMPOTENCY_KEY]
      const watches = route.method === 'GET' && asksToWatch(call.query, route.watch !== undefined)
      const result = watches
        ? await watch(asked, call)
        : key === undefined || route.method === 'GET' || principal === undefined
          ? await route.run(asked)
          : await idempotency.run(String(key), asked, call, () => route.run(asked))
      const { ended } = asked
      if (ended !== undefined) throw ended
      reply(request, response, result, asked)
    } catch (error) {
      next(error)
    }
  }

  /** What of a route can be watched, watched: the same for every service. */
  async function watch(asked: BoundRequest, { route, query }: RouteCall): Promise<Reply> {
    if (route.watch === undefined)
      throw new Kv4Error('bad_request', { fields: { parameter: 'watch', reason: 'this cannot be watched' } })
    const wanted = parseInput(WatchQuery, query, 'query') as WatchQuery
    return watching.answer(asked, await route.watch(asked as ServiceRequest<unknown, undefined>), wanted)
  }

  function reply(
    request: ChainRequest,
    response: Response,
    result: Json | Reply,
    asked: Pick<BoundRequest, 'ended'>,
  ): void {
    if (!(result instanceof Reply)) {
      send(request, response, 200, okText(result))
      return
    }
    const { tag, created, stream } = result.more
    if (stream !== undefined) {
      sendStream(request, response, stream, asked)
      return
    }
    const headers = tag === undefined ? undefined : ['ETag', formatEntityTag(tag)]
    if (
      rest &&
      tag !== undefined &&
      request.exchange.call?.route.method === 'GET' &&
      request.headers['if-none-match'] !== undefined &&
      isKnown(request.headers['if-none-match'], tag)
    )
      send(request, response, 304, '', headers)
    else send(request, response, rest && created === true ? 201 : 200, okText(result), headers)
  }

  function sendStream(
    request: ChainRequest,
    response: Response,
    stream: EventSource,
    asked: Pick<BoundRequest, 'ended'>,
  ): void {
    if (response.headersSent || response.destroyed) {
      void stream[Symbol.asyncIterator]().return?.()
      return
    }
    const { exchange } = request
    const headers = ['X-Request-Id', exchange.id]
    if (request.headers.origin !== undefined) headers.push('Access-Control-Allow-Origin', '*')
    const failed = (error: Kv4Error) =>
      log[STREAM_LOG[error.code] ?? 'warn'](
        { requestId: exchange.id, code: error.code, service: exchange.call?.bound.service.name, err: error },
        'a stream failed',
      )
    void sendEventStream(response, stream, {
      streams,
      headers,
      head: request.method === 'HEAD',
      ended: () => asked.ended,
      failed,
    })
  }

  /** The one exit of errors. */
  function refuse(cause: unknown, request: ChainRequest, response: Response, _next: NextFunction): void {
    if (cause instanceof CallerGone) return
    const { exchange } = request
    const error = isKv4Error(cause) ? cause : new Kv4Error('internal', { cause })
    const status = statusOf(error.code)
    const context = { requestId: exchange.id, code: error.code, service: exchange.call?.bound.service.name }
    if (error.code === 'internal') log.error({ ...context, err: error }, 'a request failed')
    else if (status >= 500)
      log.warn({ ...context, detail: error.detail, err: error.cause }, 'a request was not served')
    else log.debug({ ...context, detail: error.detail }, 'a request was refused')

    const headers = [...(exchange.headers ?? [])]
    if (error.retryAfter !== undefined || status === 503 || status === 429)
      headers.push('Retry-After', String(Math.max(1, Math.ceil(error.retryAfter ?? 1))))
    if (status === 401 && rest) headers.push('WWW-Authenticate', CHALLENGE)
    send(request, response, rest ? status : 200, errorText(error), headers)
  }

  const router = Router()
  router.use(open as RequestHandler)
  router.use(authenticate)
  router.use(((request: ChainRequest, response: Response, next: NextFunction) => {
    void answer(request, response, next)
  }) as RequestHandler)
  router.use(refuse as unknown as RequestHandler)

  const server = createServer({
    keepAlive: true,
    noDelay: true,
    maxHeaderSize: 8 * 1024,
    headersTimeout: timeouts.headersMs,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: 60_000,
    connectionsCheckingInterval: timeouts.checkMs,
  })
  server.maxConnections = config.maxConnections

  const handle = accept as (request: IncomingMessage, response: ServerResponse) => void
  server.on('request', handle)
  // Node would ask for the body at once; we do when the route wants one.
  server.on('checkContinue', handle)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuseBytes(error, socket as Socket))
  return {
    server,
    drain() {
      draining = true
      streams.drain()
      closing.abort()
    },
  }
}

function noService(): Kv4Error {
  return new Kv4Error('not_found', { fields: { reason: 'no such service' } })
}

function logRequest(request: ChainRequest, response: Response, log: Log): void {
  const start = performance.now()
  response.once('close', () => {
    const { exchange, user: principal } = request
    log.debug(
      {
        requestId: exchange.id,
        method: request.method,
        service: exchange.call?.bound.service.name,
        bucket: principal?.bucket,
        login: principal?.login,
        status: response.writableFinished ? response.statusCode : 'gone',
        ms: Math.round((performance.now() - start) * 100) / 100,
      },
      'request',
    )
  })
}

/** As node's HTTP server has it: with the answer to the request that has begun. */
interface AnsweringSocket extends Socket {
  readonly _httpMessage?: ServerResponse | null
}

/** How long a connection that was refused stays open for its answer to be read. */
const LINGER_MS = 1_000

/**
 * Answers what is not HTTP, or too slow, or too large a head: there is no request object to answer through. The
 * connection ends whether or not the other side ends it too. What still comes on it is not carried out.
 */
function refuseBytes(error: NodeJS.ErrnoException, socket: AnsweringSocket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, reason] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'the header is larger than 8 KiB']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'the request took too long']
        : ['400 Bad Request', 'not HTTP']
  const text = errorText(new Kv4Error('bad_request', { fields: { reason } }))
  // The rest of its body may lie there unread already.
  socket._httpMessage?.req.pause()
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(text)}\r\n` +
      `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n${text}`,
  )
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}

import { STATUS_CODES } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Authentication, Bans } from '../../auth'
import { isKv4Error } from '../../core'
import { permit } from '../access'
import type { CallCount } from '../call-count'
import { CallerGone } from '../request-body'
import type { RouteCall } from '../exchange'
import type { Log } from '../log'
import { requestId } from '../request-id'
import { parseRequestTarget } from '../request-target'
import { returnedHeaders } from './call-headers'
import type { ExternalCall, ExternalServices } from './external-services'

/** An open socket's caller is looked at again this often: one who may no longer call loses it. */
const REVIEW_MS = 1_000
/** Bytes of the answer of a service that does not want the socket. */
const MAX_REFUSAL = 64 * 1024

/** Of the handshake itself; the rest of the headers goes the way of every call. */
const HANDSHAKE = ['sec-websocket-accept', 'sec-websocket-extensions', 'sec-websocket-protocol'] as const

export interface TunnelsOptions {
  readonly services: ExternalServices
  readonly authentication: Authentication
  readonly addressOf: (request: IncomingMessage) => string
  readonly bans: Pick<Bans, 'check'>
  readonly calls: Pick<CallCount, 'add'>
  readonly log: Log
  /** Tests make it short. */
  readonly reviewMs?: number
}

/** What a service answered to a handshake. */
type Answer =
  | { readonly kind: 'open'; readonly headers: IncomingHttpHeaders; readonly socket: Duplex }
  | {
      readonly kind: 'refused'
      readonly status: number
      readonly headers: IncomingHttpHeaders
      readonly body: Buffer
    }

/** Websockets of external services: the handshake is a call like any other, then bytes go both ways as they come. */
export class Tunnels {
  readonly #open = new Set<() => void>()

  constructor(private readonly options: TunnelsOptions) {}

  /**
   * For what no socket of the platform itself answers.
   * @returns false: no external service has the prefix
   * @throws unauthorized, forbidden, service_unavailable, service_failed
   */
  async take(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<boolean> {
    const { services, authentication, addressOf, bans, calls } = this.options
    const { prefix, path, query } = parseRequestTarget(request.url!)
    const bound = await services.find(prefix)
    const route = bound?.others.get('GET')
    if (bound === undefined || route === undefined) return false
    const address = addressOf(request)
    const principal = await authentication.authenticate(request.headers, address)
    await bans.check(principal.bucket, path, address)
    calls.add(principal, bound.service.name, route.method)
    permit(route.access, principal)
    const call: RouteCall = { bound, route, path, query }

    const id = requestId(request.headers['x-request-id'])
    const asked: ExternalCall = { request, call, principal, requestId: id }
    const gone = new AbortController()
    socket.once('close', () => gone.abort(new CallerGone(undefined)))
    const answer = await services.send(asked, false, (_host, head) =>
      handshake(services.fresh, head, gone.signal),
    )
    const headers = returnedHeaders(answer.headers, { requestId: id, crossOrigin: false, last: false })
    if (answer.kind === 'refused') {
      const { status, body } = answer
      const rest = withoutLength(headers).concat('Content-Length', String(body.length), 'Connection', 'close')
      socket.end(Buffer.concat([headOf(status, rest), body]), () => socket.destroy())
      return true
    }
    this.#splice(asked, socket, head, answer)
    return true
  }

  /** Cuts every one of them. */
  close(): void {
    for (const cut of this.#open) cut()
  }

  #splice(
    asked: ExternalCall,
    caller: Duplex,
    head: Buffer,
    { headers, socket: service }: Extract<Answer, { kind: 'open' }>,
  ): void {
    const { log, reviewMs = REVIEW_MS } = this.options
    const cut = () => {
      this.#open.delete(cut)
      clearInterval(review)
      caller.destroy()
      service.destroy()
    }
    const review = setInterval(() => {
      this.#review(asked).catch((error: unknown) => {
        // A store that is away does not end what was good.
        if (isKv4Error(error, 'unauthorized') || isKv4Error(error, 'forbidden')) cut()
      })
    }, reviewMs).unref()
    this.#open.add(cut)
    for (const each of [caller, service]) {
      each.on('error', (error) => log.debug({ requestId: asked.requestId, err: error }, 'a tunnel broke'))
      each.once('close', cut)
    }
    const accepted = HANDSHAKE.flatMap((name) => {
      const value = headers[name]
      return value === undefined ? [] : [name, String(value)]
    })
    caller.write(headOf(101, ['Connection', 'Upgrade', 'Upgrade', 'websocket', ...accepted]))
    if (head.length > 0) service.write(head)
    caller.pipe(service)
    service.pipe(caller)
  }

  /** Whether the caller would still be let in. @throws unauthorized, forbidden */
  async #review({ request, call, principal }: ExternalCall): Promise<void> {
    const { authentication, addressOf, bans } = this.options
    const address = addressOf(request)
    await authentication.authenticate(request.headers, address)
    await bans.check(principal.bucket, call.path, address)
  }
}

function headOf(status: number, headers: readonly string[]): Buffer {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`]
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`)
  return Buffer.from(lines.join('\r\n') + '\r\n\r\n', 'latin1')
}

function withoutLength(headers: readonly string[]): string[] {
  return headers.flatMap((name, i) =>
    i % 2 === 1 || name.toLowerCase() === 'content-length' ? [] : [name, headers[i + 1]!],
  )
}

/** Asks a host for a websocket. What it answers instead is read as far as 64 KiB. */
function handshake(
  agent: Dispatcher,
  { origin, path, headers }: { origin: string; path: string; headers: Record<string, string | string[]> },
  gone: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let refusal: { readonly status: number; readonly headers: IncomingHttpHeaders } | undefined
    const chunks: Buffer[] = []
    let size = 0
    const finish = () => {
      if (refusal !== undefined) resolve({ kind: 'refused', ...refusal, body: Buffer.concat(chunks) })
    }
    agent.dispatch(
      { origin, path, method: 'GET', headers, upgrade: 'websocket' },
      {
        onRequestStart(controller) {
          const abort = () => controller.abort(gone.reason as Error)
          if (gone.aborted) abort()
          else gone.addEventListener('abort', abort, { once: true })
        },
        onRequestUpgrade(_controller, status, headers, socket) {
          if (status === 101) resolve({ kind: 'open', headers, socket })
          else {
            socket.destroy()
            reject(new Error(`an upgrade answered with ${status}`))
          }
        },
        onResponseStart(_controller, status, headers) {
          if (status >= 200) refusal = { status, headers }
        },
        onResponseData(controller, chunk) {
          size += chunk.length
          if (size <= MAX_REFUSAL) chunks.push(chunk)
          else {
            finish()
            controller.abort(new Error('enough was read'))
          }
        },
        onResponseEnd: finish,
        onResponseError: (_controller, error) => reject(error),
      },
    )
  })
}

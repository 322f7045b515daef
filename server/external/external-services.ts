import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Agent } from 'undici'
import type { Dispatcher } from 'undici'
import type { Principal, TokenKeeper } from '../../auth'
import { Kv4Error, isKv4Error } from '../../core'
import type { Engine, Json, JsonObject, Path } from '../../core'
import { signCaller } from '../../service'
import type { ActiveHost } from '../../services/active-hosts'
import { METHODS, route } from '../../services/module'
import type { ExternalCaller, ExternalRequest, ExternalRules, Method, Route } from '../../services/module'
import { ServiceNames } from '../../services/service-names'
import type { BoundService } from '../binder'
import type { RouteCall } from '../exchange'
import type { Log } from '../log'
import { CallerGone } from '../request-body'
import { requestId as newRequestId } from '../request-id'
import { callBody, hasBody } from './call-body'
import { forwardedHeaders, returnedHeaders } from './call-headers'
import { callTarget } from './call-target'
import { ConnectError, checkedConnector } from '../outgoing/connector'
import type { Destinations } from '../outgoing/destinations'
import { collectAnswer, envelopeValue } from './envelope-value'
import { HostChoice } from './host-choice'

/** Seconds for which the token that comes with a call is good. */
export const TOKEN_SECONDS = 300

const PREFIX = /^_[a-z][a-z0-9_-]{0,62}$/
const CONNECTIONS = 512
/** Safe to send a second time, when nobody knows what became of the first. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE'])

export interface ExternalServicesOptions {
  readonly engine: Engine
  readonly tokens: TokenKeeper
  readonly rules: Pick<ExternalRules, 'callerKey'>
  readonly destinations: Destinations
  /** Whose call it is, as it is told to the service. */
  readonly addressOf: (request: IncomingMessage) => string
  /** Ms without an answer, or without more of it, after which a call is given up (KV4_SERVICE_TIMEOUT_MS). */
  readonly timeoutMs: number
  /** KV4_STATUS: under `always200` a service's errors are 200 too. */
  readonly status: 'rest' | 'always200'
  readonly log: Log
}

/** One call, once it is known who makes it. */
export interface ExternalCall {
  readonly request: IncomingMessage
  readonly call: RouteCall
  readonly principal: Principal
  readonly requestId: string
}

/** What is told of a call to the host that gets it. */
interface Outgoing {
  readonly prefix: string
  readonly method: string
  readonly path: Path
  /** As it is sent, without `?`. */
  readonly query: string
  readonly headers: IncomingHttpHeaders
  readonly address: string
  readonly principal: Principal
  readonly requestId: string
}

/** Where a call goes at a host, and with which headers. */
interface Head {
  readonly origin: string
  readonly path: string
  readonly headers: Record<string, string | string[]>
}

/** A service that runs elsewhere, as the binder would have bound it: one route for all paths, open to every account. */
export interface BoundExternal extends BoundService {
  readonly external: true
}

export function isExternal(bound: BoundService): bound is BoundExternal {
  return 'external' in bound
}

/**
 * Services that run elsewhere and have registered by `_host`: finds them by prefix and sends calls on.
 *
 *     call ─► least loaded live host ─► connect ─┬─ refused ─► the next one … none left ─► service_unavailable
 *                                                └─ sent ─┬─ answer, streamed
 *                                                         └─ none ─► once more elsewhere, if that is safe; service_failed
 *
 * A call that may not be made twice gets a connection of its own: one that waits open may have been closed on the other
 * side a moment ago, and what was sent into it may or may not have arrived.
 */
export class ExternalServices implements ExternalCaller {
  readonly #names: ServiceNames
  readonly choice: HostChoice
  readonly #bound = new Map<string, BoundExternal>()
  readonly #kept: Agent
  readonly #fresh: Agent

  constructor(private readonly options: ExternalServicesOptions) {
    this.#names = new ServiceNames(options.engine)
    this.choice = new HostChoice(options.engine)
    const common: Agent.Options = {
      connect: checkedConnector(options.destinations),
      connections: CONNECTIONS,
      headersTimeout: options.timeoutMs,
      bodyTimeout: options.timeoutMs,
      maxHeaderSize: 16 * 1024,
    }
    this.#kept = new Agent(common)
    this.#fresh = new Agent({ ...common, pipelining: 0 })
  }

  /** undefined: no service has the prefix. @throws store_unavailable */
  async find(prefix: string): Promise<BoundExternal | undefined> {
    if (!PREFIX.test(prefix) || !(await this.#names.has(prefix))) return undefined
    let bound = this.#bound.get(prefix)
    if (bound === undefined) this.#bound.set(prefix, (bound = boundTo(prefix)))
    return bound
  }

  /**
   * Sends a call on and streams the answer back.
   * @throws service_unavailable, service_failed, body_too_large, bad_segment, as long as nothing was answered
   */
  async serve(
    asked: ExternalCall,
    response: ServerResponse,
    { crossOrigin, last }: { readonly crossOrigin: boolean; readonly last: boolean },
  ): Promise<void> {
    const gone = new AbortController()
    response.once('close', () => gone.abort(new CallerGone(undefined)))
    const body = hasBody(asked.request)
    const isRepeatable = !body && IDEMPOTENT.has(asked.request.method!)
    const { host, answer } = await this.send(asked, isRepeatable, async (host, head) => {
      const agent = isRepeatable ? this.#kept : this.#fresh
      const answer = await agent.request({
        ...head,
        method: asked.request.method as Dispatcher.HttpMethod,
        // Any async iterable is read, when there is a connection; the library's types do not know it.
        body: body ? (callBody(asked.request, response) as unknown as Readable) : null,
        signal: gone.signal,
      })
      return { host, answer }
    })
    // Until the last byte it is a call under way.
    this.choice.began(host)
    const { requestId } = asked
    try {
      const status = this.options.status === 'rest' || answer.statusCode < 400 ? answer.statusCode : 200
      response.writeHead(status, returnedHeaders(answer.headers, { requestId, crossOrigin, last }))
      await pipeline(answer.body, response)
    } catch (error) {
      // What has begun cannot become an error's answer: the caller sees that it breaks off.
      response.destroy()
      if (!gone.signal.aborted)
        this.options.log.warn({ requestId, err: error, host: host.key }, 'the answer of a service broke off')
    } finally {
      this.choice.ended(host)
    }
  }

  /**
   * Finds a host that takes the call.
   * @param isRepeatable whether it may be sent again though the first host may have had it
   */
  async send<Answer>(
    asked: ExternalCall,
    isRepeatable: boolean,
    attempt: (host: ActiveHost, head: Head) => Promise<Answer>,
  ): Promise<Answer> {
    const { request, call, principal, requestId } = asked
    const mark = request.url!.indexOf('?')
    const outgoing: Outgoing = {
      prefix: call.bound.service.prefix,
      method: request.method!,
      path: call.path,
      query: mark === -1 ? '' : request.url!.slice(mark + 1),
      headers: request.headers,
      address: this.options.addressOf(request),
      principal,
      requestId,
    }
    return this.#send(outgoing, isRepeatable, attempt)
  }

  /** A call that the platform makes on somebody's behalf, not one that is passed on. */
  async call(asked: ExternalRequest): Promise<Json> {
    const { prefix, method, path, query = {}, principal, remoteAddress, signal } = asked
    const gone = new AbortController()
    const leave = () => gone.abort(new CallerGone(undefined))
    const late = setTimeout(() => gone.abort(tookTooLong()), this.options.timeoutMs)
    if (signal.aborted) leave()
    signal.addEventListener('abort', leave)
    const isRepeatable = IDEMPOTENT.has(method)
    const outgoing: Outgoing = {
      prefix,
      method,
      path,
      query: new URLSearchParams(query).toString(),
      headers: { accept: 'application/json' },
      address: remoteAddress,
      principal,
      requestId: newRequestId(undefined),
    }
    try {
      const { status, bytes } = await this.#send(outgoing, isRepeatable, async (_host, head) => {
        const agent = isRepeatable ? this.#kept : this.#fresh
        const { statusCode, body } = await agent.request({ ...head, method, signal: gone.signal })
        return { status: statusCode, bytes: await collectAnswer(body) }
      })
      return envelopeValue(status, bytes)
    } finally {
      clearTimeout(late)
      signal.removeEventListener('abort', leave)
    }
  }

  async #send<Answer>(
    outgoing: Outgoing,
    isRepeatable: boolean,
    attempt: (host: ActiveHost, head: Head) => Promise<Answer>,
  ): Promise<Answer> {
    const { prefix } = outgoing
    const tried = new Set<string>()
    let repeated = !isRepeatable
    for (;;) {
      const host = await this.choice.next(prefix, tried)
      if (host === undefined)
        throw new Kv4Error('service_unavailable', {
          detail: `${prefix}: ${tried.size} hosts refused`,
          retryAfter: 1,
        })
      tried.add(host.key)
      this.choice.began(host)
      try {
        const answer = await attempt(host, await this.#head(outgoing, host))
        this.choice.answered(host)
        return answer
      } catch (error) {
        if (error instanceof ConnectError) this.choice.refused(host)
        else if (isKv4Error(error) || error instanceof CallerGone) throw error
        else if (repeated || isTimeout(error)) throw failure(error, host)
        else repeated = true
        const { requestId } = outgoing
        this.options.log.debug({ requestId, host: host.key, err: error }, 'a host did not take a call')
      } finally {
        this.choice.ended(host)
      }
    }
  }

  /** Ends the connections to services. */
  async close(): Promise<void> {
    await Promise.all([this.#kept.destroy(), this.#fresh.destroy()])
  }

  /** A connection of its own, for one that becomes something else. */
  get fresh(): Dispatcher {
    return this.#fresh
  }

  /** Where the call goes at a host, and what it says of the caller. */
  async #head(
    { prefix, method, path: called, query, headers, address, principal, requestId }: Outgoing,
    host: ActiveHost,
  ): Promise<Head> {
    const { origin, path } = callTarget(host.url, prefix, called, query)
    const { account, sub, bucket, login } = principal
    const caller = signCaller(
      {
        account,
        ...(sub !== undefined && { sub }),
        bucket,
        login,
        path: called,
        address,
        request: requestId,
      },
      { method, target: path },
      this.options.rules.callerKey(host.key, host.salt ?? ''),
    )
    const token = await this.#token(principal, prefix, host.layers ?? [])
    return { origin, path, headers: forwardedHeaders(headers, { caller, token, requestId }) }
  }

  /** With it the service may use its own layers in the caller's bucket, and nothing else, for a few minutes. */
  async #token(principal: Principal, prefix: string, layers: readonly string[]): Promise<string | undefined> {
    if (layers.length === 0) return undefined
    const scope: JsonObject = { prefix, layers }
    return this.options.tokens.issue('service', { principal, scope }, TOKEN_SECONDS)
  }
}

function isTimeout(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown }
  return code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT'
}

function tookTooLong(): Kv4Error {
  return new Kv4Error('service_failed', { fields: { reason: 'it took too long' } })
}

function failure(cause: unknown, { key }: ActiveHost): Kv4Error {
  const reason = isTimeout(cause) ? 'it took too long' : 'the connection broke'
  return new Kv4Error('service_failed', { fields: { reason }, detail: `host ${key}`, cause })
}

function boundTo(prefix: string): BoundExternal {
  const routes: readonly Route[] = METHODS.map((method) =>
    route({
      method,
      access: 'account',
      summary: 'Sent on.',
      run: async () => {
        throw new Kv4Error('internal', { detail: 'a call to an external service was run here' })
      },
    }),
  )
  return {
    external: true,
    service: { name: prefix.slice(1), prefix, layers: [], routes },
    named: new Map(),
    others: new Map<Method, Route>(routes.map((each) => [each.method, each])),
  }
}

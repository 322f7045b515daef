import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { printBasicHeader } from '../auth'
import type { Authentication, Bans, Principal } from '../auth'
import { Kv4Error, Path, isKv4Error } from '../core'
import type { Bucket, Engine, Json } from '../core'
import { ACCESS_RULES } from '../services/module'
import type { Mount, MountReply, MountRequest, MountRoute } from '../services/mount'
import { permit } from './access'
import { BindingError } from './binder'
import type { CallCount } from './call-count'
import type { MountLogin } from './config'
import type { Log } from './log'
import type { OpenStreams } from './open-streams'
import type { Outbox } from './outbox'
import { CallerGone, MAX_BODY_BYTES, leavesBody, readRawBody } from './request-body'
import { statusOf } from './status'
import { parseStrictJson } from './strict-json'

/** First segments that the platform answers itself. */
const RESERVED = ['', 'healthz', 'readyz']
const BODILESS = new Set([204, 304])

export interface MountOptions {
  readonly mounts: readonly Mount[]
  readonly engine: Engine
  readonly authentication: Authentication
  readonly addressOf: (request: IncomingMessage) => string
  readonly originOf: (request: IncomingMessage) => string
  readonly bans: Pick<Bans, 'check'>
  readonly calls: CallCount
  readonly log: Log
  /** By the mount's name: in whose name a call without a credential acts (KV4_MOUNT_LOGINS). */
  readonly logins?: Readonly<Record<string, MountLogin>>
}

/** What a request asks the platform for. */
type Platform = Required<Omit<MountOptions, 'mounts' | 'log'>>

/** All mounts, bound: what http.ts asks before it reads a URL in the platform's own way. */
export interface Mounts {
  /** By the first segment of the request line, as it was sent. */
  find(target: string): Mount | undefined
  /** Answers one request, an error too. Never rejects. */
  serve(
    mount: Mount,
    request: IncomingMessage,
    response: ServerResponse,
    exchange: {
      readonly requestId: string
      readonly last: boolean
      readonly streams: OpenStreams
      readonly outbox: Outbox
    },
  ): Promise<void>
}

/**
 * Binds mounts: each answers every URL whose first segment is one of its own.
 * @throws BindingError for a bad or duplicate segment or name, a route without methods, pattern or a known access rule,
 *   a login for a mount that there is not
 */
export function bindMounts({
  mounts,
  engine,
  authentication,
  addressOf,
  originOf,
  bans,
  calls,
  log,
  logins = {},
}: MountOptions): Mounts {
  const bySegment = new Map<string, Mount>()
  const names = new Set<string>()
  /** In their order, by the methods that were asked for: node knows no others than its parser does. */
  const routes = new Map<Mount, Map<string, readonly MountRoute[]>>()
  for (const mount of mounts) {
    if (names.has(mount.name)) throw new BindingError(`two mounts are called ${mount.name}`)
    names.add(mount.name)
    if (mount.segments.length === 0) throw new BindingError(`mount ${mount.name} has no segments`)
    for (const segment of mount.segments) {
      if (!/^[A-Za-z0-9][A-Za-z0-9._~-]*$/.test(segment) || RESERVED.includes(segment))
        throw new BindingError(`mount ${mount.name}: ${JSON.stringify(segment)} cannot be a mount's segment`)
      const owner = bySegment.get(segment)
      if (owner !== undefined)
        throw new BindingError(`the segment ${segment} is wanted by ${owner.name} and by ${mount.name}`)
      bySegment.set(segment, mount)
    }
    for (const route of mount.routes) checkRoute(mount, route)
    routes.set(mount, new Map<string, readonly MountRoute[]>())
  }
  const stray = Object.keys(logins).find((name) => !names.has(name))
  if (stray !== undefined)
    throw new BindingError(
      `KV4_MOUNT_LOGINS: there is no mount ${stray}; there are ${[...names].sort().join(', ')}`,
    )

  const platform: Platform = { engine, authentication, bans, calls, addressOf, originOf, logins }

  function find(target: string): Mount | undefined {
    if (bySegment.size === 0 || target.charCodeAt(0) !== 0x2f) return undefined
    const end = /[/?]/.exec(target.slice(1))?.index ?? target.length
    return bySegment.get(target.slice(1, end + 1))
  }

  function routesFor(mount: Mount, method: string): readonly MountRoute[] {
    const byMethod = routes.get(mount)!
    let found = byMethod.get(method)
    if (found === undefined)
      byMethod.set(method, (found = mount.routes.filter((route) => answers(route, method))))
    return found
  }

  async function serve(
    mount: Mount,
    request: IncomingMessage,
    response: ServerResponse,
    { requestId, last, streams, outbox }: Parameters<Mounts['serve']>[3],
  ): Promise<void> {
    try {
      const asked = new BoundMountRequest(request, response, mount, platform)
      let reply: MountReply
      try {
        reply = await answer(mount, routesFor(mount, asked.method), asked)
      } catch (error) {
        if (error instanceof CallerGone) return
        tell(error, mount, requestId, log)
        reply = mount.refuse(error, asked)
      }
      const ends = last || leavesBody(request, mount.maxBody ?? MAX_BODY_BYTES)
      await send(request, response, reply, { last: ends, streams, outbox })
    } catch (error) {
      // Only when `refuse` itself, or a stream, failed: there is no other form to say it in.
      log.error({ requestId, mount: mount.name, err: error }, 'an answer could not be given')
      response.destroy()
    }
  }

  return { find, serve }
}

function checkRoute(mount: Mount, route: MountRoute): void {
  const title = `mount ${mount.name}, ${String(route.pattern)}`
  if (!(route.pattern instanceof RegExp) || route.pattern.global || route.pattern.sticky)
    throw new BindingError(`${title}: the pattern is not a stateless regular expression`)
  if (!Array.isArray(route.methods) || route.methods.length === 0)
    throw new BindingError(`${title}: no methods`)
  if (!ACCESS_RULES.includes(route.access))
    throw new BindingError(
      `${title}: the route has no access rule, or an unknown one (${String(route.access)})`,
    )
}

/** HEAD is answered by what answers GET, unless a route names it. */
function answers(route: MountRoute, method: string): boolean {
  const { methods } = route
  return methods.includes(method) || methods.includes('*') || (method === 'HEAD' && methods.includes('GET'))
}

/** Throws, or rejects. */
function answer(
  mount: Mount,
  routes: readonly MountRoute[],
  request: BoundMountRequest,
): Promise<MountReply> {
  for (const route of routes) {
    const match = route.pattern.exec(request.rawPath)
    if (match === null) continue
    return route.access === 'public' ? route.run(request, match) : answerPermitted(route, request, match)
  }
  const known = mount.routes.some(({ pattern }) => pattern.test(request.rawPath))
  throw new Kv4Error(known ? 'method_not_allowed' : 'not_found')
}

async function answerPermitted(
  route: MountRoute,
  request: BoundMountRequest,
  match: RegExpExecArray,
): Promise<MountReply> {
  permit(route.access, await request.login(() => route.at?.(match) ?? Path.root))
  return route.run(request, match)
}

function tell(error: unknown, mount: Mount, requestId: string, log: Log): void {
  const context = { requestId, mount: mount.name }
  if (!isKv4Error(error) || error.code === 'internal')
    log.error({ ...context, err: error }, 'a request failed')
  else if (statusOf(error.code) >= 500)
    log.warn(
      { ...context, code: error.code, detail: error.detail, err: error.cause },
      'a request was not served',
    )
  else log.debug({ ...context, code: error.code, detail: error.detail }, 'a request was refused')
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers = [], body }: MountReply,
  {
    last,
    streams,
    outbox,
  }: { readonly last: boolean; readonly streams: OpenStreams; readonly outbox: Outbox },
): Promise<void> {
  if (response.headersSent || response.destroyed) return
  const all: string[] = []
  for (const [name, value] of headers) all.push(name, value)
  if (last) all.push('Connection', 'close')
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) {
    if (!BODILESS.has(status))
      all.push('Content-Length', String(body === undefined ? 0 : Buffer.byteLength(body)))
    outbox.add(response, status, all, BODILESS.has(status) ? undefined : body)
    return
  }
  response.writeHead(status, all)
  if (request.method === 'HEAD') response.end()
  else {
    response.flushHeaders()
    await streams.send(response, body)
    response.end()
  }
}

/** What a mount sees of a request. */
class BoundMountRequest implements MountRequest {
  readonly method: string
  readonly rawPath: string
  readonly rawQuery: string
  readonly headers: IncomingHttpHeaders
  readonly remoteAddress: string
  kept: object | undefined
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #mount: Mount
  readonly #platform: Platform
  #counted = false
  #principal: Principal | undefined
  #body: Promise<Buffer> | undefined
  #signal: AbortSignal | undefined

  constructor(request: IncomingMessage, response: ServerResponse, mount: Mount, platform: Platform) {
    const target = request.url!
    const mark = target.indexOf('?')
    this.method = request.method!
    this.rawPath = mark === -1 ? target : target.slice(0, mark)
    this.rawQuery = mark === -1 ? '' : target.slice(mark + 1)
    this.headers = request.headers
    this.remoteAddress = platform.addressOf(request)
    this.#request = request
    this.#response = response
    this.#mount = mount
    this.#platform = platform
  }

  get principal(): Principal {
    if (this.#principal === undefined)
      throw new Kv4Error('internal', { detail: 'a public route asked who is calling' })
    return this.#principal
  }

  get bucket(): Bucket {
    return this.bucketOf(this.principal)
  }

  get origin(): string {
    return this.#platform.originOf(this.#request)
  }

  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      const controller = new AbortController()
      if (this.#response.destroyed) controller.abort()
      else this.#response.once('close', () => controller.abort())
      this.#signal = controller.signal
    }
    return this.#signal
  }

  body(): Promise<Buffer> {
    return (this.#body ??= readRawBody(this.#request, this.#response, this.#mount.maxBody ?? MAX_BODY_BYTES))
  }

  async json(): Promise<Json> {
    return parseStrictJson(await this.body())
  }

  bucketOf(principal: Principal): Bucket {
    return this.#platform.engine.bucket(principal.bucket)
  }

  authenticate(user: string, password: string, at = () => Path.root): Promise<Principal> {
    // Basic splits at the first colon, so such a user would become another user with another password.
    if (user.includes(':')) return Promise.reject(new Kv4Error('unauthorized'))
    return this.#identify(printBasicHeader({ user, password }), at)
  }

  /**
   * By the Authorization header; without one in the name that the mount's calls have then, if they have one.
   * @param at what is asked for: who is not known is told nothing of it
   */
  async login(at: () => Path): Promise<Principal> {
    const { authorization } = this.headers
    const login = this.#platform.logins[this.#mount.name]
    const header = authorization ?? (login === undefined ? undefined : printBasicHeader(login))
    return (this.#principal = await this.#identify(header, at))
  }

  async #identify(authorization: string | undefined, at: () => Path): Promise<Principal> {
    const { authentication, bans, calls } = this.#platform
    const principal = await authentication.authenticate({ authorization }, this.remoteAddress)
    await bans.check(principal.bucket, at(), this.remoteAddress)
    if (!this.#counted) calls.add(principal, this.#mount.name, this.method)
    this.#counted = true
    return principal
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Principal } from '../auth/principal'
import { Kv4Error } from '../core'
import type { Bucket, Engine, Path, WriteMark } from '../core'
import type { Method, Route, ServiceRequest } from '../services/module'
import type { Watching } from '../services/watching'
import { singleTag } from './entity-tag'
import type { BoundService } from './binder'
import { wantsEvents } from './event-stream'
import type { Standing } from './standing'

/** One request from its first byte to its answer: what the chain of http.ts fills in step by step. */
export class Exchange {
  /** Set once the request line is understood and a route answers it. */
  call: RouteCall | undefined
  /** Headers that an error's answer needs, e.g. Allow. */
  headers: readonly string[] | undefined

  constructor(readonly id: string) {}
}

/** What the request line asked for. */
export interface RouteCall {
  readonly bound: BoundService
  readonly route: Route
  readonly path: Path
  readonly query: Readonly<Record<string, string>>
}

/** What a service sees of an exchange. */
export class BoundRequest implements ServiceRequest {
  readonly method: Method
  readonly path: Path
  readonly ifMatch?: string
  readonly ifNoneMatch?: string
  readonly lastEventId?: string
  readonly remoteAddress: string
  readonly #request: IncomingMessage
  readonly #principal: Principal | undefined
  readonly #engine: Engine
  readonly #response: ServerResponse
  #bucket: Bucket | undefined
  #signal: AbortSignal | undefined
  #ended: Kv4Error | undefined

  constructor(
    call: RouteCall,
    readonly query: unknown,
    readonly body: unknown,
    principal: Principal | undefined,
    engine: Engine,
    request: IncomingMessage,
    response: ServerResponse,
    remoteAddress: string,
    private readonly standing: Standing,
    readonly closing: AbortSignal,
    private readonly watching: Watching,
  ) {
    this.method = call.route.method
    this.path = call.path
    this.#principal = principal
    this.#engine = engine
    this.#response = response
    this.#request = request
    this.remoteAddress = remoteAddress
    const { headers } = request
    const last = headers['last-event-id']
    if (typeof last === 'string' && last !== '') this.lastEventId = last
    if (headers['if-match'] !== undefined) this.ifMatch = singleTag(headers['if-match'], 'If-Match')
    // Of a GET the adapter compares it with the answer, and a list is fine there.
    if (headers['if-none-match'] !== undefined && this.method !== 'GET')
      this.ifNoneMatch = singleTag(headers['if-none-match'], 'If-None-Match')
  }

  get principal(): Principal {
    if (this.#principal === undefined)
      throw new Kv4Error('internal', { detail: 'a public route asked who is calling' })
    return this.#principal
  }

  get bucket(): Bucket {
    return (this.#bucket ??= this.#engine.bucket(this.principal.bucket))
  }

  /** What is written through `bucket` from now on carries the mark. */
  mark(mark: WriteMark): void {
    this.#bucket = this.bucket.marked(mark)
  }

  watches(): void {
    const leave = this.watching.enter(this.bucket)
    if (this.#response.destroyed) leave()
    else this.#response.once('close', leave)
  }

  get wantsEvents(): boolean {
    return wantsEvents(this.#request)
  }

  /** Why the caller may not go on; undefined: he may, or nobody had to look, as the signal was not asked for. */
  get ended(): Kv4Error | undefined {
    return this.#ended
  }

  // Most routes never ask, and a controller with its listener per request is not free.
  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      const controller = new AbortController()
      this.#signal = controller.signal
      if (this.#response.destroyed) controller.abort()
      else {
        const release = this.#hold(controller)
        this.#response.once('close', () => {
          release?.()
          controller.abort()
        })
      }
    }
    return this.#signal
  }

  #hold(controller: AbortController): (() => void) | undefined {
    if (this.#principal === undefined) return undefined
    const { headers } = this.#request
    const caller = { principal: this.#principal, path: this.path, address: this.remoteAddress, headers }
    return this.standing.hold(caller, (why) => {
      if (controller.signal.aborted) return
      this.#ended = why
      controller.abort()
    })
  }
}

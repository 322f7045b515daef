import type { ZodType } from 'zod'
import type { ClusterKey } from '../auth/cluster-key'
import type { AccountEnds } from '../auth/account-ends'
import type { BanEnds } from '../auth/ban-ends'
import type { Bans } from '../auth/bans'
import type { LoginKeepers } from '../auth/keepers'
import type { Principal, PrincipalToken } from '../auth/principal'
import type { TokenKeeper } from '../auth/token-keeper'
import type { Bucket, Engine, Json, Key, LayerDeclaration, Path } from '../core'
import type { Recorder } from './recorder'
import type { SocketDialer, SocketRoute } from './socket'
import type { Watched } from './watch'
import type { WatchDoor } from './watch-door'
import type { WebhookSender } from './webhook-sender'

/**
 * What a service is: a value that the binder in server/ mounts. A service never sees HTTP: it gets a parsed request
 * and returns the value of `v`, a Reply when it has more to say, or throws an error of the catalogue.
 */
export interface Service {
  /** The word in the URL without its underscore; also the folder's and the test's name. */
  readonly name: string
  /** First path segment of its URLs, `_` + name. */
  readonly prefix: string
  readonly layers: readonly LayerDeclaration[]
  readonly routes: readonly Route[]
  /** Websockets that it answers; asked in this order, after those of the services before it. */
  readonly sockets?: readonly SocketRoute[]
  start?(): Promise<void>
  /** Once calls can arrive. */
  announce?(listener: Listener): Promise<void>
  /** Before calls are refused at the end; those under way go on. */
  retire?(): Promise<void>
  stop?(): Promise<void>
}

/** How this node is reached. */
export interface Listener {
  /** By other nodes: `http://10.0.0.5:4006` (KV4_NODE_URL). */
  readonly url: string
  /** By clients that want a websocket: `wss://signal.example.com/ws` (KV4_PUBLIC_WS_URL). */
  readonly publicUrl: string
  /** How often it says that it is there (KV4_HOST_BEAT_MS). */
  readonly beatMs: number
  /** Open at the moment. */
  readonly connections: () => number
  readonly maxConnections: number
}

/**
 * Who may call a route, beside having been let in at all:
 * - `account`: every authenticated principal, in its own bucket;
 * - `holder`: the system, a primary account, or an administrator of one; not a sub-account;
 * - `system`: `$sys` and its administrators;
 * - `public`: nobody is asked for a credential.
 */
export const ACCESS_RULES = ['account', 'holder', 'system', 'public'] as const
export type Access = (typeof ACCESS_RULES)[number]

export const METHODS = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE'] as const
export type Method = (typeof METHODS)[number]

export interface RouteInput {
  /** Of the query parameters, each a string (of a repeated one the last). Unknown ones are ignored. */
  readonly query?: ZodType
  /** Of the JSON body. A route without it ignores the body. */
  readonly body?: ZodType
}

export interface Route<Query = unknown, Body = unknown> {
  readonly method: Method
  /** The path that this route answers, exactly; absent: every path that no other route of the service names. */
  readonly at?: string
  readonly access: Access
  /** Bearers of tokens of these purposes may call it too, whatever `access` says. Absent: none may. */
  readonly tokens?: readonly PrincipalToken['purpose'][]
  /** One line for docs/routes.md. */
  readonly summary: string
  readonly input?: RouteInput
  /** Of a GET: what `?watch=1` watches. Absent: it cannot be watched. */
  watch?(request: ServiceRequest<Query, undefined>): Watched | Promise<Watched>
  run(request: ServiceRequest<Query, Body>): Promise<Json | Reply>
}

/** Ties the types of `input` to those that `run` gets. */
export function route<Query extends ZodType, Body extends ZodType>(
  definition: Omit<Route, 'run' | 'input' | 'watch'> & {
    readonly input?: { readonly query?: Query; readonly body?: Body }
    watch?(request: ServiceRequest<Query['_output'], undefined>): Watched | Promise<Watched>
    run(request: ServiceRequest<Query['_output'], Body['_output']>): Promise<Json | Reply>
  },
): Route {
  return definition
}

export interface ServiceRequest<Query = unknown, Body = unknown> {
  readonly method: Method
  readonly path: Path
  readonly query: Query
  readonly body: Body
  readonly principal: Principal
  /** The principal's bucket, chosen by the credential alone. */
  readonly bucket: Bucket
  /** Version tags of If-Match / If-None-Match, `*` as such; absent when the header is. */
  readonly ifMatch?: string
  readonly ifNoneMatch?: string
  /** The caller's, as KV4_TRUST_PROXY lets it be believed; empty when he has gone. */
  readonly remoteAddress: string
  /** The caller asks for server-sent events (Accept: text/event-stream): answer with a Reply that has a `stream`. */
  readonly wantsEvents: boolean
  /** The `id` of the last event that the caller has had, when it comes back to a stream (Last-Event-ID). */
  readonly lastEventId?: string
  /**
   * Ends when the caller has gone, or may not go on: his account, his credential or his address was refused meanwhile.
   * Whoever goes on after the answer has begun, or waits long for it, has to end with it.
   */
  readonly signal: AbortSignal
  /**
   * Counts the call, until its answer has ended, among those who watch (KV4_WATCH_MAX, KV4_WATCH_PER_ACCOUNT). For what goes
   * on or waits and is not a `watch`, which is counted as one.
   * @throws limit_reached, overloaded
   */
  watches(): void
  /** Ends when this node is about to stop: who waits for what may yet come answers then with what there is. */
  readonly closing: AbortSignal
}

/** One event of an answer that goes on, sent as server-sent events do. */
export interface StreamEvent {
  /** Where to go on from: comes back as `lastEventId`. One line. */
  readonly id?: string
  /** The type that browsers dispatch on. One line; absent: `message`. */
  readonly event?: string
  /** Absent: nothing happened, only `id` is a later one. */
  readonly data?: Json
  /** `data` as JSON text where it is known already, as when many are told the same. */
  readonly text?: string
}

/** Events until the source ends. */
export interface EventSource extends AsyncIterable<StreamEvent> {
  /** Where to go on from after all events so far, asked while nothing comes; undefined: the last event's `id`. */
  position?(): string | undefined
}

/** An answer that carries more than a value. */
export class Reply {
  constructor(
    /** A function: where `text` says it already, so that few will ask for it. */
    private readonly source: Json | (() => Json),
    readonly more: {
      /** Version tag for the ETag header. */
      readonly tag?: string
      /** 201 instead of 200 under KV4_STATUS=rest. */
      readonly created?: boolean
      /** Cursor of the next page: sent as `next` in the envelope. */
      readonly next?: string
      /** `value` as JSON text where it is known already: sent as it is, so that a cached entry is serialised once. */
      readonly text?: string
      /**
       * Instead of `value`: events until the source ends or the caller goes, sent no faster than they are read. The
       * source has to end with the request's `signal`.
       */
      readonly stream?: EventSource
    } = {},
  ) {}

  get value(): Json {
    return typeof this.source === 'function' ? this.source() : this.source
  }
}

/** What the composition root hands to a service's factory. */
export interface ServiceContext {
  readonly engine: Engine
  readonly node: string
  /** Names this life of the node: a new one at each start. */
  readonly epoch: string
  /** KV4_REQUIRE_VER: updates of live entries must name the version that they replace. Absent: false. */
  readonly requireVer?: boolean
  /** KV4_SCHEMAS_DIR: where schemas for the sessions of all accounts lie. Absent: nowhere. */
  readonly schemasDir?: string
  /** The rules and hashes of logins, which a service may not import from auth. */
  readonly keepers: LoginKeepers
  /** Issues and verifies what stands in for a secret: connections, hosts, external services. */
  readonly tokens: TokenKeeper
  /**
   * Which addresses are denied which paths. The server asks it for every request of a service; who lets somebody in by
   * another way asks it himself.
   */
  readonly bans: Bans
  /** Who keeps something open for an address is told here when it is denied. */
  readonly banEnds: BanEnds
  /** Who keeps something open for an account is told here when that account ends. */
  readonly accountEnds: AccountEnds
  /** Watches what the routes of all services let be watched. */
  readonly watches: WatchDoor
  /** Where to count what `_stats` then tells. */
  readonly stats: Recorder
  /** How nodes of this platform know each other. */
  readonly cluster: ClusterKey
  /** Opens websockets to elsewhere. */
  readonly dial: SocketDialer
  /** What holds for external services, and how to call one. */
  readonly external: ExternalRules & ExternalCaller
  /** Calls URLs that accounts have registered, and says which may be. */
  readonly webhooks: WebhookSender
  /** Told of failures that no caller waits for; the service goes on. Absent: nobody is told. */
  readonly onBackgroundError?: (error: unknown) => void
}

/** What the server knows of external services, and `_host` has to ask when one registers. */
export interface ExternalRules {
  /** Whether the platform answers below this prefix itself. */
  isOwn(prefix: string): boolean
  /** @throws bad_request for a URL that calls are not sent to, whatever name it hides behind */
  checkUrl(url: URL): Promise<void>
  /** What calls to a host are signed with; made of the pepper, so that it is not in the store. */
  callerKey(host: Key, salt: string): string
}

/** Calls external services for whoever answers on their behalf: a mount whose old API has a URL of its own for it. */
export interface ExternalCaller {
  /**
   * Makes a call in the principal's name, as if he had made it himself; bans are the business of who calls.
   * @returns `v` of the answer
   * @throws service_unavailable when no host of the prefix lives, or none takes the call; service_failed when one took
   * it and gave no answer in the envelope, or one of more than 1 MiB; what the service itself refused with, when it is
   * in the catalogue (`unauthorized` and `internal` are service_failed: they are the platform's failure, not the
   * caller's); bad_segment; store_unavailable
   */
  call(asked: ExternalRequest): Promise<Json>
}

/** A call without a body. */
export interface ExternalRequest {
  /** `_turn` */
  readonly prefix: string
  readonly method: Method
  readonly path: Path
  readonly query?: Readonly<Record<string, string>>
  readonly principal: Principal
  /** Told to the service. */
  readonly remoteAddress: string
  /** Ends when the caller has gone. */
  readonly signal: AbortSignal
}

/** What a service's folder exports and services/catalog.ts lists. */
export type ServiceFactory = (context: ServiceContext) => Service

export type { Key }

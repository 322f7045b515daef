import type { IncomingHttpHeaders } from 'node:http'
import type { Principal } from '../auth/principal'
import type { Bucket, Json, Path } from '../core'
import type { Access, ServiceContext } from './module'

/**
 * The wire format of a revived system, beside the platform's envelope: its own URLs, bodies, errors and headers, over
 * the same engine. A mount answers every URL whose first segment is one of its own; the binder refuses two that want
 * the same, and a route without an access rule.
 */
export interface Mount {
  readonly name: string
  /** First path segments, as they appear in the URL: `v1.0`. */
  readonly segments: readonly string[]
  /** Asked in this order; the first whose method and pattern match answers. */
  readonly routes: readonly MountRoute[]
  /** Largest body in bytes; a larger one becomes `refuse` with body_too_large. Default 1 MiB. */
  readonly maxBody?: number
  /** The system's own form of an error, an unknown URL (`not_found`) or a wrong method (`method_not_allowed`) among them. */
  refuse(error: unknown, request: MountRequest): MountReply
}

export interface MountRoute {
  /** `*`: every one. */
  readonly methods: readonly string[]
  /** Against `rawPath`; groups are handed to `run`. */
  readonly pattern: RegExp
  /**
   * As for services; a call without a credential has the one that KV4_MOUNT_LOGINS names for the mount, if it names one.
   * `public` routes may still ask `request.authenticate` themselves, for credentials that do not
   * travel in the Authorization header.
   */
  readonly access: Access
  /**
   * Where in the tree lies what it answers, which the platform's own routes have as their path: who is denied that place
   * is refused. Absent: at the root. Not asked of `public` routes.
   */
  readonly at?: (match: RegExpExecArray) => Path
  /** One line for docs/routes.md. */
  readonly summary: string
  run(request: MountRequest, match: RegExpExecArray): Promise<MountReply>
}

export interface MountRequest {
  readonly method: string
  /** As it was sent, neither decoded nor normalised, without the query. */
  readonly rawPath: string
  /** Without the `?`; empty when there is none. */
  readonly rawQuery: string
  readonly headers: IncomingHttpHeaders
  readonly remoteAddress: string
  /** `http` or `https`, and the host, as the client sees them: for Location headers. */
  readonly origin: string
  /** The whole body, of any type. @throws body_too_large */
  body(): Promise<Buffer>
  /** The body as JSON, read as strictly as that of a service, whatever its type. @throws bad_json, body_too_large */
  json(): Promise<Json>
  /** Of a route that is not `public`. */
  readonly principal: Principal
  readonly bucket: Bucket
  /**
   * Verifies a credential that came by another way.
   * @param at as of a route that is not `public`; asked once it is known who calls. Absent: at the root
   * @throws unauthorized, too_many_requests, overloaded, forbidden where the place is denied the caller
   */
  authenticate(user: string, password: string, at?: () => Path): Promise<Principal>
  bucketOf(principal: Principal): Bucket
  /** Ends when the caller has gone. */
  readonly signal: AbortSignal
  /**
   * What the mount keeps with the request on its way from `run` to `refuse`; undefined at first. A WeakMap in its place
   * would keep every request alive until the next full collection: a minor one takes what is in a WeakMap for reachable.
   */
  kept: object | undefined
}

export interface MountReply {
  readonly status: number
  /** Name, value; sent in this order. Content-Length is added to a body that is not a stream. */
  readonly headers?: readonly (readonly [string, string])[]
  /**
   * Absent: none. What comes in parts has an end: at SIGTERM it has KV4_DRAIN_MS to come to it, then its connection is cut,
   * so that nobody takes a piece for the whole.
   */
  readonly body?: string | Buffer | AsyncIterable<string>
}

/** What the room of a revived system exports and services/catalog.ts lists. */
export type MountFactory = (context: ServiceContext) => Mount

import type { IncomingHttpHeaders } from 'node:http'
import type { Principal } from '../auth/principal'
import type { Bucket } from '../core'
import type { Access } from './module'

/**
 * Websockets as a service declares and uses them: text frames over whatever library server/ has for it. A frame that is
 * not text closes the socket (1003), one that is too large too (1009).
 */
export interface SocketRoute {
  /** Against `rawPath` of the upgrade request; groups are handed to `admit`. */
  readonly pattern: RegExp
  /** As for routes. `public`: the credential is not in the Authorization header, and `admit` looks for it. */
  readonly access: Access
  /** One line for docs/routes.md. */
  readonly summary: string
  /** Bytes of a frame that may come in. Default 64 KiB. */
  readonly maxFrame?: number
  /** Bytes that may wait for a reader that is too slow, before its connection is cut. Default 1 MiB. */
  readonly maxWaiting?: number
  /**
   * Decides before the handshake. Frames wait until it has resolved. An error refuses the handshake with the HTTP
   * answer that a request would get.
   */
  admit(request: SocketRequest, match: RegExpExecArray): Promise<SocketListener>
}

export interface SocketRequest {
  /** As it was sent, neither decoded nor normalised, without the query. */
  readonly rawPath: string
  /** Without the `?`; empty when there is none. */
  readonly rawQuery: string
  readonly headers: IncomingHttpHeaders
  readonly remoteAddress: string
  /** Of a route that is not `public`. */
  readonly principal: Principal
  readonly bucket: Bucket
}

/** What happens to a socket that was admitted. */
export interface SocketListener {
  open?(socket: Socket): void
  /** One text frame, as its bytes: valid UTF-8. */
  message?(frame: Buffer): void
  /** Once, however it ended; also when it never opened. */
  closed?(code: number): void
}

export interface Socket {
  /** Sends a text frame; one that is closed already is silently spared. A buffer is UTF-8, and is sent as it is. */
  send(frame: string | Buffer): void
  close(code: number, reason?: string): void
  /** Cuts the connection. */
  terminate(): void
  /** Stops reading: what the other side sends from now on waits on its way. */
  pause(): void
  resume(): void
  /** Bytes that were sent and have not left yet. */
  readonly waiting: number
}

/** Opens a websocket to elsewhere. Never throws: `closed` tells of a connection that failed. */
export type SocketDialer = (
  url: string,
  listener: SocketListener,
  options?: { readonly headers?: Readonly<Record<string, string>>; readonly maxFrame?: number },
) => void

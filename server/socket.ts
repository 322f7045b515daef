import { WebSocket } from 'ws'
import type { Socket, SocketDialer, SocketListener } from '../services/socket'
import type { Liveness } from './liveness'
import type { Log } from './log'

export const MAX_FRAME = 64 * 1024
const MAX_WAITING = 1024 * 1024
const NOT_TEXT = 1003
const FAILED = 1011
const DIAL_TIMEOUT_MS = 5_000

/** What `send` passes on: compression is never negotiated. */
const TEXT = Object.freeze({ binary: false, compress: false })

/** The port of services/socket.ts over `ws`. */
class WsSocket implements Socket {
  constructor(
    private readonly ws: WebSocket,
    private readonly maxWaiting: number,
  ) {}

  send(frame: string | Buffer): void {
    const { ws } = this
    if (ws.readyState !== WebSocket.OPEN) return
    ws.send(frame, TEXT)
    // A close frame would only wait behind the rest.
    if (ws.bufferedAmount > this.maxWaiting) ws.terminate()
  }

  close(code: number, reason?: string): void {
    this.ws.resume()
    this.ws.close(code, reason)
  }

  terminate(): void {
    this.ws.terminate()
  }

  pause(): void {
    this.ws.pause()
  }

  resume(): void {
    this.ws.resume()
  }

  get waiting(): number {
    return this.ws.bufferedAmount
  }
}

/** Gives an open websocket its listener. An error of the listener is logged and closes the socket. */
export function listen(
  ws: WebSocket,
  listener: SocketListener,
  {
    maxWaiting = MAX_WAITING,
    liveness,
    log,
  }: { readonly maxWaiting?: number | undefined; readonly liveness: Liveness; readonly log: Log },
): void {
  const guard = (act: () => void) => {
    try {
      act()
    } catch (error) {
      log.error({ err: error }, 'a socket failed')
      ws.close(FAILED)
    }
  }
  // The library closes what it complains of.
  ws.on('error', (error) => log.debug({ err: error }, 'a socket was closed for an error'))
  ws.once('close', (code) => guard(() => listener.closed?.(code)))
  ws.on('message', (data, isBinary) => {
    if (isBinary) ws.close(NOT_TEXT)
    // What arrived together with a frame that had the socket closed is not read any more.
    else if (ws.readyState === WebSocket.OPEN) guard(() => listener.message?.(data as Buffer))
  })
  liveness.add(ws)
  guard(() => listener.open?.(new WsSocket(ws, maxWaiting)))
}

export function createDialer(options: { readonly liveness: Liveness; readonly log: Log }): SocketDialer {
  return (url, listener, { headers, maxFrame = MAX_FRAME } = {}) => {
    const ws = new WebSocket(url, {
      perMessageDeflate: false,
      followRedirects: false,
      handshakeTimeout: DIAL_TIMEOUT_MS,
      maxPayload: maxFrame,
      ...(headers === undefined ? {} : { headers }),
    })
    const failed = () => listener.closed?.(1006)
    ws.once('error', failed)
    ws.once('open', () => {
      ws.off('error', failed)
      listen(ws, listener, { ...options, maxWaiting: Infinity })
    })
  }
}

import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { isTrusted } from './remote-address'

const HOST = /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

function first(header: string | string[] | undefined): string | undefined {
  const text = typeof header === 'string' ? header : header?.[0]
  return text?.split(',')[0]?.trim().toLowerCase()
}

/**
 * `http://host:port` as the client sees this server, for Location headers. X-Forwarded-Proto and X-Forwarded-Host count
 * only from a trusted proxy; a Host that is none gives way to the address of the socket.
 * @param trusted addresses and CIDR ranges (KV4_TRUST_PROXY)
 */
export function originOf(trusted: readonly string[]): (request: IncomingMessage) => string {
  const isProxy = isTrusted(trusted)
  return (request) => {
    const { headers, socket } = request
    const forwarded = isProxy(socket.remoteAddress ?? '')
    const proto = forwarded ? first(headers['x-forwarded-proto']) : undefined
    const scheme =
      proto === 'https' || proto === 'http'
        ? proto
        : (socket as Partial<TLSSocket>).encrypted === true
          ? 'https'
          : 'http'
    const named = (forwarded ? first(headers['x-forwarded-host']) : undefined) ?? headers.host
    if (named !== undefined && HOST.test(named)) return `${scheme}://${named}`
    const address = socket.localAddress ?? '127.0.0.1'
    return `${scheme}://${address.includes(':') ? `[${address}]` : address}:${socket.localPort ?? 80}`
  }
}

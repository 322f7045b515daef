import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { addRange } from './config'

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/** One spelling per address: IPv4-mapped IPv6 is IPv4. */
function plain(address: string): string {
  return MAPPED.exec(address)?.[1] ?? address
}

/** Whether an address is one of those that the operator named (KV4_TRUST_PROXY). */
export function isTrusted(trusted: readonly string[]): (address: string) => boolean {
  if (trusted.length === 0) return () => false
  const proxies = new BlockList()
  for (const range of trusted) addRange(proxies, range)
  return (text) => {
    const address = plain(text)
    const version = isIP(address)
    return version !== 0 && proxies.check(address, version === 4 ? 'ipv4' : 'ipv6')
  }
}

/**
 * Who is calling, for throttles and bans. X-Forwarded-For is read from its right end, and only as far as each address
 * is a trusted proxy's: whatever stands further left, the caller may have written himself.
 * @param trusted addresses and CIDR ranges (KV4_TRUST_PROXY)
 */
export function remoteAddressOf(trusted: readonly string[]): (request: IncomingMessage) => string {
  if (trusted.length === 0) return (request) => plain(request.socket.remoteAddress ?? '')
  const isProxy = isTrusted(trusted)

  return (request) => {
    let address = plain(request.socket.remoteAddress ?? '')
    const header = request.headers['x-forwarded-for']
    if (header === undefined) return address
    const hops = (typeof header === 'string' ? header : header.join(',')).split(',')
    while (hops.length > 0 && isProxy(address)) {
      const hop = plain(hops.pop()!.trim())
      // A proxy that writes no address tells nothing: blame the proxy.
      if (isIP(hop) === 0) return address
      address = hop
    }
    return address
  }
}

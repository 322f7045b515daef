import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { Kv4Error } from '../../core'
import { addRange } from '../config'

/** Where nothing but what the platform may call listens, or everything that has no special meaning. */
const WELL_KNOWN = [80, 443]
const FIRST_FREE = 1024

/**
 * Where calls to external services may go. An operator names addresses and ranges (KV4_SERVICE_ALLOW), and then those
 * alone; else only public unicast addresses, so that a registered URL reaches nothing that is private to this machine
 * or its network. Names are looked up each time a connection is made, so a name that changes its mind gains nothing.
 */
export class Destinations {
  readonly #allowed: BlockList | undefined

  /** @param allowed addresses and CIDR ranges; empty: public unicast */
  constructor(allowed: readonly string[]) {
    if (allowed.length === 0) return
    this.#allowed = new BlockList()
    for (const range of allowed) addRange(this.#allowed, range)
  }

  /** @throws bad_request */
  async check(url: URL): Promise<void> {
    const refuse = (reason: string) => new Kv4Error('bad_request', { fields: { parameter: 'url', reason } })
    if (!isPort(url)) throw refuse('ports are 80, 443, and those from 1024 on')
    try {
      await this.resolve(url.hostname)
    } catch (cause) {
      throw cause instanceof DestinationError
        ? refuse(cause.message)
        : new Kv4Error('bad_request', {
            fields: { parameter: 'url', reason: 'its host name is not found' },
            cause,
          })
    }
  }

  /** An address that may be connected to. @throws DestinationError where any of them may not; the look-up's errors */
  async resolve(hostname: string): Promise<string> {
    const literal = hostname.replace(/^\[(.*)\]$/, '$1')
    const addresses =
      isIP(literal) !== 0 ? [literal] : (await lookup(hostname, { all: true })).map(({ address }) => address)
    for (const address of addresses)
      if (!this.#isAllowed(address))
        throw new DestinationError('its address is not one that calls may be sent to')
    return addresses[0]!
  }

  #isAllowed(text: string): boolean {
    if (!ipaddr.isValid(text)) return false
    // IPv4-mapped IPv6 is IPv4.
    const address = ipaddr.process(text)
    if (this.#allowed === undefined) return address.range() === 'unicast'
    return this.#allowed.check(address.toString(), address.kind())
  }
}

export class DestinationError extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'DestinationError'
  }
}

function isPort({ port }: URL): boolean {
  // Empty: that of the scheme.
  return port === '' || WELL_KNOWN.includes(Number(port)) || Number(port) >= FIRST_FREE
}

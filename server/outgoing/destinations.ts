import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { Kv4Error } from '../../core'
import { addRange } from '../config'

// Where nothing but what the platform may call listens, or everything that has no special meaning.
const WELL_KNOWN = [80, 443]
const FIRST_FREE = 1024

// All that is given out of IPv6 to be reached by everybody; `::127.0.0.1` and its like are not in it.
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number]

export interface DestinationRules {
  /** Addresses and CIDR ranges beside which nothing may be called. Empty or absent: every public unicast address. */
  readonly only?: readonly string[]
  /** What may be called although it is not public. */
  readonly also?: readonly string[]
  /** What the operator names them by: who is refused is told. */
  readonly setting?: string
}

/**
 * Where the platform's own calls may go: to addresses and ranges that an operator names, and to public unicast ones
 * unless he names all, so that a registered URL reaches nothing that is private to this machine or its network. Names
 * are looked up each time a connection is made, so a name that changes its mind gains nothing.
 */
export class Destinations {
  readonly #named = new BlockList()
  readonly #isPublicAllowed: boolean
  readonly #remedy: string

  constructor({ only = [], also = [], setting }: DestinationRules) {
    this.#remedy = setting === undefined ? '' : ` (the operator allows it by ${setting})`
    this.#isPublicAllowed = only.length === 0
    for (const range of [...only, ...also]) addRange(this.#named, range)
  }

  /**
   * @param parameter what the caller calls the URL
   * @throws bad_request
   */
  async check(url: URL, parameter = 'url'): Promise<void> {
    const refuse = (reason: string, cause?: unknown) =>
      new Kv4Error('bad_request', { fields: { parameter, reason }, cause })
    if (!isPort(url)) throw refuse('ports are 80, 443, and those from 1024 on')
    try {
      await this.resolve(url.hostname)
    } catch (cause) {
      throw cause instanceof DestinationError
        ? refuse(cause.message)
        : refuse('its host name is not found', cause)
    }
  }

  /** An address that may be connected to. @throws DestinationError where any of them may not; the look-up's errors */
  async resolve(hostname: string): Promise<string> {
    const literal = hostname.replace(/^\[(.*)\]$/, '$1')
    const addresses =
      isIP(literal) !== 0 ? [literal] : (await lookup(hostname, { all: true })).map(({ address }) => address)
    for (const address of addresses)
      if (!this.#isAllowed(address))
        throw new DestinationError(`its address is not one that calls may be sent to${this.#remedy}`)
    return addresses[0]!
  }

  #isAllowed(text: string): boolean {
    if (!ipaddr.isValid(text)) return false
    // IPv4-mapped IPv6 is IPv4.
    const address = ipaddr.process(text)
    return (
      this.#named.check(address.toString(), address.kind()) || (this.#isPublicAllowed && isPublic(address))
    )
  }
}

export class DestinationError extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'DestinationError'
  }
}

function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return address.range() === 'unicast' && (address instanceof ipaddr.IPv4 || address.match(GLOBAL_IPV6))
}

function isPort({ port }: URL): boolean {
  // Empty: that of the scheme.
  return port === '' || WELL_KNOWN.includes(Number(port)) || Number(port) >= FIRST_FREE
}

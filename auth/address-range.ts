import ipaddr from 'ipaddr.js'
import { isIP } from 'node:net'
import { Kv4Error } from '../core'

type Address = ReturnType<typeof ipaddr.parse>

/**
 * An address, or a range of them in CIDR form, in its one spelling: `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1`,
 * `2001:db8::/32`. IPv4 written as IPv6 (`::ffff:192.0.2.1`) is IPv4; an IPv6 range never covers IPv4 addresses.
 */
export interface AddressRange {
  readonly text: string
  covers(address: CallerAddress): boolean
}

/** Who calls, ready to be compared. */
export interface CallerAddress {
  /** As AddressRange spells it. */
  readonly text: string
  readonly address: Address
}

const MAPPED_BITS = 96

// ipaddr.js alone would also read `0177.1`, `2130706433` and other spellings that nobody means.
function read(text: string): Address | undefined {
  return isIP(text) === 0 || text.includes('%') ? undefined : ipaddr.parse(text)
}

function print(address: Address): string {
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString()
}

/** undefined: it is no address. A zone (`fe80::1%eth0`) says nothing about who it is. */
export function callerAddress(text: string | undefined): CallerAddress | undefined {
  const read6or4 = text === undefined ? undefined : read(text.split('%', 1)[0]!)
  if (read6or4 === undefined) return undefined
  const address =
    read6or4 instanceof ipaddr.IPv6 && read6or4.isIPv4MappedAddress() ? read6or4.toIPv4Address() : read6or4
  return { address, text: print(address) }
}

/** Bits behind the prefix of a range are dropped: `10.1.2.3/8` is `10.0.0.0/8`. @throws bad_address */
export function parseAddressRange(text: string): AddressRange {
  const [name = '', suffix, ...rest] = text.split('/')
  const address = read(name)
  if (
    address === undefined ||
    rest.length > 0 ||
    (suffix !== undefined && !/^(?:0|[1-9]\d{0,2})$/.test(suffix))
  )
    throw new Kv4Error('bad_address')
  const all = address instanceof ipaddr.IPv6 ? 128 : 32
  const bits = suffix === undefined ? all : Number(suffix)
  if (bits > all) throw new Kv4Error('bad_address')
  if (address instanceof ipaddr.IPv6) {
    if (address.isIPv4MappedAddress() && bits >= MAPPED_BITS)
      return rangeOf(address.toIPv4Address(), bits - MAPPED_BITS)
    return rangeOf(address, bits)
  }
  return rangeOf(address, bits)
}

function rangeOf(address: Address, bits: number): AddressRange {
  const bytes = address.toByteArray()
  const single = bits === bytes.length * 8
  const masked = bytes.map((byte, i) => byte & (0xff << (8 - Math.max(0, Math.min(8, bits - i * 8)))) & 0xff)
  const network = ipaddr.fromByteArray(masked)
  const kind = network.kind()
  const text = single ? print(network) : `${print(network)}/${bits}`
  return {
    text,
    covers(caller) {
      if (single) return caller.text === text
      // `match` wants to know that both are of one kind.
      return caller.address.kind() === kind && (caller.address as ipaddr.IPv6).match(network, bits)
    },
  }
}

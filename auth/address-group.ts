import { isIPv4, isIPv6 } from 'node:net'

/** Whoever holds one IPv6 address holds its /64. */
const PREFIX_GROUPS = 4

/** The eight groups of an IPv6 address without a zone. */
function groups(address: string): number[] {
  const [head, tail] = address.split('::') as [string, string?]
  const numbers = (part: string | undefined): number[] =>
    !part
      ? []
      : part.split(':').flatMap((group) => {
          if (!group.includes('.')) return [Number.parseInt(group, 16)]
          const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number]
          return [a * 256 + b, c * 256 + d]
        })
  const front = numbers(head)
  const back = numbers(tail)
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back]
}

/**
 * Those addresses that count as one when failures are counted: an IPv4 address by itself, also where it is written
 * as an IPv6 one (`::ffff:192.0.2.1`), an IPv6 address with its /64. Anything else, such as a socket without an
 * address, is one group `-`.
 */
export function addressGroup(address: string | undefined): string {
  if (address === undefined) return '-'
  if (isIPv4(address)) return address
  const bare = address.split('%')[0]!
  if (!isIPv6(bare)) return '-'
  const parts = groups(bare)
  if (parts.slice(0, 5).every((part) => part === 0) && parts[5] === 0xffff)
    return [parts[6]! >> 8, parts[6]! & 255, parts[7]! >> 8, parts[7]! & 255].join('.')
  return (
    parts
      .slice(0, PREFIX_GROUPS)
      .map((part) => part.toString(16))
      .join(':') + '::/64'
  )
}

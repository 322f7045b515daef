import type { IncomingMessage } from 'node:http'
import { remoteAddressOf } from '../../server/remote-address'

function from(remoteAddress: string, forwarded: string | undefined, ...trusted: string[]): string {
  const request = { socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } }
  return remoteAddressOf(trusted)(request as unknown as IncomingMessage)
}

describe('remote address', () => {
  test.each([
    ['nobody is trusted by default', '10.0.0.1', '1.2.3.4', [], '10.0.0.1'],
    ['a proxy that is trusted', '10.0.0.1', '1.2.3.4', ['10.0.0.0/8'], '1.2.3.4'],
    ['a stranger is not believed', '9.9.9.9', '1.2.3.4', ['10.0.0.0/8'], '9.9.9.9'],
    ['what the caller wrote himself is not read', '10.0.0.1', '6.6.6.6, 1.2.3.4', ['10.0.0.0/8'], '1.2.3.4'],
    ['a chain of proxies', '10.0.0.1', '6.6.6.6, 1.2.3.4, 10.0.0.2', ['10.0.0.0/8'], '1.2.3.4'],
    ['IPv4 in IPv6 is IPv4', '::ffff:10.0.0.1', '::ffff:1.2.3.4', ['10.0.0.1'], '1.2.3.4'],
    ['IPv6', '::1', '2001:db8::1', ['::1'], '2001:db8::1'],
    ['a header that is no address', '10.0.0.1', 'unknown', ['10.0.0.0/8'], '10.0.0.1'],
    ['an empty header', '10.0.0.1', '', ['10.0.0.0/8'], '10.0.0.1'],
    ['no header', '10.0.0.1', undefined, ['10.0.0.0/8'], '10.0.0.1'],
    ['only proxies', '10.0.0.1', '10.0.0.2', ['10.0.0.0/8'], '10.0.0.2'],
  ])('%s', (_title, remote, forwarded, trusted, expected) => {
    expect(from(remote, forwarded, ...trusted)).toBe(expected)
  })
})

import fc from 'fast-check'
import { parseBasicHeader, printBasicHeader } from '../../auth/basic-header'
import { parseCredential, printCredential } from '../../auth/credential'
import type { Credential } from '../../auth/credential'

describe('the credential grammar', () => {
  it.each<[string, string, Credential]>([
    ['elena', 's3cret', { kind: 'account', account: 'elena', secret: 's3cret' }],
    ['$sys', 'secret', { kind: 'account', account: '$sys', secret: 'secret' }],
    ['elena#lily', 'hers', { kind: 'sub', account: 'elena', sub: 'lily', secret: 'hers' }],
    ['elena#lily', '!elenas', { kind: 'proxy', account: 'elena', sub: 'lily', secret: 'elenas' }],
    ['elena', 'key#pass', { kind: 'admin', account: 'elena', admin: 'key', password: 'pass' }],
    ['$sys', 'ops#pass', { kind: 'admin', account: '$sys', admin: 'ops', password: 'pass' }],
    [
      'elena#lily',
      '!key#pass',
      { kind: 'proxy-admin', account: 'elena', sub: 'lily', admin: 'key', password: 'pass' },
    ],
    [
      'elena#lily',
      'key#pass',
      { kind: 'sub-admin', account: 'elena', sub: 'lily', admin: 'key', password: 'pass' },
    ],
    ['elena', 'key#!a#b:c', { kind: 'admin', account: 'elena', admin: 'key', password: '!a#b:c' }],
  ])('%s : %s', (user, password, credential) => {
    expect(parseCredential({ user, password })).toEqual(credential)
    expect(printCredential(credential)).toEqual({ user, password })
  })

  it.each([
    ['', 'secret'],
    ['elena', ''],
    ['elena', '!secret'], // on whose behalf?
    ['elena', '!key#pass'],
    ['elena', '#pass'],
    ['elena', 'key#'],
    ['elena', 'a b#pass'],
    ['elena#', 'secret'],
    ['#lily', 'secret'],
    ['elena#lily', ''],
    ['elena#lily', '!'],
    ['elena#lily', '!!secret'],
    ['elena#lily', '!#pass'],
    ['elena#lily', '!!key#pass'],
    ['elena#lily#eve', 'secret'],
    ['elena##lily', 'secret'],
    ['$sys#elena', 'secret'],
    ['$sys#elena', '!secret'],
    ['elena#$sys', '!secret'],
    ['$sys ', 'secret'],
    ['$SYS', 'secret'],
    ['$elena', 'secret'],
    ['elena)lily', 'secret'],
    ['ele', 'secret'],
    ['1elena', 'secret'],
    ['eléna', 'secret'],
    ['elena/..', 'secret'],
    ['elena', 'x'.repeat(1025)],
    ['elena', 'é'.repeat(513)],
    ['e'.repeat(65), 'secret'],
  ])('refuses %j : %j', (user, password) => {
    expect(parseCredential({ user, password })).toBeUndefined()
  })

  const username = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{3,63}$/)
  const admin = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}$/)

  const sendable = (s: string): boolean => s !== '' && !/[\u0000-\u001f\u007f-\u009f]/.test(s)
  const password = fc.string({ unit: 'grapheme', maxLength: 60 }).filter(sendable)
  const secret = password.filter((s) => !s.startsWith('!') && !s.includes('#'))
  const credential: fc.Arbitrary<Credential> = fc.oneof(
    fc.record({
      kind: fc.constant('account' as const),
      account: fc.oneof(username, fc.constant('$sys')),
      secret,
    }),
    fc.record({
      kind: fc.constant('admin' as const),
      account: fc.oneof(username, fc.constant('$sys')),
      admin,
      password,
    }),
    fc.record({
      kind: fc.constantFrom('sub' as const, 'proxy' as const),
      account: username,
      sub: username,
      secret,
    }),
    fc.record({
      kind: fc.constantFrom('sub-admin' as const, 'proxy-admin' as const),
      account: username,
      sub: username,
      admin,
      password,
    }),
  )

  it('reads back every credential that it prints, through the header too', () => {
    fc.assert(
      fc.property(credential, (one) => {
        expect(parseCredential(parseBasicHeader(printBasicHeader(printCredential(one)))!)).toEqual(one)
      }),
      { numRuns: 1000 },
    )
  })

  it('prints back every text that it reads: no text has two readings, no reading two texts', () => {
    const hostile = fc
      .array(
        fc.oneof(
          fc.constantFrom('#', '!', ':', '$sys', 'elena', 'lily', 'a', ' '),
          fc.string({ maxLength: 3 }),
        ),
      )
      .map((parts) => parts.join(''))
    let read = 0
    fc.assert(
      fc.property(fc.oneof(username, hostile), hostile, (user, text) => {
        const one = parseCredential({ user, password: text })
        if (one === undefined) return
        read++
        expect(printCredential(one)).toEqual({ user, password: text })
      }),
      { numRuns: 2000 },
    )
    expect(read).toBeGreaterThan(100)
  })
})

import fc from 'fast-check'
import { parseBasicHeader, printBasicHeader } from '../../auth/basic-header'

const encode = (text: string | Uint8Array): string => Buffer.from(text as Uint8Array).toString('base64')

describe('the Authorization header', () => {
  it('splits at the first colon only', () => {
    expect(parseBasicHeader('Basic ' + encode('elena:a:b::c'))).toEqual({ user: 'elena', password: 'a:b::c' })
    expect(parseBasicHeader('Basic ' + encode('elena::x'))).toEqual({ user: 'elena', password: ':x' })
    expect(parseBasicHeader('Basic ' + encode(':x'))).toEqual({ user: '', password: 'x' })
    expect(parseBasicHeader('Basic ' + encode('elena:'))).toEqual({ user: 'elena', password: '' })
  })

  it('takes the scheme in any case and several blanks', () => {
    for (const scheme of ['Basic ', 'basic ', 'BASIC   '])
      expect(parseBasicHeader(scheme + encode('a:b'))).toEqual({ user: 'a', password: 'b' })
  })

  it.each([
    '',
    'Basic',
    'Basic ',
    'XBasicY ' + encode('a:b'),
    'Basic\t' + encode('a:b'),
    ' Basic ' + encode('a:b'),
    'Bearer ' + encode('a:b'),
    'Basic ' + encode('a:b') + ' ',
    'Basic ' + encode('a:b') + ', Basic ' + encode('c:d'),
    'Basic ' + encode('a:bc').replace(/=+$/, ''), // unpadded
    'Basic YTpiYx==', // too much padding
    'Basic YTpiY1==', // bits beyond the last byte
    'Basic YTpi\nYw==',
    'Basic YTpi-_==',
    'Basic ' + encode('no colon'),
    'Basic ' + encode('a:b\u0000'),
    'Basic ' + encode('a\n:b'),
    'Basic ' + encode('a:b\u0085'),
    'Basic ' + encode(Buffer.from([0x61, 0x3a, 0xff])),
    'Basic ' + encode(Buffer.from([0x61, 0x3a, 0xc0, 0x80])), // overlong zero
    'Basic ' + encode(Buffer.from([0x61, 0x3a, 0xed, 0xa0, 0x80])), // a surrogate
  ])('refuses %j', (header) => expect(parseBasicHeader(header)).toBeUndefined())

  it('keeps a byte order mark: dropping it would give a credential two spellings', () => {
    expect(parseBasicHeader('Basic ' + encode('\ufeffa:b'))).toEqual({ user: '\ufeffa', password: 'b' })
  })

  it('reads back what it prints, and nothing reads as two things', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((s) => !/[\u0000-\u001f\u007f-\u009f]/.test(s))
    fc.assert(
      fc.property(
        text.filter((s) => !s.includes(':')),
        text,
        (user, password) => {
          expect(parseBasicHeader(printBasicHeader({ user, password }))).toEqual({ user, password })
        },
      ),
    )
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (anything) => {
        for (const header of [anything, 'Basic ' + anything, 'Basic ' + encode(anything)]) {
          const read = parseBasicHeader(header)
          if (read) expect(printBasicHeader(read).slice(6)).toBe(header.slice(5).trimStart())
        }
      }),
    )
  })
})

import fc from 'fast-check'
import { isKv4Error } from '../../core'
import { MAX_DEPTH, parseStrictJson } from '../../server/strict-json'

const read = (text: string) => parseStrictJson(Buffer.from(text, 'utf8'))

function reasonOf(bytes: Buffer): string {
  try {
    parseStrictJson(bytes)
  } catch (error) {
    if (isKv4Error(error, 'bad_json')) return JSON.stringify(error.fields['reason'])
    throw error
  }
  throw new Error('was accepted: ' + bytes.toString('latin1').slice(0, 80))
}

const refused = (text: string) => reasonOf(Buffer.from(text, 'utf8'))

describe('strict JSON', () => {
  test('reads what JSON.stringify writes, exactly', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ noUnicodeString: false, maxDepth: 12, stringUnit: 'binary' }),
        fc.constantFrom(undefined, 1, '\t'),
        (value, indent) => {
          const text = JSON.stringify(value, null, indent)
          if (/"(__proto__|prototype)"/.test(text)) return
          expect(read(text)).toEqual(JSON.parse(text))
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('never accepts what JSON.parse refuses, and never throws anything but bad_json', () => {
    const fragments = fc.constantFrom(
      ...[
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"',
        '"a"',
        '"b":',
        '1',
        '-',
        '.5',
        'e9',
        '0',
        '00',
        '\\',
        '\\u',
        '\\ud800',
      ],
      ...[
        '\\udc00',
        'null',
        'tru',
        ' ',
        '\n',
        '\u0000',
        '"\\u0061":',
        '1e400',
        '9007199254740993',
        'é',
        '"\u{1f600}"',
      ],
    )
    fc.assert(
      fc.property(fc.array(fragments, { maxLength: 24 }), (parts) => {
        const text = parts.join('')
        let value: unknown
        try {
          value = read(text)
        } catch (error) {
          expect(isKv4Error(error, 'bad_json')).toBe(true)
          return
        }
        expect(value).toEqual(JSON.parse(text))
      }),
      { numRuns: 20_000 },
    )
  })

  test('what it accepts comes back the same when written and read again', () => {
    const number = fc.oneof(
      fc.double({ noDefaultInfinity: true, noNaN: true }).map((n) => JSON.stringify(n)),
      fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String),
      fc.tuple(fc.integer(), fc.integer({ min: -420, max: 420 })).map(([m, e]) => `${m}e${e}`),
    )
    fc.assert(
      fc.property(number, (text) => {
        let value
        try {
          value = read(text)
        } catch {
          const n = Number(text)
          const changes = !Number.isFinite(n) || n === 0 || BigInt(n) !== BigInt(text)
          expect(changes).toBe(true)
          return
        }
        if (/^-?\d+$/.test(text) && BigInt(value as number) !== BigInt(text))
          expect(JSON.stringify(value)).toBe(text)
        expect(Number.isFinite(value)).toBe(true)
      }),
      { numRuns: 5000 },
    )
  })

  test.each([
    ['{"a":1,"a":2}', 'a name twice'],
    ['{"a":1,"\\u0061":2}', 'a name twice'],
    ['{"a":{"x":1},"b":[{"x":1,"y":2,"x":3}]}', 'a name twice'],
    [`{${Array.from({ length: 40 }, (_, i) => `"n${i}":0`).join()},"n39":1}`, 'a name twice'],
    ['{"__proto__":{"admin":true}}', 'prototype'],
    ['{"\\u005f_proto__":1}', 'prototype'],
    ['[{"deep":{"__proto__" \n : 1}}]', 'prototype'],
    ['{"constructor":{"prototype":{"x":1}}}', 'prototype'],
    ['{"constructor":{"protot\\u0079pe":1}}', 'prototype'],
    ['{"constr\\u0075ctor":{"prototype":1}}', 'prototype'],
    ['{"constructor":{"a":[],"prototype":1}}', 'prototype'],
    ['"\\ud800"', 'lone surrogate'],
    ['"\\udc00"', 'lone surrogate'],
    ['"\\ud800\\u0041"', 'lone surrogate'],
    ['"\\ud83d\u{1f600}"', 'lone surrogate'],
    ['{"\\udfff":1}', 'lone surrogate'],
    ['1e400', 'too large'],
    ['-1e999', 'too large'],
    ['1e-400', 'too small'],
    ['0.' + '0'.repeat(400) + '1', 'too small'],
    ['9007199254740993', 'cannot hold'],
    ['[-9007199254740993]', 'cannot hold'],
    ['12345678901234567890123', 'cannot hold'],
    ['9'.repeat(400), 'too large'],
    ['', 'not JSON'],
    ['{"a":1', 'not JSON'],
    ['{a:1}', 'not JSON'],
    ["{'a':1}", 'not JSON'],
    ['[1,]', 'not JSON'],
    ['01', 'not JSON'],
    ['+1', 'not JSON'],
    ['NaN', 'not JSON'],
    ['"\n"', 'not JSON'],
    ['"\\x41"', 'not JSON'],
    ['"\\u12"', 'not JSON'],
    ['\ufeff{}', 'not JSON'],
    ['{}{}', 'not JSON'],
    ['"' + 'x'.repeat(100), 'not JSON'],
  ])('refuses %s', (text, reason) => {
    expect(refused(text)).toContain(reason)
  })

  test.each([
    '9007199254740992',
    '9007199254740994',
    '-9007199254740992',
    '100000000000000000000',
    '0.1',
    '1e308',
    '0e999',
    '0.0',
    '-0',
    '5e-324',
    '3.14159265358979323846',
    '"\\ud83d\\ude00"',
    '"\u{1f600}"',
    '{"constructor":1,"prototype":2}',
    '{"constructor":{"a":1},"b":{"prototype":1}}',
    '{"a":{"a":{"a":1}},"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"":1," ":2}',
    '{"toString":1,"hasOwnProperty":2}',
    '"a \\"quoted\\": {\\\\ 1e400 __proto__"',
    JSON.stringify('"'.repeat(200) + '\\'.repeat(101) + 'x'.repeat(200)),
  ])('accepts %s', (text) => {
    expect(read(text)).toEqual(JSON.parse(text))
  })

  test('nests 64 levels and no more', () => {
    expect(read('['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH))).toBeDefined()
    expect(refused('['.repeat(MAX_DEPTH + 1) + ']'.repeat(MAX_DEPTH + 1))).toContain('levels')
    expect(refused('['.repeat(1_000_000))).toContain('levels')
    expect(refused('{"a":'.repeat(65) + '1' + '}'.repeat(65))).toContain('levels')
    expect(read(JSON.stringify('['.repeat(1000)))).toBe('['.repeat(1000))
  })

  test.each([
    [Buffer.from([0x22, 0xff, 0x22])],
    [Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    [Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    [Buffer.from([0x22, 0xf4, 0x90, 0x80, 0x80, 0x22])],
    [Buffer.from('"é"', 'latin1')],
    [Buffer.from('{}', 'utf16le')],
  ])('refuses bytes that are not UTF-8 text (%#)', (bytes) => {
    expect(reasonOf(bytes)).toMatch(/UTF-8|not JSON/)
  })

  // `size` of the parts that make each of them slow, where it would be.
  const SLOW: readonly (readonly [what: string, body: (size: number) => string])[] = [
    ['many keys', (size) => `{${Array.from({ length: size }, (_, i) => `"k${i}":0`).join()}}`],
    ['escapes', (size) => JSON.stringify('\\'.repeat(5 * size))],
    ['many objects', (size) => `[${Array.from({ length: size }, () => '{"long_name":0}').join()}]`],
    ['names of prototypes', (size) => `[${'{"prototype":0},'.repeat(size)}"\\n"]`],
    ['short strings', (size) => `[${'"\\n",'.repeat(2 * size)}0]`],
    ['strings', (size) => `[${'"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",'.repeat(size / 2)}"\\n"]`],
    ['depth', (size) => '['.repeat(64) + '1'.repeat(size) + 'x'],
  ]
  test.each(SLOW)('stays linear on %s', (_what, body) => {
    /** Of the processor, ms. */
    const cost = (text: string, times: number) => {
      const before = process.cpuUsage()
      for (let i = 0; i < times; i++) {
        try {
          read(text)
        } catch (error) {
          expect(isKv4Error(error, 'bad_json')).toBe(true)
        }
      }
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1_000
    }
    const [small, large] = [cost(body(10_000), 8), cost(body(80_000), 1)]
    // As much for one of eight times the size; where it is quadratic, eight times as much, and seconds.
    expect(large).toBeLessThan(Math.max(4 * small, 300))
  })
})

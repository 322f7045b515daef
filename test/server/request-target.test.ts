import { isKv4Error } from '../../core'
import { MAX_PARAMETERS, parseRequestTarget } from '../../server/request-target'

function codeOf(target: string): string {
  try {
    parseRequestTarget(target)
  } catch (error) {
    if (isKv4Error(error)) return error.code
    throw error
  }
  throw new Error('was accepted')
}

describe('request target', () => {
  test.each([
    ['/', '', '/'],
    ['/_data', '_data', '/'],
    ['/_data/', '_data', '/'],
    ['//_data//a///b/', '_data', '/a/b'],
    ['/_turn//my/path', '_turn', '/my/path'],
    ['/%5Fdata/a%20b/%C3%A9', '_data', '/a b/é'],
    ['/_data/a+b', '_data', '/a+b'],
    ['/_data/*acc/router:pkt', '_data', '/*acc/router:pkt'],
    ['/_data/%2Aacc/router%3Apkt', '_data', '/*acc/router:pkt'],
    ['/_data/%252e', '_data', '/%2e'],
    ['/_data/...', '_data', '/...'],
    ['/_data/x_local/_design', '_data', '/x_local/_design'],
    ['/_data/a\\..\\b', '_data', '/a\\..\\b'],
  ])('%s', (target, prefix, path) => {
    expect(parseRequestTarget(target)).toMatchObject({ prefix, path })
  })

  test.each([
    ['*', 'bad_request'],
    ['http://elsewhere/_data', 'bad_request'],
    ['/_data/%', 'bad_request'],
    ['/_data/%zz', 'bad_request'],
    ['/_data/%ff', 'bad_request'],
    ['/_data/%c0%af', 'bad_request'],
    ['/_data/%ed%a0%80', 'bad_request'],
    ['/_data?k=%', 'bad_request'],
    ['/_data?%ff=1', 'bad_request'],
    ['/_data#x', 'bad_request'],
    ['/_data/a%2Fb', 'bad_segment'],
    ['/_data/a%2fb', 'bad_segment'],
    ['/_data/a/../b', 'bad_segment'],
    ['/_data/./b', 'bad_segment'],
    ['/_data/%2e%2e', 'bad_segment'],
    ['/_data/%2E/x', 'bad_segment'],
    ['/_data/%00', 'bad_segment'],
    ['/_data/a%0d%0ab', 'bad_segment'],
    ['/_data/a\ud800', 'bad_segment'],
    ['/_data/\udc00/b', 'bad_segment'],
    ['/_data/' + 'x'.repeat(256), 'bad_segment'],
    ['/_data/' + 'x/'.repeat(65), 'bad_segment'],
  ])('refuses %s', (target, code) => {
    expect(codeOf(target)).toBe(code)
  })

  test('reads the query, the last of a repeated name', () => {
    const { query } = parseRequestTarget('/_data?k=a&as=values&k=b+c&empty=&bare&&l=*acc&x=%3D%26&y=1=2')
    expect({ ...query }).toEqual({
      k: 'b c',
      as: 'values',
      empty: '',
      bare: '',
      l: '*acc',
      x: '=&',
      y: '1=2',
    })
  })

  test('takes names of objects for names', () => {
    const { query } = parseRequestTarget('/_data?__proto__=1&constructor=2&toString=3')
    expect(Object.keys(query)).toEqual(['__proto__', 'constructor', 'toString'])
    expect('hasOwnProperty' in query).toBe(false)
    expect(({} as Record<string, unknown>)['1']).toBeUndefined()
  })

  test(`takes ${MAX_PARAMETERS} parameters and no more`, () => {
    const many = (n: number) => '/_data?' + Array.from({ length: n }, (_, i) => `p${i}=1`).join('&')
    expect(Object.keys(parseRequestTarget(many(MAX_PARAMETERS)).query)).toHaveLength(MAX_PARAMETERS)
    expect(codeOf(many(MAX_PARAMETERS + 1))).toBe('bad_request')
  })
})

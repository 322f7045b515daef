import { isKv4Error } from '../../core'
import { isKnown, singleTag } from '../../server/entity-tag'

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isKv4Error(error)) return error.code
    throw error
  }
  throw new Error('was accepted')
}

describe('entity tags', () => {
  test('one strong tag binds a write; a weak one matches nothing', () => {
    expect(singleTag('"v1"', 'If-Match')).toBe('v1')
    expect(singleTag(' * ', 'If-Match')).toBe('*')
    expect(singleTag('W/"v1"', 'If-None-Match')).toBe('v1')
    expect(codeOf(() => singleTag('W/"v1"', 'If-Match'))).toBe('precondition_failed')
    expect(codeOf(() => singleTag('"v1", "v2"', 'If-Match'))).toBe('bad_request')
  })

  test('a reader may know several, weakly', () => {
    expect(isKnown('"v0" ,W/"v1"', 'v1')).toBe(true)
    expect(isKnown('*', 'v1')).toBe(true)
    expect(isKnown('"v2"', 'v1')).toBe(false)
    expect(isKnown('""', 'v1')).toBe(false)
  })

  test.each(['v1', '"v1', '', ',', '"a""b"', 'w/"v1"', '"a" "b"', '"a\u0000"'])('refuses %j', (header) => {
    expect(codeOf(() => isKnown(header, 'v1'))).toBe('bad_request')
  })
})

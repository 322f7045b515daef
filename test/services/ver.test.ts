import type { Json } from '../../core'
import { verText, withVer } from '../../services/ver'

describe('the text of a value with its version', () => {
  it.each<Json>([
    { a: 1, b: { c: [] } },
    {},
    { 2: 'b', a: '}', 1: 'a' },
    { _ver_: 'not its own', a: 1 },
    ['a'],
    [],
    'text',
    0,
    null,
  ])('is that of the object: %j', (v) => {
    const version = { n: 1234, v }
    expect(verText(version)).toBe(JSON.stringify(withVer(version)))
  })
})

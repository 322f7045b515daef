import { HotCopies } from '../../session-cache/hot-copies'

const copy = (value: string | null) => ({ value, exp: 0, used: 0 })

describe('the copies of a process', () => {
  test('take no more memory than they may, and forget completely', () => {
    const copies = new HotCopies(100_000)
    for (let i = 0; i < 5000; i++) {
      copies.keep('k' + (i % 700), copy('x'.repeat(i % 300)))
      expect(copies.bytes).toBeLessThanOrEqual(100_000)
      if (i % 7 === 0) copies.drop('k' + (i % 90))
    }
    expect(copies.size).toBeGreaterThan(50)
    for (let i = 0; i < 700; i++) copies.drop('k' + i)
    expect([copies.size, copies.bytes]).toEqual([0, 0])
  })

  test('keep nothing that is too large for them, and nothing at all without room', () => {
    const copies = new HotCopies(10_000)
    copies.keep('big', copy('x'.repeat(5000)))
    expect(copies.get('big')).toBeUndefined()
    const none = new HotCopies(0)
    none.keep('k', copy(null))
    expect(none.get('k')).toBeUndefined()
  })

  test('outlive a flood of keys that each come once', () => {
    const copies = new HotCopies(100_000)
    for (let i = 0; i < 200; i++) copies.keep('busy' + i, copy('value'))
    for (let i = 0; i < 1000; i++) copies.keep('once' + i, copy('value'))
    let there = 0
    for (let i = 0; i < 200; i++) if (copies.get('busy' + i) !== undefined) there++
    expect(there).toBeGreaterThan(80)
    // And yet what comes again and again gets in.
    for (let i = 0; i < 200; i++) copies.keep('new', copy('value'))
    expect(copies.get('new')).toBeDefined()
  })
})

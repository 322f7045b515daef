import { tokenOf, xxhash32 } from '../../session-cache/hash'
import { rendezvous } from '../../session-cache/rendezvous'

describe('the hash', () => {
  // Of the reference implementation.
  test.each([
    ['', 0, 0x02cc5d05],
    ['a', 0, 0x550d7456],
    ['abc', 0, 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0, 0xe2293b2f],
  ])('of %j is xxHash', (text, seed, hash) => {
    expect(xxhash32(text, seed)).toBe(hash)
  })

  // Of the version that made a Buffer of every text; tables hold tokens of it.
  test.each([
    ['müsli', 0, 0x59cb85fb],
    ['Nobody inspects the spammish repetition'.repeat(3), 7, 0x7548585b],
  ])('of %j, which is not ASCII or not short, is what it was', (text, seed, hash) => {
    expect(xxhash32(text, seed)).toBe(hash)
  })

  test('makes the tokens of the wire', () => {
    expect(tokenOf('abc', 1000, 0)).toBe(`${0x32d153ff % 1000}-${0x32d153ff}`)
  })
})

describe('rendezvous hashing', () => {
  const keys = Array.from({ length: 4000 }, (_, i) => 'session-' + i)
  const owners = (names: string[], copies: number) =>
    new Map(keys.map((key) => [key, rendezvous(key, names).slice(0, copies)]))

  test('spreads keys evenly', () => {
    const count = new Map<string, number>()
    for (const [name] of owners(['a', 'b', 'c', 'd'], 1).values())
      count.set(name!, (count.get(name!) ?? 0) + 1)
    for (const each of count.values()) expect(Math.abs(each - 1000)).toBeLessThan(150)
  })

  test('moves only the share of a server that joins, to nobody but it', () => {
    const before = owners(['a', 'b', 'c'], 2)
    const after = owners(['a', 'b', 'c', 'd'], 2)
    let moved = 0
    for (const key of keys) {
      const gained = after.get(key)!.filter((name) => !before.get(key)!.includes(name))
      if (gained.length === 0) expect(after.get(key)).toEqual(before.get(key))
      else {
        expect(gained).toEqual(['d'])
        moved++
      }
    }
    // Two copies on four servers: half of the keys have one on the new one.
    expect(moved / keys.length).toBeGreaterThan(0.45)
    expect(moved / keys.length).toBeLessThan(0.55)
  })

  test('leaves the other copy where it was when a server dies', () => {
    const before = owners(['a', 'b', 'c'], 2)
    for (const [key, now] of owners(['a', 'c'], 2))
      for (const name of before.get(key)!) if (name !== 'b') expect(now).toContain(name)
  })
})

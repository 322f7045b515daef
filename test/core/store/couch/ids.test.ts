import fc from 'fast-check'
import { Key, Layer, Path } from '../../../../core'
import { Component } from '../../../../core/store/couch/component'
import { Ids, sortableNumber } from '../../../../core/store/couch/ids'
import { HOSTILE_KEYS } from '../contract/hostile'

const name = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }),
    fc.string({
      unit: fc.constantFrom('_', '|', '/', '!', '"', '+', ',', '.', '~', 'a', 'B', '0', 'é'),
      minLength: 1,
    }),
  )
  .filter((text) => text.isWellFormed() && !/[\u0000-\u001f\u007f-\u009f]/.test(text))
const key = name.map((text) => Key.parse(text))
const path = name
  .filter((text) => text.split('/').every((segment) => segment !== '.' && segment !== '..'))
  .map((text) => Path.parse(text))
const layer = name
  .filter((text) => !text.includes('/') && !text.startsWith('^'))
  .map((text) => Layer.parse(text))
const address = fc.record({ layer, path, key })

function order(a: string, b: string): number {
  return Math.sign(Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8')))
}
function textOrder(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
function treeOrder(a: string, b: string): number {
  return order(a.replaceAll('/', '\u0001'), b.replaceAll('/', '\u0001'))
}

describe('components of ids', () => {
  test('are plain ASCII without anything that means something elsewhere', () => {
    fc.assert(
      fc.property(name, (text) => {
        expect(Component.of(text)).toMatch(/^[-0-9:;A-Za-z,.^~]*$/)
        expect(Component.ofPath(text)).toMatch(/^[-+0-9:;A-Za-z,.^~]*$/)
      }),
    )
    for (const hostile of [...HOSTILE_KEYS, '_local/../../kv4_victim/secret', '_design/x', '%2f..'])
      expect(Component.of(hostile)).not.toMatch(/[_/|%!"\\]|\.\./)
  })

  test('keep the byte order and tell every two names apart', () => {
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(textOrder(Component.of(a), Component.of(b))).toBe(order(a, b))
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(path, path, (a, b) => {
        expect(textOrder(Component.ofPath(a), Component.ofPath(b))).toBe(treeOrder(a, b))
      }),
      { numRuns: 2000 },
    )
  })

  test('lead back to the name', () => {
    fc.assert(fc.property(name, (text) => expect(Component.parse(Component.of(text))).toBe(text)))
    fc.assert(fc.property(path, (text) => expect(Component.parse(Component.ofPath(text))).toBe(text)))
  })

  test('a tree ends before everything that is not below its top', () => {
    fc.assert(
      fc.property(path, path, (top, other) => {
        const inside =
          Component.ofPath(top) <= Component.ofPath(other) &&
          Component.ofPath(other) < Component.behindTree(top)
        expect(inside).toBe(Path.contains(top, other))
      }),
    )
    expect(Component.ofPath(Path.parse('/a/b')) < Component.behindTree(Path.parse('/a'))).toBe(true)
    expect(Component.ofPath(Path.parse('/a b')) < Component.behindTree(Path.parse('/a'))).toBe(false)
  })
})

describe('ids', () => {
  test('sort as (layer, path, key, number), numbers as numbers', () => {
    const number = fc.oneof(fc.nat(200), fc.maxSafeNat())
    fc.assert(
      fc.property(address, address, number, number, (a, b, m, n) => {
        const expected =
          order(a.layer, b.layer) || treeOrder(a.path, b.path) || order(a.key, b.key) || Math.sign(m - n)
        expect(textOrder(Ids.version(a, m), Ids.version(b, n))).toBe(expected)
      }),
      { numRuns: 2000 },
    )
  })

  test('are in the range of their address, and no other is', () => {
    fc.assert(
      fc.property(address, address, fc.integer({ min: 1 }), (a, b, n) => {
        const { start, end } = Ids.versions(a)
        const id = Ids.version(b, n)
        const same = a.layer === b.layer && a.path === b.path && a.key === b.key
        expect(start < id && id < end).toBe(same)
      }),
    )
  })

  test('lead back to what they are of', () => {
    fc.assert(
      fc.property(address, fc.maxSafeNat(), name, (a, n, id) => {
        expect(Ids.parse(Ids.version(a, n))).toEqual({ kind: 'v', address: a, number: n })
        expect(Ids.parse(Ids.current(a))).toEqual({ kind: 'c', address: a })
        expect(Ids.parse(Ids.sample(a, n, id))).toEqual({ kind: 's', address: a, number: n, sample: id })
      }),
    )
    for (const other of [
      '_design/kv4',
      'x',
      'v!a!+!k',
      'c!a!+!k!a1',
      'v!a!+!k!1',
      'v!a_!+!k!a1',
      's!a!+!k!a1',
    ])
      expect(Ids.parse(other)).toBeUndefined()
  })

  test('refuse numbers that are none', () => {
    for (const bad of [-1, 1.5, NaN, Infinity, 2 ** 53]) expect(() => sortableNumber(bad)).toThrow(RangeError)
  })
})

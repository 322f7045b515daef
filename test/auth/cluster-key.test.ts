import { ClusterKey, Pepper } from '../../auth'

/** How nodes of one platform know each other. */

let now = Date.UTC(2026, 10, 21)
const clock = () => now
const key = (pepper = 'a pepper that nodes share') => new ClusterKey(new Pepper(pepper), clock)
const CLAIM = { from: 'node-a', epoch: 'first life', to: 'node-b' }

beforeEach(() => {
  now = Date.UTC(2026, 10, 21)
})

test('is good at the node that it names, from whoever has the pepper', () => {
  expect(key().verify(key().sign(CLAIM), 'node-b')).toEqual(CLAIM)
})

test('is good once', () => {
  const here = key()
  const header = key().sign(CLAIM)
  expect(here.verify(header, 'node-b')).toEqual(CLAIM)
  expect(here.verify(header, 'node-b')).toBeUndefined()
  now += 29_000
  expect(here.verify(header, 'node-b')).toBeUndefined()
  expect(here.verify(key().sign(CLAIM), 'node-b')).toEqual(CLAIM)
})

test('is good once, also by a clock that is ahead or behind by as much as is allowed', () => {
  for (const [signed, seen] of [
    [30_000, 0],
    [0, 30_000],
  ] as const) {
    const here = key()
    const start = now
    now = start + signed
    const header = key().sign(CLAIM)
    now = start + seen
    expect(here.verify(header, 'node-b')).toEqual(CLAIM)
    for (const later of [0, 15_000, 30_000, 45_000, 59_000, 60_000, 61_000]) {
      now = start + seen + later
      // Others come in between, which is when what is old is forgotten.
      here.verify(key().sign(CLAIM), 'node-b')
      expect([later, here.verify(header, 'node-b')]).toEqual([later, undefined])
    }
    now = start
  }
})

test('is too old, or too young, beyond 30 s', () => {
  const header = key().sign(CLAIM)
  const start = now
  for (const [at, good] of [
    [start + 30_000, true],
    [start + 30_001, false],
    [start - 30_000, true],
    [start - 30_001, false],
  ] as const) {
    now = at
    expect([at - start, key().verify(header, 'node-b') !== undefined]).toEqual([at - start, good])
  }
})

test('is good at no other node, and under no other pepper', () => {
  const header = key().sign(CLAIM)
  for (const to of ['node-a', 'node-c', 'node-', 'NODE-B', ''])
    expect(key().verify(header, to)).toBeUndefined()
  expect(key('another pepper altogether').verify(header, 'node-b')).toBeUndefined()
})

test('is not good once a byte of it is changed', () => {
  const header = key().sign(CLAIM)
  const start = header.indexOf(' ') + 1
  for (let i = start; i < header.length; i++) {
    const changed = header.slice(0, i) + (header[i] === 'A' ? 'B' : 'A') + header.slice(i + 1)
    // The last character of base64url has bits that say nothing.
    if (Buffer.from(changed.slice(start), 'base64url').equals(Buffer.from(header.slice(start), 'base64url')))
      continue
    const found = key().verify(changed, 'node-b')
    const sameMac =
      changed.split('.')[0] === header.split('.')[0] &&
      Buffer.from(changed.split('.')[1]!, 'base64url').equals(Buffer.from(header.split('.')[1]!, 'base64url'))
    expect([i, found !== undefined]).toEqual([i, sameMac])
  }
})

test.each([
  ['nothing', undefined],
  ['an empty header', ''],
  ['another scheme', 'Basic ' + Buffer.from('node-a:x').toString('base64')],
  ['the scheme alone', 'KV4-Node '],
  ['no MAC', 'KV4-Node e30'],
  ['an empty MAC', 'KV4-Node e30.'],
  ['three parts', 'KV4-Node e30.AAAA.AAAA'],
  ['too much', 'KV4-Node ' + 'x'.repeat(3_000)],
])('%s is none', (_what, header) => {
  expect(key().verify(header, 'node-b')).toBeUndefined()
})

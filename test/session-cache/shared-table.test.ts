import { chmodSync, mkdirSync } from 'node:fs'
import type { TableShape } from '../../session-cache/shared-table'
import { SharedTable } from '../../session-cache/shared-table'
import { tableDirectory } from '../../session-cache/table-directory'
import { removeTableRooms, tableRoom } from './table-room'

const SHAPE: TableShape = { recordSize: 100, capacity: 3, sessionsLength: 0, agedOut: 0 }
const open: SharedTable[] = []
let now = 1_000_000

function table(shape: Partial<TableShape> = {}, directory = tableRoom()): SharedTable {
  const made = new SharedTable(directory, { shape: { ...SHAPE, ...shape }, touchMs: 0, clock: () => now })
  open.push(made)
  return made
}

beforeEach(() => (now = 1_000_000))
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
  removeTableRooms()
})

describe('the shared table', () => {
  test('puts out the least recently used, and tells what', () => {
    const t = table()
    for (const key of ['a', 'b', 'c']) t.set(key, key)
    now += 10
    expect(t.get('a')).toBe('a')
    t.flush()
    expect(t.set('d', 'd').out.map(({ key }) => key)).toEqual(['b'])
    expect(t.set('e', 'e').out.map(({ key }) => key)).toEqual(['c'])
    expect([...'abcde'].map((key) => t.get(key))).toEqual(['a', undefined, undefined, 'd', 'e'])
    expect(t.count).toBe(3)
  })

  test('never holds more than its capacity, whatever is done', () => {
    const t = table({ capacity: 50 })
    for (let i = 0; i < 2000; i++) {
      const key = 'k' + ((i * 7919) % 173)
      if (i % 5 === 0) t.delete(key)
      else if (i % 7 === 0) t.destroy(key)
      else if (i % 3 === 0) t.put({ key, value: 'v', at: now + i, exp: 0 })
      else t.set(key, 'v' + i)
      expect(t.count).toBeLessThanOrEqual(50)
    }
    expect([...t.writtenSince(0)].flat()).toHaveLength(t.count)
  })

  test('lets a session live as long as it should', () => {
    const t = table({ sessionsLength: 1000 })
    t.set('a', '1')
    t.set('own', '1', 5000)
    now += 999
    expect(t.get('a')).toBe('1')
    now += 1
    expect(t.get('a')).toBeUndefined()
    expect(t.get('own')).toBe('1')
    expect(t.sweep(10)).toEqual([])
    expect(t.count).toBe(1)
  })

  test('puts out what nobody used for aged_out_secs, and only that', () => {
    const t = table({ agedOut: 2000 })
    t.set('idle', '1')
    t.set('busy', '2')
    now += 1500
    t.get('busy')
    t.flush()
    now += 600
    expect(t.sweep(10).map(({ key }) => key)).toEqual(['idle'])
    expect(t.get('busy')).toBe('2')
  })

  test('keeps the newer of two, in whatever order they come', () => {
    const t = table()
    expect(t.put({ key: 'k', value: 'new', at: 20, exp: 0 }).stored).toBe(true)
    expect(t.put({ key: 'k', value: 'old', at: 10, exp: 0 }).stored).toBe(false)
    expect(t.put({ key: 'k', value: 'same', at: 20, exp: 0 }).stored).toBe(false)
    expect(t.get('k')).toBe('new')
    t.set('k', 'set here')
    expect(t.set('k', 'and again').session.at).toBe(now + 1 / 1024)
    expect(t.get('k')).toBe('and again')
  })

  test('remembers what was destroyed', () => {
    const t = table()
    t.set('k', 'v')
    t.destroy('k')
    expect(t.get('k')).toBeNull()
    expect(t.put({ key: 'k', value: 'late copy', at: now - 5, exp: 0 }).stored).toBe(false)
    expect(t.get('k')).toBeNull()
    t.set('k', 'a new one')
    expect(t.get('k')).toBe('a new one')
  })

  test('refuses a value larger than record_size, in bytes', () => {
    const t = table()
    t.set('k', 'x'.repeat(100))
    expect(() => t.set('k', 'ä'.repeat(51))).toThrow(
      expect.objectContaining({
        code: 'value_too_large',
        message: expect.stringContaining('102 bytes'),
      }) as Error,
    )
    expect(t.get('k')).toBe('x'.repeat(100))
  })

  test('is seen by whoever attaches, and cannot be used before it is made', () => {
    const directory = tableRoom()
    const attached = new SharedTable(directory)
    open.push(attached)
    expect(attached.get('k')).toBeUndefined()
    expect(() => attached.set('k', 'v')).toThrow(expect.objectContaining({ code: 'table_missing' }) as Error)
    const maker = table({}, directory)
    attached.set('k', 'from the attached one')
    expect(maker.get('k')).toBe('from the attached one')
    expect(attached.shape).toEqual(SHAPE)
  })

  test('outlives its processes, and shrinks when its initializer comes back with less', async () => {
    const directory = tableRoom()
    const first = table({ capacity: 10 }, directory)
    for (let i = 0; i < 10; i++) first.set('k' + i, 'v')
    await first.close()
    const second = table({ capacity: 4 }, directory)
    expect(second.sweep(1).map(({ key }) => key)).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5'])
    expect(second.count).toBe(4)
  })

  test('is seen as it is by whoever has copies of its own, whatever others do', () => {
    const directory = tableRoom()
    const shape = { capacity: 600, agedOut: 5000 }
    const tables = [
      table(shape, directory),
      ...[1, 2].map(() => new SharedTable(directory, { clock: () => now })),
    ]
    open.push(...tables.slice(1))
    const model = new Map<string, string>()
    let seed = 7
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below
    for (let step = 0; step < 800; step++) {
      const writer = tables[random(3)]!
      const key = 'k' + random(12)
      const put = (value: string) => void model.set(key, value)
      switch (random(9)) {
        case 0:
          writer.delete(key)
          model.delete(key)
          break
        case 1:
          writer.destroy(key)
          model.delete(key)
          break
        case 2:
          writer.put({ key, value: 'put ' + step, at: writer.stamp(key), exp: 0 })
          put('put ' + step)
          break
        case 3:
          for (const { key: gone } of writer.evict(1, 0)) model.delete(gone)
          break
        case 4:
          // More at once than a list of changes holds, or more writes than the list remembers.
          if (step % 5 !== 0) break
          if (step % 2 === 0)
            writer.putAll(
              Array.from({ length: 550 }, (_, i) => ({
                key: i < 3 ? 'k' + i : 'flood' + i,
                value: 'flood ' + step,
                at: writer.stamp('k' + i),
                exp: 0,
              })),
            )
          else for (let i = 0; i < 1100; i++) writer.set('k' + (i % 3), 'flood ' + step)
          for (let i = 0; i < 3; i++) model.set('k' + i, 'flood ' + step)
          for (const each of tables) for (let i = 3; i < 550; i++) each.delete('flood' + i)
          break
        default:
          writer.set(key, 'set ' + step)
          put('set ' + step)
      }
      // Copies are held against the table when the clock has moved on by a ms.
      const then = Date.now()
      while (Date.now() === then);
      for (const each of tables) {
        expect(each.get(key) ?? undefined).toBe(model.get(key))
        const other = 'k' + random(12)
        expect(each.get(other) ?? undefined).toBe(model.get(other))
      }
    }
    expect(model.size).toBeGreaterThan(3)
  })

  test('notes a use once for all who have copies', () => {
    const directory = tableRoom()
    const one = new SharedTable(directory, { shape: SHAPE, touchMs: 100, clock: () => now })
    const two = new SharedTable(directory, { touchMs: 100, clock: () => now })
    open.push(one, two)
    for (const key of ['a', 'b', 'c']) one.set(key, key)
    for (const each of [one, two]) expect(each.get('a')).toBe('a')
    now += 150
    for (const each of [one, two]) {
      expect(each.get('a')).toBe('a')
      each.flush()
    }
    expect(one.set('d', 'd').out.map(({ key }) => key)).toEqual(['b'])
  })

  test('notes uses as often as the table turns over, once a minute where nothing is put out', () => {
    const directory = tableRoom()
    const t = new SharedTable(directory, { shape: { ...SHAPE, capacity: 4 }, clock: () => now })
    open.push(t)
    const use = (key: string) => {
      const then = Date.now()
      while (Date.now() === then);
      expect(t.get(key)).toBe(key)
      t.flush()
    }
    const oldest = () => [...t.writtenSince(0)].flat()[0]?.key
    for (const key of ['a', 'b', 'c', 'd']) {
      t.set(key, key)
      now += 10
    }
    now += 30_000
    use('a')
    expect(oldest()).toBe('a')
    now += 30_000
    use('a')
    expect(oldest()).toBe('b')
    // Put out after about a minute: a quarter of that from now on.
    expect(t.set('e', 'e').out.map(({ key }) => key)).toEqual(['b'])
    now += 10_000
    use('c')
    expect(oldest()).toBe('d')
    now += 10_000
    use('c')
    use('d')
    expect(oldest()).toBe('a')
  })

  test('stamps what it is told of a clock that is ahead, and what its own sets after it', () => {
    const t = table({ capacity: 10 })
    t.put({ key: 'k', value: 'from ahead', at: now + 5000, exp: 0 })
    const { session } = t.set('other', 'here')
    expect(session.at).toBeGreaterThan(now + 5000)
    expect(session.at).toBeLessThan(now + 5001)
    expect(t.stamp('k')).toBeGreaterThan(session.at)
    now += 6000
    expect(t.set('later', 'x').session.at).toBe(now)
  })

  test('says that it is closed, to whoever reads or writes', async () => {
    const t = table()
    t.set('k', 'v')
    expect(t.get('k')).toBe('v')
    await t.close()
    for (const use of [() => t.get('k'), () => t.set('k', 'w'), () => t.session('k', 'as a use')])
      expect(use).toThrow(expect.objectContaining({ code: 'closed' }) as Error)
  })

  test('lies in a directory that nobody else can reach', () => {
    const base = tableRoom()
    const place = { directory: base, seed: 5 }
    const directory = tableDirectory(place)
    expect(tableDirectory(place)).toBe(directory)
    expect(tableDirectory({ ...place, tokenPath: './other.conf' })).not.toBe(directory)
    chmodSync(directory, 0o755)
    expect(() => tableDirectory(place)).toThrow(
      expect.objectContaining({ code: 'unsafe_directory' }) as Error,
    )
    mkdirSync(base + '/sub')
    expect(() => tableDirectory({ directory: base + '/nowhere', seed: 1 })).toThrow(
      expect.objectContaining({ code: 'unsafe_directory' }) as Error,
    )
  })
})

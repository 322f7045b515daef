import { KnownHeads } from '../../../../core/store/couch/known-heads'

/** Half of what a bucket may remember alone, in ids of 1,024 characters. */
const GENERATION = 4 * 1024
const id = (i: number): string => String(i).padStart(1024, '0')

test('heads: a hundred thousand of common length are remembered, the least used go first, and all are counted', () => {
  const budget = { characters: 0 }
  const heads = new KnownHeads(budget)
  for (let i = 0; i < 100_000; i++) heads.set(`versioned*data\0/path\0key-${i}`, { n: i })
  expect(heads.get('versioned*data\0/path\0key-0')).toEqual({ n: 0 })
  heads.clear()
  expect(budget.characters).toBe(0)

  for (let i = 0; i < 2 * GENERATION; i++) {
    heads.set(id(i), { n: 1 })
    heads.get(id(7))
  }
  for (let i = 2 * GENERATION; i < 3 * GENERATION; i++) heads.set(id(i), { n: 1 })
  expect(heads.get(id(7))).toEqual({ n: 1 })
  expect(heads.get(id(8))).toBeUndefined()
  expect(heads.get(id(3 * GENERATION - 1))).toEqual({ n: 1 })
  heads.forget(id(7))
  expect(heads.get(id(7))).toBeUndefined()
  heads.clear()
  expect(budget.characters).toBe(0)
})

test('heads: buckets share what they remember, and each keeps a little', () => {
  const budget = { characters: 0 }
  const buckets = Array.from({ length: 6 }, () => new KnownHeads(budget))
  for (const heads of buckets) for (let i = 0; i < 2 * GENERATION - 2; i++) heads.set(id(i), { n: i })
  // Two have their fill; the others came when it was shared out.
  expect(budget.characters).toBeLessThan(17.5 * 1024 * 1024)
  for (const heads of buckets) expect(heads.get(id(2 * GENERATION - 3))).toEqual({ n: 2 * GENERATION - 3 })
  for (const heads of buckets) heads.clear()
  expect(budget.characters).toBe(0)
})

import { SampleIds } from '../../../core'

test('ids of one process sort in the order in which they were made', () => {
  const ids = new SampleIds()
  const made = Array.from({ length: 50_000 }, () => ids.next())
  expect([...made].sort()).toEqual(made)
  expect(new Set(made).size).toBe(made.length)
})

test('two processes make different ones, of 10 characters and a few more', () => {
  const [a, b] = [new SampleIds().next(), new SampleIds().next()]
  expect(a).not.toBe(b)
  expect(a).toMatch(/^[0-9a-z]{8}a0$/)
})

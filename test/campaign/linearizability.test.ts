import fc from 'fast-check'
import { ENTRY_MODEL } from './entry-model'
import type { EntryAnswer, EntryCall, EntryState } from './entry-model'
import { checkLinearizable } from './linearizability'
import type { Operation } from './linearizability'

type Call = Operation<EntryCall, EntryAnswer>

const put = (value: string, n: number | undefined, from: number, to: number, on?: number): Call => ({
  input: { kind: 'put', value, ...(on !== undefined && { on }) },
  output: n === undefined ? undefined : { kind: 'entry', n, value },
  invokedAt: from,
  returnedAt: to,
})
const get = (value: string | undefined, n: number, from: number, to: number): Call => ({
  input: { kind: 'get' },
  output: value === undefined ? { kind: 'absent' } : { kind: 'entry', n, value },
  invokedAt: from,
  returnedAt: to,
})
const refused = (on: number, from: number, to: number): Call => ({
  input: { kind: 'put', value: 'never', on },
  output: { kind: 'refused' },
  invokedAt: from,
  returnedAt: to,
})

const isLinearizable = (history: readonly Call[]) => checkLinearizable(history, ENTRY_MODEL).linearizable

test.each<[string, boolean, readonly Call[]]>([
  ['nothing', true, []],
  ['one after the other', true, [put('a', 1, 1, 2), get('a', 1, 3, 4)]],
  ['a read of what is being written', true, [put('a', 1, 1, 4), get('a', 1, 2, 3)]],
  ['a read before what is being written', true, [put('a', 1, 1, 4), get(undefined, 0, 2, 3)]],
  ['a stale read', false, [put('a', 1, 1, 2), get(undefined, 0, 3, 4)]],
  ['a read that goes back in time', false, [put('a', 1, 1, 8), get('a', 1, 2, 3), get(undefined, 0, 4, 5)]],
  ['a lost write', false, [put('a', 1, 1, 2), put('b', 1, 3, 4)]],
  ['two winners', false, [put('a', 1, 1, 4, 0), put('b', 2, 2, 3, 0)]],
  ['one winner', true, [put('a', 1, 1, 4, 0), refused(0, 2, 3)]],
  ['nobody wins', false, [refused(0, 1, 4), refused(0, 2, 3)]],
  ['a write without an answer, seen much later', true, [put('a', undefined, 1, Infinity), get('a', 1, 8, 9)]],
  ['… and never seen', true, [put('a', undefined, 1, Infinity), get(undefined, 0, 8, 9)]],
  [
    '… seen, and then not any more',
    false,
    [put('a', undefined, 1, Infinity), get('a', 1, 4, 5), get(undefined, 0, 8, 9)],
  ],
  ['… seen before it was asked for', false, [get('a', 1, 1, 2), put('a', undefined, 3, Infinity)]],
])('%s: %s', (_, expected, history) => {
  expect(isLinearizable(history)).toBe(expected)
})

test('says which call does not fit', () => {
  const stale = get(undefined, 0, 5, 6)
  expect(checkLinearizable([put('a', 1, 1, 2), stale, get('a', 1, 7, 8)], ENTRY_MODEL)).toEqual({
    linearizable: false,
    stuck: stale,
  })
})

test('is not lost among calls that were never answered', () => {
  const history: Call[] = []
  let n = 0
  for (let i = 0; i < 2_000; i++) {
    const at = i * 10
    if (i % 25 === 3) {
      // Every second one happens, long after it was asked for.
      history.push(put(`open ${i}`, undefined, at, Infinity))
      if (i % 2 === 1) n++
    } else if (i % 25 === 15 && i % 2 === 0) history.push(put(`open ${i}`, undefined, at, Infinity, 7))
    history.push(put(`${i}`, ++n, at + 1, at + 12), get(`${i}`, n, at + 13.5, at + 13.7))
  }
  const answered = history.filter(({ returnedAt }) => returnedAt < Infinity).length
  expect(answered).toBe(4_000)
  expect(isLinearizable(history)).toBe(true)
  expect(isLinearizable([...history, get('never', n + 1, 90_000, 90_001)])).toBe(false)
})

/** Every order, one after the other. */
function isLinearizableByTrying(history: readonly Call[], state: EntryState = ENTRY_MODEL.initial): boolean {
  if (history.every(({ returnedAt }) => returnedAt === Infinity)) return true
  const first = Math.min(...history.map(({ returnedAt }) => returnedAt))
  return history.some((call, i) => {
    if (call.invokedAt > first) return false
    const next = ENTRY_MODEL.apply(state, call.input, call.output)
    return next !== undefined && isLinearizableByTrying(history.toSpliced(i, 1), next)
  })
}

const value = fc.constantFrom('a', 'b')
const number = fc.integer({ min: 0, max: 3 })
const exchange: fc.Arbitrary<Pick<Call, 'input' | 'output'>> = fc.oneof(
  fc.record({
    input: fc.constant({ kind: 'get' } as const),
    output: fc.oneof(
      fc.constant({ kind: 'absent' } as const),
      fc.record({ kind: fc.constant('entry' as const), n: number, value }),
    ),
  }),
  fc.record({
    input: fc.record({ kind: fc.constant('put' as const), value, on: number }),
    output: fc.oneof(
      fc.constant({ kind: 'refused' } as const),
      fc.record({ kind: fc.constant('entry' as const), n: number, value }),
    ),
  }),
  fc.record({
    input: fc.constant({ kind: 'remove' } as const),
    output: fc.constantFrom({ kind: 'removed' } as const, { kind: 'absent' } as const),
  }),
)

test('judges short histories as trying every order does', () => {
  const verdicts = { true: 0, false: 0 }
  const history = fc
    .array(fc.tuple(exchange, fc.nat(20), fc.nat(20), fc.nat(9)), {
      minLength: 1,
      maxLength: 6,
    })
    .map((calls) =>
      calls.map(([{ input, output }, a, b, lost], i): Call => {
        // No two events at one moment.
        const [from, to] = [Math.min(a, b) + i / 100, Math.max(a, b) + i / 100 + 1 / 1000]
        return lost === 0
          ? { input, output: undefined, invokedAt: from, returnedAt: Infinity }
          : { input, output, invokedAt: from, returnedAt: to }
      }),
    )
  fc.assert(
    fc.property(history, (calls) => {
      const expected = isLinearizableByTrying(calls)
      verdicts[`${expected}`]++
      expect(isLinearizable(calls)).toBe(expected)
    }),
    { numRuns: 5_000, seed: 20261121 },
  )
  expect(Math.min(verdicts.true, verdicts.false)).toBeGreaterThan(200)
})

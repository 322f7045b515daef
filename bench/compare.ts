import { load } from './load'
import type { LoadRequest, LoadResult } from './load'
import { median } from './measurement'
import type { BenchContext, Row } from './measurement'
import type { PinnedProcess } from './pinned-process'

/** One side of a comparison. */
export interface Side {
  readonly what: string
  readonly target: PinnedProcess
  readonly requests: readonly LoadRequest[]
}

/**
 * Loads each side in turns, round after round, so that what else the machine does falls on all of them; medians count, but
 * for the first round, in which code that is seldom called (1,500 times a second, on CouchDB) is still being compiled.
 * @throws when any request failed: a refused one is cheap
 */
export async function compare(
  sides: readonly Side[],
  { seconds, rounds }: BenchContext,
  connections: number,
): Promise<ReadonlyMap<string, Row>> {
  const results = new Map<string, LoadResult[]>(sides.map(({ what }) => [what, []]))
  for (let round = 0; round <= rounds; round++)
    for (const { what, target, requests } of sides) {
      const result = await load(target, requests, { connections, seconds })
      if (result.failures > 0) throw new Error(`${what}: ${result.failures} requests failed`)
      if (round > 0) results.get(what)!.push(result)
    }
  return new Map(
    [...results].map(([what, of]) => [
      what,
      {
        what,
        value: median(of.map(({ perSecond }) => perSecond)),
        unit: '/s',
        cpuMicros: median(of.map(({ cpuMicros }) => cpuMicros)),
      },
    ]),
  )
}

import type { EngineFactory } from './contract/bench'
import { EngineBench } from './contract/bench'
import { entriesContract } from './contract/entries'
import { listingContract } from './contract/listing'
import { marksContract } from './contract/marks'
import { secondaryContract } from './contract/secondary'
import { timeContract } from './contract/time'
import { watchingContract } from './contract/watching'

/** What core/kv4/api.ts promises, over any store: the same engine, cached, on each adapter. */
export function engineContract(name: string, factory: EngineFactory): void {
  describe(`engine contract: ${name}`, () => {
    const bench = new EngineBench(factory)
    beforeAll(() => bench.start(), 60_000)
    afterAll(async () => {
      await bench.stop()
      expect(bench.backgroundErrors).toEqual([])
    }, 60_000)

    entriesContract(bench)
    listingContract(bench)
    timeContract(bench)
    secondaryContract(bench)
    marksContract(bench)
    watchingContract(bench)
  })
}

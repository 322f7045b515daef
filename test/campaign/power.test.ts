import { straceIsThere } from './disk'
import type { DiskEvent, DiskWrite } from './disk-recording'
import { runPowerCampaign } from './power'
import { STORE_FILES, STORE_WRITERS, StoreSubject } from './store-subject'

// 10,000 images: npm run campaign:power
const there = straceIsThere()
const cut = there ? test : test.skip
const why = there ? '' : ' [skipped: strace is not installed]'
const campaign = { seed: 20261121, entry: STORE_WRITERS, files: STORE_FILES, open: StoreSubject.open }

cut(
  `no power cut loses what was acknowledged, or leaves data that cannot be read${why}`,
  async () => {
    const result = await runPowerCampaign({ ...campaign, images: 100 })
    expect(result.problems).toEqual([])
    expect(result.compared).toBeGreaterThan(1000)
  },
  120_000,
)

cut(
  `the campaign catches a store whose last write is not synced${why}`,
  async () => {
    const spoil = (events: readonly DiskEvent[]): DiskEvent[] => {
      const spoilt = new Map<DiskWrite, DiskWrite>()
      return events.map((event) => {
        if (!('write' in event)) return event
        const write = spoilt.get(event.write) ?? { ...event.write, synchronous: false }
        spoilt.set(event.write, write)
        return { kind: event.kind, write }
      })
    }
    const result = await runPowerCampaign({ ...campaign, images: 60, spoil })
    expect(result.problems.some((problem) => problem.includes('is lost'))).toBe(true)
  },
  120_000,
)

import { straceIsThere } from './disk'
import type { DiskEvent, DiskWrite } from './disk-recording'
import { runPowerCampaign } from './power'
import { STORE_FILES, HASTY_STORE_WRITERS, StoreSubject } from './store-subject'

// 10,000 images: npm run campaign:power
const there = straceIsThere()
const cut = there ? test : test.skip
const why = there ? '' : ' [skipped: strace is not installed]'
const campaign = { seed: 20261121, entry: HASTY_STORE_WRITERS, files: STORE_FILES, open: StoreSubject.open }

/** LMDB's commits and the beginnings of the log's files are to be among what is cut. */
function check(events: readonly DiskEvent[]): void {
  const commits = events.filter((event) => event.kind === 'sync end' && event.file === 'kv4.mdb')
  const beginnings = events.filter(
    (event) => event.kind === 'end' && event.write.offset === 0 && event.write.file !== 'kv4.mdb',
  )
  expect(commits.length).toBeGreaterThan(3)
  expect(beginnings.length).toBeGreaterThan(3)
}

cut(
  `no power cut loses what was acknowledged, or leaves data that cannot be read${why}`,
  async () => {
    const result = await runPowerCampaign({ ...campaign, images: 100, check })
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

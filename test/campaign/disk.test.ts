import { runDiskCampaign, straceIsThere } from './disk'
import { STORE_WRITERS, StoreSubject } from './store-subject'

// 500 injections: npm run campaign:disk
const there = straceIsThere()
const inject = there ? test : test.skip

inject(
  `a failing disk is never acknowledged${there ? '' : ' [skipped: strace is not installed]'}`,
  async () => {
    const result = await runDiskCampaign({
      injections: 10,
      seed: 20261121,
      entry: STORE_WRITERS,
      open: StoreSubject.open,
    })
    expect(result.problems).toEqual([])
    expect(result.met).toBeGreaterThanOrEqual(8)
  },
  120_000,
)

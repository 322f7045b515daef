import { runSignalCampaign } from './signals'

/** Needs what `npm run build` makes. 10,000 sockets: npm run campaign:signals */

const SMALL = { sockets: 60, perRoom: 6, seed: 20261121, everyMs: 100, lengthMs: 500 }

test('a node that is killed under its sockets leaves nobody with a gap that he does not know of', async () => {
  const result = await runSignalCampaign({ ...SMALL, rounds: 2 })
  expect(result.undetected).toEqual([])
  expect(result).toMatchObject({ kills: 2, sockets: 60, rooms: 10 })
  expect(result.heard).toBeGreaterThan(500)
}, 120_000)

test('the campaign sees members who are not told', async () => {
  // Whether a kill falls between a message and its delivery is chance: the more are on their way, the likelier.
  const deaf = { ...SMALL, rounds: 1, everyMs: 20, toldWithinMs: 5_000, deaf: true }
  let undetected = 0
  for (let seed = SMALL.seed; undetected === 0 && seed < SMALL.seed + 4; seed++)
    undetected = (await runSignalCampaign({ ...deaf, seed })).undetected.length
  expect(undetected).toBeGreaterThan(0)
}, 120_000)

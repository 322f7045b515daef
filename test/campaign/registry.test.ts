import { FAKETIME, runRegistryCampaign } from './registry'

/** Needs what `npm run build` makes. With pauses of 30 s: npm run campaign:registry */

const clock = FAKETIME === undefined ? '' : ', a clock that is set'

test(`no service that heartbeats dies of a pause or a kill of the server${clock}; who stops is told dead in time`, async () => {
  const rounds = FAKETIME === undefined ? 2 : 4
  const result = await runRegistryCampaign({
    services: 20,
    rounds,
    seed: 20261121,
    timeoutS: 4,
    pauseMs: 5_000,
  })
  expect(result.problems).toEqual([])
  expect(result.faults).toHaveLength(rounds)
  expect(result.heartbeats).toBeGreaterThan(100)
}, 240_000)

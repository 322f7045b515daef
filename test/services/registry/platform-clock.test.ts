import { extendedDeadline, withOutage } from '../../../services/registry/outages'
import { PlatformClock } from '../../../services/registry/platform-clock'

/** A machine whose two clocks a test moves. */
function machine() {
  const at = { wall: 1_000_000, mono: 0 }
  const clock = new PlatformClock({ wall: () => at.wall, monotonic: () => at.mono })
  return {
    clock,
    /** Time goes by; the process looks at its clock all the while. */
    run: (ms: number) => {
      for (let passed = 0; passed < ms; passed += 250) {
        at.wall += 250
        at.mono += 250
        clock.now()
      }
    },
    /** The process does not get to run. */
    pause: (ms: number) => {
      at.wall += ms
      at.mono += ms
    },
    step: (ms: number) => {
      at.wall += ms
    },
  }
}

test('a lease ends at its time when nothing is wrong', () => {
  const { clock, run } = machine()
  const granted = clock.now()
  run(60_000)
  expect(clock.outages).toEqual([])
  expect(clock.end(granted, granted + 3_000)).toBe(granted + 3_000)
})

test('a pause of the process is added to each lease that it touched', () => {
  const { clock, run, pause } = machine()
  const granted = clock.now()
  run(1_000)
  pause(30_000)
  expect(clock.now()).toBe(granted + 31_000)
  expect(clock.end(granted, granted + 3_000)).toBe(granted + 33_000)
  // One that was over before, and one that began after it.
  expect(clock.end(granted - 5_000, granted - 2_000)).toBe(granted - 2_000)
  const later = clock.now()
  expect(clock.end(later, later + 3_000)).toBe(later + 3_000)
})

test('a step of the machine’s clock forwards ends no lease', () => {
  const { clock, run, step } = machine()
  const granted = clock.now()
  run(1_000)
  step(3600_000)
  run(1_000)
  expect(clock.now()).toBeLessThan(clock.end(granted, granted + 3_000))
  run(1_500)
  expect(clock.now()).toBeGreaterThanOrEqual(clock.end(granted, granted + 3_000))
})

test('a step backwards keeps no dead lease alive', () => {
  const { clock, run, step } = machine()
  const granted = clock.now()
  run(1_000)
  step(-3600_000)
  run(2_500)
  expect(clock.now()).toBeGreaterThanOrEqual(clock.end(granted, granted + 3_000))
})

test('outages that touch are one, and old ones are forgotten', () => {
  let outages = withOutage([], { from: 100, to: 200 })
  outages = withOutage(outages, { from: 150, to: 300 })
  outages = withOutage(outages, { from: 500, to: 600 })
  expect(outages).toEqual([
    { from: 100, to: 300 },
    { from: 500, to: 600 },
  ])
  // Two outages, the second of which only the extended lease meets.
  expect(extendedDeadline(0, 350, outages)).toBe(350 + 200 + 100)
  expect(extendedDeadline(0, 250, outages)).toBe(250 + 200)
  expect(withOutage(outages, { from: 1e9, to: 1e9 + 1 })).toEqual([{ from: 1e9, to: 1e9 + 1 }])
})

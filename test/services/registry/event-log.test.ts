import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BucketName, createEngine } from '../../../core'
import type { Bucket, RunningEngine } from '../../../core'
import { openEmbeddedStore } from '../../../core/store/embedded'
import { EventLog } from '../../../services/registry/event-log'
import type { RegistryEvent } from '../../../services/registry/event-log'
import { Events } from '../../../services/registry/events'
import { LEASE_LAYERS, PLACES } from '../../../services/registry/places'
import { PlatformClock } from '../../../services/registry/platform-clock'
import { TimeUuid } from '../../../services/registry/time-uuid'

let directory: string
let engine: RunningEngine
let bucket: Bucket
let now = Date.now()

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kv4-log-'))
  const store = await openEmbeddedStore({
    directory,
    onFatal(error) {
      throw error
    },
  })
  engine = createEngine({ store, clock: () => now, sweepMs: 0 })
  for (const layer of LEASE_LAYERS) engine.layers.declare(layer)
  await engine.create(BucketName.of('farm'))
  bucket = engine.bucket(BucketName.of('farm'))
})
afterEach(async () => {
  await engine.close()
  await rm(directory, { recursive: true, force: true })
})

/** One per node: they share nothing but the store. */
function newLog(): EventLog {
  return new EventLog(new PlatformClock({ wall: () => now }))
}

async function all(log: EventLog, limit = 7): Promise<readonly RegistryEvent[]> {
  const events: RegistryEvent[] = []
  let from = { entry: 0, place: 0 }
  for (;;) {
    const page = await log.read(bucket, from, limit)
    if (page.events.length === 0) return events
    events.push(...page.events)
    from = page.next
  }
}

function happening(cause: string, since: number) {
  return { cause, since, type: 'service.join', payload: cause } as const
}

test('several nodes publish the same causes at once: each event once, in one order that all see', async () => {
  const logs = [newLog(), newLog(), newLog()]
  const since = await logs[0]!.head(bucket)
  const causes = Array.from({ length: 300 }, (_, i) => `cause-${i}`)
  await Promise.all(
    logs.map((log, i) =>
      Promise.all(
        causes.map(async (cause, j) => {
          // Not all in one turn, so that batches interleave.
          await new Promise((resolve) => setTimeout(resolve, ((i * 7 + j * 13) % 40) / 2))
          await log.publish(bucket, happening(cause, since))
        }),
      ),
    ),
  )
  const told = await all(logs[1]!)
  expect([...told.map(({ payload }) => payload as string)].sort()).toEqual([...causes].sort())
  const ticks = told.map(({ id }) => TimeUuid.ticks(id))
  for (let i = 1; i < ticks.length; i++) expect(ticks[i]! > ticks[i - 1]!).toBe(true)
  expect(await all(newLog(), 1)).toEqual(told)
})

test('a cause that was published before a restart is not published again', async () => {
  const before = newLog()
  const since = await before.head(bucket)
  await before.publish(bucket, happening('old', since))
  for (let i = 0; i < 70; i++) await before.publish(bucket, happening(`other-${i}`, since))
  const after = newLog()
  await after.publish(bucket, happening('old', since))
  await after.publish(bucket, happening('new', since))
  expect((await all(after)).map(({ payload }) => payload).filter((cause) => cause === 'old')).toHaveLength(1)
  expect(await all(after)).toHaveLength(72)
})

test('nothing appears before what was read, whatever time it claims', async () => {
  const log = newLog()
  await log.publish(bucket, happening('first', 0))
  const { next } = await log.read(bucket, { entry: 0, place: 0 }, 10)
  await log.publish(bucket, { ...happening('late', 0), at: now - 60_000 })
  const { events } = await log.read(bucket, next, 10)
  expect(events.map(({ payload }) => payload)).toEqual(['late'])
  const [first, late] = await all(log)
  expect(late!.timestamp).toBeGreaterThanOrEqual(first!.timestamp)
})

test('an event that is told late and before anything else says when it happened', async () => {
  const log = newLog()
  await log.publish(bucket, { ...happening('late', 0), at: now - 60_000 })
  const [late] = await all(log)
  expect(late!.timestamp).toBe(now - 60_000)
  expect(TimeUuid.time(late!.id)).toBe(late!.timestamp)
})

test('finds the first event at or after an instant, and any event by its id', async () => {
  const log = newLog()
  const start = now
  for (let i = 0; i < 50; i++) {
    await log.publish(bucket, happening(`c${i}`, 0))
    now += 1_000
  }
  const told = await all(log)
  for (const i of [0, 1, 24, 49]) {
    const { exact, ...position } = await log.seek(bucket, told[i]!.id)
    expect(exact).toBe(true)
    expect((await log.read(bucket, position, 1)).events).toEqual([told[i]])
    const between = await log.seekTime(bucket, start + i * 1_000 - 500)
    expect((await log.read(bucket, between, 1)).events).toEqual([told[i]])
  }
  const end = await log.seekTime(bucket, now + 1)
  expect((await log.read(bucket, end, 1)).events).toEqual([])
})

test('who begins nowhere begins an hour ago', async () => {
  const log = newLog()
  await log.publish(bucket, happening('old', 0))
  now += 1800_000
  await log.publish(bucket, happening('recent', 1))
  now += 1900_000
  const clock = new PlatformClock({ wall: () => now })
  const feed = new Events(log, clock, async () => undefined)
  const { events } = await feed.page(bucket, {}, 10)
  expect(events.map(({ payload }) => payload)).toEqual(['recent'])
  expect(await all(log)).toHaveLength(2)
})

test('forgets what is older than its retention, and numbers on', async () => {
  const log = newLog()
  for (let i = 0; i < 40; i++) await log.publish(bucket, happening(`c${i}`, 0))
  now += 29 * 24 * 3600_000
  await engine.sweep()
  expect(await all(log)).toHaveLength(40)
  now += 24 * 3600_000 + 1
  await engine.sweep()
  expect((await bucket.keys(PLACES.events)).items).toEqual([])
  const later = newLog()
  await later.publish(bucket, happening('later', await later.head(bucket)))
  const told = await all(later)
  expect(told.map(({ payload }) => payload)).toEqual(['later'])
  const start = await later.seekTime(bucket, 0)
  expect((await later.read(bucket, start, 5)).events).toEqual(told)
})

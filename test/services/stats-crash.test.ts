import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess, type ServerProcess } from '../server/process'
import { SYS_SECRET, ask } from '../server/world'

/** Promise 21: a crash loses at most one interval of what was counted, and nothing is ever counted twice. */

const ROUNDS = Number(process.env['KV4_TEST_STATS_ROUNDS'] ?? 4)
const FLUSH_MS = 400

const sys = '$sys:' + SYS_SECRET
let directory: string
let running: ServerProcess | undefined

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kv4-stats-crash-'))
})
afterAll(async () => {
  running?.child.kill('SIGKILL')
  await running?.exit
  await rm(directory, { recursive: true, force: true })
})

async function start(): Promise<number> {
  running = startProcess({
    KV4_DATA_DIR: directory,
    KV4_SYS_SECRET: SYS_SECRET,
    KV4_STATS_FLUSH_MS: String(FLUSH_MS),
  })
  return running.port
}

async function counted(port: number): Promise<number> {
  const { json } = await ask(port, 'GET', '/_stats/ns/GET?l=api:3&k=$sys', { as: sys })
  return (json as { v: { count?: number } }).v.count ?? 0
}

test(`kill -9 around the flush, ${ROUNDS} times`, async () => {
  let before = 0
  for (let round = 0; round < ROUNDS; round++) {
    const port = await start()
    before = await counted(port)
    /** When each call was answered. */
    const answered: number[] = []
    let asked = 0
    let killed = 0
    const callers = Array.from({ length: 8 }, async () => {
      while (killed === 0) {
        asked++
        try {
          if ((await ask(port, 'GET', '/_ns', { as: sys })).status === 200) answered.push(performance.now())
        } catch {
          return
        }
      }
    })
    // Somewhere around the end of the second interval or the third.
    await sleep(2 * FLUSH_MS + Math.random() * FLUSH_MS)
    running!.child.kill('SIGKILL')
    killed = performance.now()
    await Promise.all(callers)
    await running!.exit

    const now = await start().then(counted)
    // The timer may be late on a busy machine, and the write itself takes its time.
    const due = answered.filter((at) => at < killed - 2 * FLUSH_MS).length
    expect(answered.length).toBeGreaterThan(due)
    expect(now - before).toBeGreaterThanOrEqual(due)
    expect(now - before).toBeLessThanOrEqual(asked)
    running!.child.kill('SIGKILL')
    await running!.exit
  }
  expect(before).toBeGreaterThan(0)
}, 120_000)

test('SIGTERM loses nothing', async () => {
  let port = await start()
  const before = await counted(port)
  for (let i = 0; i < 20; i++) expect((await ask(port, 'GET', '/_ns', { as: sys })).status).toBe(200)
  running!.child.kill('SIGTERM')
  expect(await running!.exit).toMatchObject({ code: 0 })
  port = await start()
  expect((await counted(port)) - before).toBe(20)
}, 60_000)

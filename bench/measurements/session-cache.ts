import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { SessionCacheManager } from '../../session-cache'
import type { BenchContext, Measurement, Row } from '../measurement'
import { median } from '../measurement'
import { cpuMicrosOf, pinned, startPinned } from '../pinned-process'

const SESSIONS = 10_000
/** A box has all of them, and so has its Redis. */
const ALL_CORES = `0-${cpus().length - 1}`
const HITS = join(__dirname, '../processes/session-hits.js')

interface Hits {
  /** Reads a second, and the CPU of each in this process, µs. */
  measure(): Promise<readonly [number, number]>
  stop(): Promise<void>
}

/** A reading process, on whatever core: Redis has the other one, as on a box. */
async function startHits(kind: string, where: string, parallel: number, ms: number): Promise<Hits> {
  const args = [HITS, kind, where, String(SESSIONS), String(parallel), String(ms)]
  const child = spawn(...pinned(ALL_CORES, process.execPath, args), { stdio: ['pipe', 'pipe', 'inherit'] })
  const line = () =>
    new Promise<string>((resolve, reject) => {
      let text = ''
      const hear = (chunk: unknown) => {
        text += String(chunk)
        if (!text.endsWith('\n')) return
        child.stdout.off('data', hear)
        resolve(text.trim())
      }
      child.stdout.on('data', hear)
      child.once('exit', () => reject(new Error(`the ${kind} process ended`)))
    })
  await line()
  return {
    async measure() {
      const answer = line()
      child.stdin.write('go\n')
      const [rate, cpu] = (await answer).split(' ').map(Number)
      return [rate!, cpu!]
    },
    async stop() {
      child.removeAllListeners('exit')
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    },
  }
}

interface Reading {
  readonly what: string
  readonly kind: 'map' | 'cache' | 'table' | 'redis'
  readonly parallel: number
}

const MAP: Reading = { what: 'a Map in the process', kind: 'map', parallel: 1 }
const UNDER_WAY = [
  { parallel: 1, how: 'one at a time' },
  { parallel: 50, how: '50 under way in the process' },
]

/**
 * Reads a second of one process while `processes` of them read, the median of rounds; and the CPU of a read, that of the
 * Redis server included. Redis is asked the way in which the cache is: each `get` awaited, so many of them under way.
 */
async function hits(processes: number, context: BenchContext, redis: Redis | undefined): Promise<Row[]> {
  const ms = (context.seconds * 1000) / 2
  const readings: Reading[] = [
    MAP,
    ...UNDER_WAY.flatMap(({ parallel, how }): Reading[] => [
      { what: `session cache, local hit, ${how}`, kind: 'cache', parallel },
      { what: `… without copies of its own, ${how}`, kind: 'table', parallel },
      ...(redis === undefined
        ? []
        : [{ what: `Redis GET on loopback, ${how}`, kind: 'redis', parallel } satisfies Reading]),
    ]),
  ]
  const found = new Map<Reading, { rates: number[]; cpus: number[] }>(
    readings.map((reading) => [reading, { rates: [], cpus: [] }]),
  )
  for (let round = 0; round < context.rounds; round++)
    for (const reading of readings) {
      const room = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'kv4-bench-'))
      const where = reading.kind === 'redis' ? String(redis!.port) : room
      const readers: Hits[] = []
      try {
        for (let i = 0; i < processes; i++)
          readers.push(
            await startHits(
              reading.kind,
              i === 0 && reading.kind !== 'redis' ? where + '+' : where,
              reading.parallel,
              ms,
            ),
          )
        const before = reading.kind === 'redis' ? redis!.cpuMicros() : 0
        const each = await Promise.all(readers.map((reader) => reader.measure()))
        const reads = each.reduce((sum, [rate]) => sum + rate * (ms / 1000), 0)
        const server = reading.kind === 'redis' ? (redis!.cpuMicros() - before) / reads : 0
        const { rates, cpus } = found.get(reading)!
        rates.push(each.reduce((sum, [rate]) => sum + rate, 0) / processes)
        cpus.push(each.reduce((sum, [, cpu]) => sum + cpu, 0) / processes + server)
      } finally {
        await Promise.all(readers.map((reader) => reader.stop()))
        rmSync(room, { recursive: true, force: true })
      }
    }
  const suffix = `, ${processes} process${processes === 1 ? '' : 'es'}`
  const rowOf = (reading: Reading): Row => {
    const { rates, cpus } = found.get(reading)!
    return { what: reading.what + suffix, value: median(rates), unit: '/s', cpuMicros: median(cpus) }
  }
  return readings.flatMap((reading): Row[] => {
    const row = rowOf(reading)
    if (reading.kind === 'map') return [row]
    if (reading.kind !== 'redis') return [{ ...row, against: MAP.what + suffix }]
    const cache = readings.find(({ kind, parallel }) => kind === 'cache' && parallel === reading.parallel)!
    return [
      row,
      {
        ...rowOf(cache),
        what: `session cache${suffix}, against ${reading.what}`,
        against: row.what,
        target: { atLeast: 3 },
      },
    ]
  })
}

interface Redis {
  readonly port: number
  readonly child: ChildProcess
  cpuMicros(): number
}

async function startRedis(): Promise<Redis | undefined> {
  const probe = createServer()
  probe.listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  const [command, args] = pinned(ALL_CORES, 'redis-server', [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    tmpdir(),
  ])
  const child = spawn(command, args, { stdio: 'ignore' })
  const missing = await Promise.race([
    once(child, 'error').then(() => true),
    new Promise<false>((resolve) => setTimeout(() => resolve(false), 1000)),
  ])
  return missing ? undefined : { port, child, cpuMicros: () => cpuMicrosOf(child.pid!) }
}

/** p50 of a miss of the box that the relay answers, against an echo of as many bytes. µs. */
async function misses(context: BenchContext): Promise<Row[]> {
  const room = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'kv4-bench-'))
  const file = join(room, 'relay.conf')
  const cache = { directory: room, el_count: 50_000 }
  writeFileSync(
    file,
    JSON.stringify({
      edge_supported_relay: true,
      port: 0,
      address: '127.0.0.1',
      path_types: { auths: { cache: { ...cache, token_path: 'relay' } } },
    }),
  )
  const relay = await startPinned(join(__dirname, '../processes/session-relay.js'), [file])
  const echo = await startPinned(join(__dirname, '../processes/echo.js'))
  const line = { auth_path: 'auths', address: '127.0.0.1', port: relay.port }
  const value = JSON.stringify({
    cookie: { path: '/', maxAge: 3_600_000 },
    user: 'lily',
    roles: 'x'.repeat(120),
  })
  const per = 3000
  const warm = 3000
  const all = warm + per * context.rounds
  try {
    const other = new SessionCacheManager({ manage_section: true, token_path: 'other', cache }, line)
    for (let at = 0; at < all; at += 100)
      await Promise.all(Array.from({ length: 100 }, (_, i) => other.set(`miss-${at + i}`, value)))
    await other.close()
    const box = new SessionCacheManager({ manage_section: true, token_path: 'box', cache }, line)
    const socket = connect({ port: echo.port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    const bytes = Buffer.from(
      JSON.stringify({ _response_id: 91, key: 'miss-1000', value, hash: '12345-1234567890', at: Date.now() }),
    )
    let left = 0
    let back: () => void = () => undefined
    socket.on('data', (chunk: Buffer) => {
      left -= chunk.length
      if (left === 0) back()
    })
    const echoed = () =>
      new Promise<void>((resolve) => {
        left = bytes.length
        back = resolve
        socket.write(bytes)
      })
    const missed: number[] = []
    const bare: number[] = []
    const timed = async (into: number[], work: () => Promise<unknown>) => {
      const start = performance.now()
      await work()
      into.push((performance.now() - start) * 1000)
    }
    // In turns, one by one, so that what else the machine does falls on both; the first of both only warm them up.
    for (let i = 0; i < all; i++) {
      const counts = i >= warm
      await timed(counts ? bare : [], echoed)
      await timed(counts ? missed : [], async () => {
        if ((await box.get(`miss-${i}`)) !== value) throw new Error('a session was not found')
      })
    }
    socket.destroy()
    await box.close()
    return [
      { what: 'bare TCP echo of the same bytes, p50', value: median(bare), unit: 'µs' },
      {
        what: 'session cache: a miss that the relay answers, p50',
        value: median(missed),
        unit: 'µs',
        against: 'bare TCP echo of the same bytes, p50',
        target: { atMost: 2 },
      },
    ]
  } finally {
    await relay.stop()
    await echo.stop()
    rmSync(room, { recursive: true, force: true })
  }
}

export const sessionCache: Measurement = {
  name: 'session-cache',
  title: 'Session cache: local hits, and misses that the relay answers',
  async run(context) {
    const redis = await startRedis()
    try {
      return [
        ...(await hits(1, context, redis)),
        ...(await hits(4, context, redis)),
        ...(await misses(context)),
      ]
    } finally {
      if (redis !== undefined) {
        const exit = once(redis.child, 'exit')
        redis.child.kill('SIGTERM')
        await exit
      }
    }
  },
}

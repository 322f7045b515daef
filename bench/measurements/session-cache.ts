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
import { pinned, startPinned } from '../pinned-process'

const SESSIONS = 10_000
/** A box has all of them, and so has its Redis. */
const ALL_CORES = `0-${cpus().length - 1}`
const HITS = join(__dirname, '../processes/session-hits.js')

interface Hits {
  rate(): Promise<number>
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
    async rate() {
      const answer = line()
      child.stdin.write('go\n')
      return Number(await answer)
    },
    async stop() {
      child.removeAllListeners('exit')
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    },
  }
}

/** Reads a second of one process while `processes` of them read, the median of rounds. */
async function hits(processes: number, context: BenchContext, redisPort: number | undefined): Promise<Row[]> {
  const room = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'kv4-bench-'))
  const ms = (context.seconds * 1000) / 2
  const kinds: {
    readonly what: string
    readonly kind: string
    readonly where: string
    readonly parallel: number
  }[] = [
    { what: 'a Map in the process', kind: 'map', where: '', parallel: 1 },
    { what: 'session cache, local hit', kind: 'cache', where: room, parallel: 1 },
    ...(redisPort === undefined
      ? []
      : [
          {
            what: 'Redis GET on loopback, one at a time',
            kind: 'redis',
            where: String(redisPort),
            parallel: 1,
          },
          {
            what: 'Redis GET on loopback, 50 under way',
            kind: 'redis',
            where: String(redisPort),
            parallel: 50,
          },
        ]),
  ]
  const suffix = `, ${processes} process${processes === 1 ? '' : 'es'}`
  const rates = new Map<string, number[]>(kinds.map(({ what }) => [what, []]))
  for (let round = 0; round < context.rounds; round++)
    for (const { what, kind, where, parallel } of kinds) {
      const readers: Hits[] = []
      try {
        for (let i = 0; i < processes; i++)
          readers.push(await startHits(kind, kind === 'cache' && i === 0 ? where + '+' : where, parallel, ms))
        const each = await Promise.all(readers.map((reader) => reader.rate()))
        rates.get(what)!.push(each.reduce((sum, rate) => sum + rate, 0) / processes)
      } finally {
        await Promise.all(readers.map((reader) => reader.stop()))
      }
    }
  rmSync(room, { recursive: true, force: true })
  const value = (what: string) => median(rates.get(what)!)
  const cache = value('session cache, local hit')
  return kinds.flatMap(({ what, kind }) => {
    const row: Row = { what: what + suffix, value: value(what), unit: '/s' }
    if (kind === 'map') return [row]
    if (kind === 'cache') return [{ ...row, against: 'a Map in the process' + suffix }]
    return [
      row,
      {
        what: `session cache${suffix}, against ${what}`,
        value: cache,
        unit: '/s',
        against: what + suffix,
        // What a request waits for is one GET; 50 at a time share their system calls.
        ...(what.includes('one at a time') ? { target: { atLeast: 3 } } : {}),
      },
    ]
  })
}

async function startRedis(): Promise<{ readonly port: number; readonly child: ChildProcess } | undefined> {
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
  return missing ? undefined : { port, child }
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
  try {
    const other = new SessionCacheManager({ manage_section: true, token_path: 'other', cache }, line)
    for (let at = 0; at < per * context.rounds; at += 100)
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
    // In turns, one by one, so that what else the machine does falls on both.
    for (let i = 0; i < per * context.rounds; i++) {
      await timed(bare, echoed)
      await timed(missed, async () => {
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
        ...(await hits(1, context, redis?.port)),
        ...(await hits(4, context, redis?.port)),
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

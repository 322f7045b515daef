import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import WebSocket from 'ws'
import { median, type Measurement, type Row } from '../measurement'
import { startPinned, type PinnedProcess } from '../pinned-process'

const SECRET = 'bench-secret-0123456789'
const MEMBERS = 1_000
/** A signalling client sends a few messages and waits; so few that no rate is reached. */
const BROADCASTS = 60
const SOCKETS = 10_000
const OPENED_AT_ONCE = 100
const FRAME = '{"t":"u","m":{"f":"","o":"message"},"p":{"msg":"' + 'x'.repeat(200) + '"}}'

interface Spread {
  readonly perSecond: number
  readonly cpuMicros: number
  /** ms between the first and the last member that a broadcast reaches, the worst of all. */
  readonly worstMs: number
}

async function opened(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url, { perMessageDeflate: false })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  return socket
}

async function openMany(count: number, url: (i: number) => string): Promise<WebSocket[]> {
  const sockets: WebSocket[] = []
  while (sockets.length < count) {
    const batch = Math.min(OPENED_AT_ONCE, count - sockets.length)
    const from = sockets.length
    sockets.push(...(await Promise.all(Array.from({ length: batch }, (_, i) => opened(url(from + i))))))
  }
  return sockets
}

async function broadcast(sockets: readonly WebSocket[], process: PinnedProcess): Promise<Spread> {
  const [sender, ...others] = sockets
  let arrived = 0
  let first = 0
  let done: (() => void) | undefined
  for (const socket of others)
    socket.on('message', (data: Buffer) => {
      // Who is there is told, too.
      if (!data.includes('xxxxxxxx')) return
      if (arrived++ === 0) first = performance.now()
      if (arrived === others.length) done!()
    })
  let worstMs = 0
  const cpu = process.cpuMicros()
  const start = performance.now()
  for (let i = 0; i < BROADCASTS; i++) {
    arrived = 0
    const all = new Promise<void>((resolve) => (done = resolve))
    sender!.send(FRAME)
    await all
    worstMs = Math.max(worstMs, performance.now() - first)
  }
  const seconds = (performance.now() - start) / 1000
  const frames = BROADCASTS * others.length
  for (const socket of sockets) socket.terminate()
  return {
    perSecond: frames / seconds,
    cpuMicros: (process.cpuMicros() - cpu) / frames,
    worstMs,
  }
}

interface SignalServer extends PinnedProcess {
  url(user: string): Promise<string>
  remove(): Promise<void>
}

async function startSignal(): Promise<SignalServer> {
  const directory = await mkdtemp(join(tmpdir(), 'kv4-bench-signal-'))
  const process = await startPinned(join(__dirname, '../processes/kv4.js'), [], {
    KV4_PORT: '0',
    KV4_DATA_DIR: directory,
    KV4_SYS_SECRET: SECRET,
    KV4_LOG_LEVEL: 'warn',
    KV4_MAX_CONNECTIONS: '20000',
  })
  const call = async (method: string, target: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${process.port}${target}`, {
      method,
      headers: { Authorization: 'Basic ' + Buffer.from(`$sys:${SECRET}`).toString('base64') },
    })
    const { v, s } = (await response.json()) as { readonly v: string; readonly s: string }
    if (s !== 'ok') throw new Error(`${method} ${target}: ${v}`)
    return v
  }
  await call('POST', '/_ns/bench')
  return {
    ...process,
    url: async (user) =>
      `ws://127.0.0.1:${process.port}/v2/${await call('PUT', `/_token/bench?k=${user}&expire=0`)}`,
    async remove() {
      await process.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Resolves once the members have been told of each other, which is a frame for every pair. */
async function quiet(sockets: readonly WebSocket[]): Promise<void> {
  let heard = 0
  const count = () => heard++
  for (const socket of sockets) socket.on('message', count)
  for (let before = -1; before !== heard;) {
    before = heard
    await new Promise((resolve) => setTimeout(resolve, 1_000))
  }
  for (const socket of sockets) socket.off('message', count)
}

async function inRoom(server: SignalServer, count: number): Promise<WebSocket[]> {
  const urls: string[] = []
  for (let i = 0; i < count; i++) urls.push(await server.url(`user-${i}`))
  const sockets = await openMany(count, (i) => urls[i]!)
  await quiet(sockets)
  return sockets
}

/** MiB that a process has in memory. */
function residentMiB(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line![1]) / 1024
}

async function manySockets(): Promise<readonly Row[]> {
  const server = await startSignal()
  try {
    const before = residentMiB(server.pid)
    // A token says nothing of how many connect with it; rooms of one user each would be as large.
    const sockets: WebSocket[] = []
    const url = await server.url('many')
    try {
      sockets.push(...(await openMany(SOCKETS, () => url)))
    } catch (error) {
      throw new Error(`${SOCKETS} sockets could not be opened (ulimit -n?)`, { cause: error })
    }
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    const open = sockets.filter((socket) => socket.readyState === WebSocket.OPEN).length
    if (open < SOCKETS) throw new Error(`only ${open} sockets stayed open`)
    const after = residentMiB(server.pid)
    for (const socket of sockets) socket.terminate()
    return [
      { what: 'kv4 before any socket', value: before, unit: 'MiB' },
      { what: `kv4 with ${SOCKETS} open sockets`, value: after, unit: 'MiB', target: { atMost: 1024 } },
    ]
  } finally {
    await server.remove()
  }
}

export const signal: Measurement = {
  name: 'signal',
  title: `Broadcasts to ${MEMBERS} in one room; ${SOCKETS} open sockets`,
  async run({ rounds }) {
    const bare: Spread[] = []
    const kv4: Spread[] = []
    for (let round = 0; round < rounds; round++) {
      const relay = await startPinned(join(__dirname, '../processes/relay.js'))
      try {
        bare.push(await broadcast(await openMany(MEMBERS, () => `ws://127.0.0.1:${relay.port}/`), relay))
      } finally {
        await relay.stop()
      }
      const server = await startSignal()
      try {
        kv4.push(await broadcast(await inRoom(server, MEMBERS), server))
      } finally {
        await server.remove()
      }
    }
    const of = (spreads: readonly Spread[], what: string) => ({
      what,
      value: median(spreads.map(({ perSecond }) => perSecond)),
      unit: 'frames/s',
      cpuMicros: median(spreads.map(({ cpuMicros }) => cpuMicros)),
    })
    return [
      of(bare, 'bare ws relay'),
      { ...of(kv4, 'kv4 room'), against: 'bare ws relay', target: { atLeast: 0.7 } },
      {
        what: 'bare ws relay, first to last of a broadcast (worst)',
        value: Math.max(...bare.map(({ worstMs }) => worstMs)),
        unit: 'ms',
      },
      {
        what: 'kv4, first to last of a broadcast (worst)',
        value: Math.max(...kv4.map(({ worstMs }) => worstMs)),
        unit: 'ms',
        target: { atMost: 100 },
      },
      ...(await manySockets()),
    ]
  },
}

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median, type Measurement, type Row } from '../measurement'
import { startPinned, type PinnedProcess } from '../pinned-process'

const SECRET = 'bench-secret-0123456789'
const IDLE = 10_000
const TOGETHER = 1_000
const WRITES = 30
const OPENED_AT_ONCE = 100
const LOGIN = 'Basic ' + Buffer.from(`$sys:${SECRET}`).toString('base64')

interface WatchServer extends PinnedProcess {
  remove(): Promise<void>
}

async function startServer(): Promise<WatchServer> {
  const directory = await mkdtemp(join(tmpdir(), 'kv4-bench-watch-'))
  const process = await startPinned(join(__dirname, '../processes/kv4.js'), [], {
    KV4_PORT: '0',
    KV4_DATA_DIR: directory,
    KV4_SYS_SECRET: SECRET,
    KV4_LOG_LEVEL: 'warn',
    KV4_MAX_CONNECTIONS: '20000',
    KV4_WATCH_PER_ACCOUNT: '20000',
  })
  return {
    ...process,
    async remove() {
      await process.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A stream as its bytes, which costs the measuring side little. Resolves when the watch has begun. */
async function watching(port: number, target: string, told: (bytes: Buffer) => void): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.write(`GET ${target} HTTP/1.1\r\nHost: bench\r\nAuthorization: ${LOGIN}\r\n\r\n`)
  let head = ''
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => reject(new Error(`a stream was closed: ${head}`)))
    const begin = (bytes: Buffer) => {
      head += bytes.toString('latin1')
      if (!/\nid: /.test(head)) return
      socket.off('data', begin)
      resolve()
    }
    socket.on('data', begin)
  })
  if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(head.slice(0, 200))
  socket.on('data', told)
  return socket
}

async function openMany(count: number, open: (i: number) => Promise<Socket>): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const from = sockets.length
    const batch = Math.min(OPENED_AT_ONCE, count - from)
    sockets.push(...(await Promise.all(Array.from({ length: batch }, (_, i) => open(from + i)))))
  }
  return sockets
}

async function write(port: number, path: string, k: string, v: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/_data${path}`, {
    method: 'POST',
    headers: { Authorization: LOGIN, 'Content-Type': 'application/json' },
    body: JSON.stringify({ k, v }),
  })
  if (!response.ok) throw new Error(`a write was answered ${response.status}`)
  await response.arrayBuffer()
}

/** MiB that a process has in memory. */
function residentMiB(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line![1]) / 1024
}

async function idle(): Promise<readonly Row[]> {
  const server = await startServer()
  try {
    await write(server.port, '/idle', 'first', 0)
    const before = residentMiB(server.pid)
    let heard = 0
    const sockets = await openMany(IDLE, (i) =>
      watching(server.port, `/_data/idle?watch=1&k=key-${i}`, (bytes) => {
        if (bytes.includes('data:')) heard++
      }),
    )
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    const after = residentMiB(server.pid)
    // Writes to other keys wake nobody.
    for (let i = 0; i < 200; i++) await write(server.port, '/idle', 'other', i)
    await write(server.port, '/idle', `key-${IDLE - 1}`, 1)
    await new Promise((resolve) => setTimeout(resolve, 500))
    if (heard !== 1) throw new Error(`${heard} watchers heard of a write to the key of one`)
    for (const socket of sockets) socket.destroy()
    return [
      { what: 'kv4 before any watcher', value: before, unit: 'MiB' },
      {
        what: `${IDLE} idle watchers of different keys`,
        value: after - before,
        unit: 'MiB more',
        target: { atMost: 300 },
      },
    ]
  } finally {
    await server.remove()
  }
}

interface Spread {
  /** ms between the first and the last watcher that a write reaches. */
  readonly median: number
  readonly worst: number
  readonly cpuMicros: number
}

async function together(): Promise<Spread> {
  const server = await startServer()
  try {
    let arrived = 0
    let first = 0
    let done: (() => void) | undefined
    const sockets = await openMany(TOGETHER, () =>
      watching(server.port, '/_data/one?watch=1&k=key', (bytes) => {
        if (!bytes.includes('data:')) return
        if (arrived++ === 0) first = performance.now()
        if (arrived === TOGETHER) done!()
      }),
    )
    const spreads: number[] = []
    const cpu = server.cpuMicros()
    for (let i = 0; i < WRITES; i++) {
      arrived = 0
      const all = new Promise<void>((resolve) => (done = resolve))
      await write(server.port, '/one', 'key', i)
      await all
      spreads.push(performance.now() - first)
    }
    const cpuMicros = (server.cpuMicros() - cpu) / (WRITES * TOGETHER)
    for (const socket of sockets) socket.destroy()
    return { median: median(spreads), worst: Math.max(...spreads), cpuMicros }
  } finally {
    await server.remove()
  }
}

export const watch: Measurement = {
  name: 'watch',
  title: `${IDLE} idle watchers; one write to ${TOGETHER} watchers of its key`,
  async run({ rounds }) {
    const spreads: Spread[] = []
    for (let round = 0; round < rounds; round++) spreads.push(await together())
    return [
      ...(await idle()),
      {
        what: `${TOGETHER} watchers of one key, first to last of a write (median)`,
        value: median(spreads.map((spread) => spread.median)),
        unit: 'ms',
        cpuMicros: median(spreads.map(({ cpuMicros }) => cpuMicros)),
      },
      {
        what: `${TOGETHER} watchers of one key, first to last of a write (worst)`,
        value: Math.max(...spreads.map(({ worst }) => worst)),
        unit: 'ms',
        target: { atMost: 100 },
      },
    ]
  },
}

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { SessionCacheManager } from '../../session-cache'

// One process that reads sessions as fast as it can: `ready`, then for each line `go` a line with reads a second and the
// CPU of each, µs. argv: map | cache | table (the cache without copies of its own) | redis, then a directory or port, sessions, reads under way at once, ms.
const [kind, where, sessions, parallel, ms] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const keys = Array.from({ length: Number(sessions) }, (_, i) => `session-${i}`)
const VALUE = JSON.stringify({
  cookie: { path: '/', maxAge: 3_600_000 },
  user: 'lily',
  roles: 'x'.repeat(120),
})

type Read = (key: string) => unknown

async function reader(): Promise<Read> {
  if (kind === 'map') {
    const map = new Map(keys.map((key) => [key, VALUE]))
    return (key) => map.get(key)
  }
  if (kind === 'cache' || kind === 'table') {
    const manager = new SessionCacheManager({
      manage_section: where.endsWith('+'),
      cache: {
        directory: where.replace('+', ''),
        el_count: keys.length,
        ...(kind === 'table' ? { hot_bytes: 0 } : {}),
      },
    })
    if (where.endsWith('+')) for (const key of keys) await manager.set(key, VALUE)
    return (key) => manager.get(key)
  }
  const redis = new Redis(connect({ port: Number(where), host: '127.0.0.1', noDelay: true }))
  for (const key of keys) await redis.set(key, VALUE)
  return (key) => redis.get(key)
}

/** The least that a client can do: answers in order, what is asked in one turn in one write. */
class Redis {
  readonly #waiting: ((answer: string) => void)[] = []
  #first = 0
  #rest = ''
  #commands = ''

  constructor(private readonly socket: Socket) {
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => this.#hear(String(chunk)))
  }

  get(key: string): Promise<string> {
    return this.#send(`*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`)
  }

  set(key: string, value: string): Promise<string> {
    return this.#send(`*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`)
  }

  #send(command: string): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      if (this.#commands === '') process.nextTick(() => this.#write())
      this.#commands += command
    })
  }

  #write(): void {
    this.socket.write(this.#commands, 'latin1')
    this.#commands = ''
  }

  #hear(chunk: string): void {
    const text = this.#rest + chunk
    let at = 0
    for (;;) {
      const line = text.indexOf('\r\n', at)
      if (line < 0) break
      let end = line + 2
      let answer = text.slice(at + 1, line)
      if (text[at] === '$' && answer !== '-1') {
        end += Number(answer) + 2
        if (end > text.length) break
        answer = text.slice(line + 2, end - 2)
      }
      at = end
      this.#waiting[this.#first++]!(answer)
    }
    this.#rest = text.slice(at)
    if (this.#first > 10_000) {
      this.#waiting.splice(0, this.#first)
      this.#first = 0
    }
  }
}

async function measure(read: Read): Promise<string> {
  const until = performance.now() + Number(ms)
  const start = performance.now()
  const cpu = process.cpuUsage()
  let reads = 0
  const loop = async (offset: number) => {
    for (let i = offset; ; i += 7919) {
      const value = await read(keys[i % keys.length]!)
      if (typeof value !== 'string' || value.length !== VALUE.length)
        throw new Error('a session was not found')
      // The turn ends from time to time, as in a server.
      if (++reads % 64 === 0) {
        await new Promise((resolve) => setImmediate(resolve))
        if (performance.now() > until) return
      }
    }
  }
  await Promise.all(Array.from({ length: Number(parallel) }, (_, i) => loop(i)))
  const rate = (reads / (performance.now() - start)) * 1000
  const { user, system } = process.cpuUsage(cpu)
  return `${rate} ${(user + system) / reads}`
}

void reader().then(async (read) => {
  process.stdout.write('ready\n')
  process.stdin.on(
    'data',
    () =>
      // As long again before: what is measured has had its first look at each session.
      void measure(read)
        .then(() => measure(read))
        .then((line) => process.stdout.write(`${line}\n`)),
  )
})

import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { CATALOG } from '../../services/catalog'
import type { Mount } from '../../services/mount'
import { probe, waiting } from './probe'
import { startProcess } from './process'
import type { ServerProcess } from './process'
import { SYS_SECRET, ask, basic, openWorld } from './world'

const sys = '$sys:' + SYS_SECRET
let directory: string
const processes: ServerProcess[] = []

function start(env: Readonly<Record<string, string>> = {}, ...args: string[]): ServerProcess {
  const started = startProcess({ KV4_DATA_DIR: directory, KV4_SYS_SECRET: SYS_SECRET, ...env }, ...args)
  processes.push(started)
  return started
}

/** An answer of which no more than the beginning is read until `rest` is called: all of it. */
function openReader(port: number, path: string): Promise<{ rest(): Promise<string> }> {
  return new Promise((resolve, reject) => {
    const headers = { Authorization: basic(sys) }
    const request = httpRequest({ host: '127.0.0.1', port, path, agent: false, headers }, (response) => {
      let failure: Error | undefined
      response.on('error', (error) => (failure = error))
      resolve({
        async rest() {
          if (failure !== undefined) throw failure
          return text(response)
        },
      })
    })
    request.on('error', reject)
    request.end()
  })
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kv4-process-'))
})
afterEach(async () => {
  for (const { child, exit } of processes.splice(0)) {
    child.kill('SIGKILL')
    await exit
  }
  await rm(directory, { recursive: true, force: true })
})

describe('the process', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s under load: every answer is whole, and stays',
    async (signal) => {
      const server = start()
      const port = await server.port
      // The first login of a chosen secret is slow on purpose.
      expect((await ask(port, 'GET', '/_data/load', { as: sys })).status).toBe(200)
      const acknowledged: string[] = []
      const broken: unknown[] = []
      let stopping = false
      const writers = Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; ; i++) {
          const key = `w${writer}-${i}`
          try {
            const { status, json } = await ask(port, 'PUT', '/_data/load', {
              as: sys,
              body: { k: key, v: i },
            })
            if (status === 201 && json.s === 'ok') acknowledged.push(key)
            else broken.push(json)
          } catch (error) {
            // Nobody is there any more: the request was never taken.
            if (!stopping || (error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') broken.push(error)
            return
          }
        }
      })
      await sleep(300)
      stopping = true
      server.child.kill(signal)
      await Promise.all(writers)
      expect(await server.exit).toEqual({ code: 0, signal: null })
      // A connection that was still in the kernel's queue is reset unheard; it had no answer, so it was not promised.
      expect(broken.filter((error) => (error as NodeJS.ErrnoException).code !== 'ECONNRESET')).toEqual([])
      expect(acknowledged.length).toBeGreaterThan(8)
      expect(server.output()).toContain('"msg":"ended"')

      const again = start()
      const { json } = await ask(await again.port, 'GET', '/_data/load?limit=10000', { as: sys })
      const kept = new Set(json.v as string[])
      expect(acknowledged.filter((key) => !kept.has(key))).toEqual([])
    },
  )

  test('SIGTERM in the middle of a long answer: it comes to its end, or is cut', async () => {
    const first = start()
    const port = await first.port
    // More than node and the kernel hold for a reader who does not take it.
    const names = Array.from({ length: 32 }, (_, i) => `app-${10 + i}`)
    for (const name of names) {
      const body = { config: name.padEnd(900 * 1024) }
      expect((await ask(port, 'PUT', `/app/${name}`, { as: sys, body })).status).toBe(200)
    }
    const slow = await openReader(port, '/app')
    first.child.kill('SIGTERM')
    await sleep(500)
    const { apps, ...all } = JSON.parse(await slow.rest()) as Record<string, { config: string }>
    expect(apps).toEqual(names)
    expect(Object.values(all).map(({ config }) => config.trimEnd())).toEqual(names)
    expect(await first.exit).toEqual({ code: 0, signal: null })

    const second = start({ KV4_DRAIN_MS: '500' })
    const slower = await openReader(await second.port, '/app')
    second.child.kill('SIGTERM')
    expect(await second.exit).toEqual({ code: 0, signal: null })
    await expect(slower.rest()).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  test('makes a secret once, says it once, and keeps the pepper to its owner', async () => {
    const first = start({ KV4_SYS_SECRET: '' })
    const port = await first.port
    while (!/^ {2}\S+\n\n/m.test(first.errors())) await sleep(5)
    const secret = /^ {2}(\S+)$/m.exec(first.errors())![1]!
    expect(first.output()).not.toContain(secret)
    expect((await ask(port, 'GET', '/_data', { as: '$sys:' + secret })).status).toBe(200)
    expect((await stat(join(directory, 'pepper'))).mode & 0o777).toBe(0o600)
    expect(await readFile(join(directory, 'pepper'), 'utf8')).not.toContain(secret)
    first.child.kill('SIGTERM')
    await first.exit

    const second = start({ KV4_SYS_SECRET: '' })
    expect((await ask(await second.port, 'GET', '/_data', { as: '$sys:' + secret })).status).toBe(200)
    expect(second.errors()).toBe('')
  })

  test('whoever connects while it is held up waits for it, and is heard', async () => {
    const server = start()
    const port = await server.port
    server.child.kill('SIGSTOP')
    // More than node asks of the kernel by itself, 511.
    const sockets = Array.from({ length: 1_500 }, () => connect(port, '127.0.0.1'))
    try {
      await Promise.all(sockets.map((socket) => once(socket, 'connect')))
      server.child.kill('SIGCONT')
      for (const socket of sockets)
        socket.write('GET /healthz HTTP/1.1\r\nHost: kv4\r\nConnection: close\r\n\r\n')
      const answers = await Promise.all(sockets.map((socket) => text(socket)))
      expect(new Set(answers.map((answer) => answer.split('\r\n')[0]))).toEqual(new Set(['HTTP/1.1 200 OK']))
    } finally {
      for (const socket of sockets) socket.destroy()
    }
  })

  test('refuses a port in use, in a sentence', async () => {
    const squatter = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => squatter.once('listening', resolve))
    const { port } = squatter.address() as AddressInfo
    const server = start({}, '--port', String(port))
    expect(await server.exit).toEqual({ code: 2, signal: null })
    expect(server.errors()).toBe(
      `kv4: port ${port} on 127.0.0.1 is in use; choose another with --port or KV4_PORT\n`,
    )
    await new Promise((resolve) => squatter.close(resolve))
  })

  test('refuses a data directory that another process has', async () => {
    await start().port
    const second = start()
    expect(await second.exit).toEqual({ code: 2, signal: null })
    expect(second.errors()).toMatch(/^kv4: the data directory .* is in use: one process at a time.*\n$/)
  })

  test('refuses a file as data directory', async () => {
    const server = start({ KV4_DATA_DIR: __filename })
    expect(await server.exit).toEqual({ code: 2, signal: null })
    expect(server.errors()).toBe(
      `kv4: ${__filename} cannot be a directory: something else is there (KV4_DATA_DIR)\n`,
    )
  })

  test('refuses another pepper than the one the accounts were made under', async () => {
    const first = start({ KV4_PEPPER: 'p'.repeat(32) })
    await first.port
    first.child.kill('SIGTERM')
    await first.exit
    const second = start({ KV4_PEPPER: 'q'.repeat(32) })
    expect(await second.exit).toEqual({ code: 2, signal: null })
    expect(second.errors()).toContain('another pepper')
  })

  test('refuses a configuration, with everything that is wrong and no stack', async () => {
    const server = start({ KV4_PROT: '1', KV4_STATUS: 'teapot' }, '--nonsense')
    expect(await server.exit).toEqual({ code: 2, signal: null })
    for (const word of ['KV4_PROT', 'KV4_STATUS', '--nonsense']) expect(server.errors()).toContain(word)
    expect(server.errors()).not.toMatch(/\n\s+at /)
  })

  test('refuses a CouchDB that is not there, without its password', async () => {
    const server = start({ KV4_COUCHDB_URL: 'http://admin:canary@127.0.0.1:9' })
    expect(await server.exit).toEqual({ code: 2, signal: null })
    expect(server.errors()).toMatch(/^kv4: /)
    expect(server.errors() + server.output()).not.toContain('canary')
    expect(server.errors()).not.toMatch(/\n\s+at /)
  })
})

describe('draining', () => {
  test('finishes what is under way, says no to probes, and lets the connection end', async () => {
    const world = await openWorld({}, { services: [...CATALOG, probe] })
    const busy = world.ask('POST', '/_probe/wait', { as: sys })
    while (waiting.release === undefined) await sleep(5)
    const keep = world.raw('GET /_probe/open HTTP/1.1\r\nHost: x\r\n\r\n')
    await sleep(20)
    const closed = world.close()
    // An idle connection is ended at once, one under way is not.
    expect(await keep).toContain('200 OK')
    await expect(world.ask('GET', '/readyz')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    waiting.release()
    const { status, json, headers } = await busy
    expect([status, json.v, headers.connection]).toEqual([200, 'released', 'close'])
    await closed
  })

  test('answers who polls with what there is, and does not wait for the rest', async () => {
    const world = await openWorld({ KV4_WATCH_PER_ACCOUNT: '2', KV4_DRAIN_MS: '20000' })
    const polls = ['/_data/x?watch=1&wait=60', '/_reg/events?wait=60'].map((path) =>
      world.ask('GET', path, { as: sys }),
    )
    const both = Promise.all(polls)
    let full: unknown
    do {
      await sleep(100)
      full = (await world.ask('GET', '/_data/x?watch=1&wait=0', { as: sys })).json.v
    } while (full !== 'limit_reached')
    const began = performance.now()
    const closed = world.close()
    for (const { status, json, headers } of await both)
      expect([status, json.s, json.v, headers.connection]).toEqual([200, 'ok', [], 'close'])
    await closed
    expect(performance.now() - began).toBeLessThan(10_000)
  })

  test('waits for the reader of an answer that is on its way', async () => {
    const body = Buffer.alloc(32 * 1024 * 1024, 'x')
    const long: Mount = {
      name: 'long',
      segments: ['long'],
      routes: [
        {
          methods: ['GET'],
          pattern: /./,
          access: 'public',
          summary: '',
          run: async () => ({ status: 200, body }),
        },
      ],
      refuse: () => ({ status: 500 }),
    }
    const world = await openWorld({}, { services: [probe], mounts: [() => long] })
    const slow = await openReader(world.server.port, '/long')
    const closed = world.close()
    await sleep(200)
    expect(await slow.rest()).toHaveLength(body.length)
    await closed
  })

  test('gives up on what takes too long', async () => {
    const world = await openWorld({ KV4_DRAIN_MS: '100' }, { services: [probe] })
    delete waiting.release
    const busy = world.ask('POST', '/_probe/wait', { as: sys })
    const refused = expect(busy).rejects.toMatchObject({ code: 'ECONNRESET' })
    while (waiting.release === undefined) await sleep(5)
    await world.close()
    await refused
  })
})

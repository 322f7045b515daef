import { execFile, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Client } from '../client'
import { eventually } from '../eventually'
import type { Platform } from '../platform'
import { makeAccount, startOpenPlatform } from '../server/external/world'

/** `examples/turn`: the program itself, on the bus of a platform, and a real coturn that takes its credentials. */

const ROOT = join(__dirname, '../..')
const SECRET = 'a-secret-that-coturn-shares'

interface IceServer {
  readonly url: string
  readonly username?: string
  readonly credential?: string
}

let platform: Platform
let token: string
let elena: Client
const children: ChildProcess[] = []

beforeAll(async () => {
  platform = await startOpenPlatform()
  elena = platform.as('elena', await makeAccount(platform.sys, 'elena'))
  token = await platform.sys.ok(platform.sys.put<string>('/_host/runtime/hosts/token?prefix=_turn'))
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await platform.close()
})

/** As `npm run example:turn` does, with the environment that its head describes. */
async function startExample(settings: Readonly<Record<string, string>> = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-r', './scripts/typescript.js', 'examples/turn/main.ts'], {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'],
      TURN_PLATFORM: platform.url,
      TURN_TOKEN: token,
      TURN_SECRET: SECRET,
      TURN_HOST: 'turn.example.com',
      TURN_LISTEN: '127.0.0.1:0',
      TURN_NAME: 'one',
      ...settings,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.push(child)
  let said = ''
  await new Promise<void>((done, fail) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('_turn is at')) done()
    })
    child.once('exit', (code) => fail(new Error(`the example ended with ${code}: ${said}`)))
  })
  return child
}

async function end(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  expect((await gone)[0]).toBe(0)
}

test('answers the iceServers of the contract, to any of its bodies, and counts the session', async () => {
  const example = await startExample()
  const answers = [
    await elena.put<{ iceServers: IceServer[] }>('/_turn/my/path'),
    await elena.call<{ iceServers: IceServer[] }>('PUT', '/_turn//my/path', { body: 'null' }),
    await elena.call<{ iceServers: IceServer[] }>('PUT', '/_turn/', { body: {} }),
    await elena.call<{ iceServers: IceServer[] }>('PUT', '/_turn', {
      headers: { 'Content-Type': 'application/json' },
    }),
  ]
  for (const { status, body } of answers) {
    expect([status, body.s]).toEqual([200, 'ok'])
    const { iceServers } = body.v
    const { username, credential } = iceServers[1]!
    expect(username).toMatch(/^\d{10}:elena$/)
    const turn = (url: string) => ({ username, url, credential })
    expect(JSON.stringify(body.v)).toBe(
      JSON.stringify({
        iceServers: [
          { url: 'stun:turn.example.com' },
          turn('turn:turn.example.com:80?transport=udp'),
          turn('turn:turn.example.com:3478?transport=udp'),
          turn('turn:turn.example.com:80?transport=tcp'),
          turn('turn:turn.example.com:3478?transport=tcp'),
          turn('turns:turn.example.com:443?transport=tcp'),
          turn('turns:turn.example.com:5349?transport=tcp'),
        ],
      }),
    )
    const left = Number(username!.split(':')[0]) - Date.now() / 1000
    expect(left).toBeGreaterThan(3500)
    expect(left).toBeLessThanOrEqual(3600)
  }

  const recorded = async (path: string) =>
    (await elena.ok(elena.get<{ count?: number }>(`/_stats${path}?l=turn:sess&k=elena`))).count ?? 0
  await eventually(async () =>
    expect([await recorded('/my/path'), await recorded('/default')]).toEqual([2, 2]),
  )

  expect(await elena.error(elena.get('/_turn/my/path'))).toBe('405 method_not_allowed')
  expect(await elena.ok(elena.get('/_host?type=turn'))).toBe('turn:turn.example.com')
  await end(example)
  expect(await elena.error(elena.put('/_turn/my/path'))).toBe('404 not_found')
})

test('makes credentials for the user and the time that are asked for, within its own', async () => {
  const example = await startExample({ TURN_SECONDS: '600' })
  const asked = async (query: string) => {
    const [, { username } = { username: '' }] = (
      await elena.ok(elena.put<{ iceServers: IceServer[] }>(`/_turn/my/path${query}`))
    ).iceServers
    const [expiry, user] = username!.split(':')
    return { user, left: Math.round((Number(expiry) - Date.now() / 1000) / 10) * 10 }
  }
  expect(await asked('?k=bob&expire=60')).toEqual({ user: 'bob', left: 60 })
  expect(await asked('?k=bob')).toEqual({ user: 'bob', left: 600 })
  expect(await asked('?expire=120')).toEqual({ user: 'elena', left: 120 })
  expect(await asked('?k=&expire=')).toEqual({ user: 'elena', left: 600 })
  expect(await asked('?expire=0')).toEqual({ user: 'elena', left: 600 })
  expect(await asked('?expire=86400')).toEqual({ user: 'elena', left: 600 })
  expect(await asked(`?k=${encodeURIComponent('b ö/b')}`)).toEqual({ user: 'b ö/b', left: 600 })
  for (const query of ['?k=a:b', '?k=%00', `?k=${'x'.repeat(129)}`, '?expire=-1', '?expire=1e3', '?expire=x'])
    expect([query, await elena.error(elena.put(`/_turn/my/path${query}`))]).toEqual([
      query,
      '400 bad_request',
    ])

  // As V2 asks for it.
  for (const path of ['example.com', 'example.com/app', 'example.com/app/room'])
    await elena.post(`/_ns/${path}`)
  const parameters = { domain: 'example.com', application: 'app', room: 'room', username: 'carol' }
  const query = new URLSearchParams({ ident: 'elena', secret: elena.password, ...parameters, timeout: '30' })
  const answer = await fetch(`${platform.url}/ice`, { method: 'POST', body: query })
  const { d, e } = (await answer.json()) as { d: { iceServers: IceServer[] }; e: string | null }
  expect(e).toBeNull()
  const [expiry, user] = d.iceServers[1]!.username!.split(':')
  expect(user).toBe('carol')
  expect(Number(expiry) - Date.now() / 1000).toBeLessThanOrEqual(30)
  await end(example)
})

test('answers nobody who does not come by the platform', async () => {
  const example = await startExample()
  const [{ url }] = await platform.sys
    .ok(platform.sys.get<{ prefix?: string; url: string }[]>('/_host/runtime/hosts/active?as=values'))
    .then((all) => all.filter(({ prefix }) => prefix === '_turn') as [{ url: string }])
  for (const headers of [{}, { 'kv4-caller': 'v1.e30.AAAA' }]) {
    const answer = await fetch(`${url}/_turn`, { method: 'PUT', headers })
    expect([answer.status, await answer.text()]).toEqual([401, '{"v":"unauthorized","s":"error"}'])
  }
  await end(example)
})

const missing = ['turnserver', 'turnutils_uclient'].filter(
  (program) => spawnSync('which', [program]).status !== 0,
)
const withCoturn = missing.length === 0 ? describe : describe.skip

withCoturn(`a real coturn${missing.length === 0 ? '' : ` (skipped: no ${missing.join(', ')} here)`}`, () => {
  let coturn: ChildProcess
  let port: number
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kv4-coturn-'))
    port = await freePort()
    coturn = spawn(
      'turnserver',
      [
        '-n',
        '--no-cli',
        '--no-tls',
        '--no-dtls',
        '--listening-ip=127.0.0.1',
        '--relay-ip=127.0.0.1',
        `--listening-port=${port}`,
        '--use-auth-secret',
        `--static-auth-secret=${SECRET}`,
        '--realm=kv4',
        '--allow-loopback-peers',
        '--log-file=stdout',
        '--simple-log',
        `--pidfile=${join(directory, 'pid')}`,
        `--userdb=${join(directory, 'db')}`,
      ],
      { stdio: ['ignore', 'ignore', 'ignore'] },
    )
    children.push(coturn)
    await answersOnUdp(port)
  })
  afterAll(async () => {
    const gone = once(coturn, 'exit')
    coturn.kill('SIGKILL')
    await gone
    await rm(directory, { recursive: true, force: true })
  })

  /** Allocates a relay and sends one message through it. */
  function allocate({ username, credential }: IceServer): Promise<boolean> {
    const args = ['-u', username!, '-w', credential!, '-p', String(port), '-y', '-c', '-n', '1', '-m', '1']
    return new Promise((done) =>
      execFile('turnutils_uclient', [...args, '127.0.0.1'], { timeout: 15_000 }, (error, stdout, stderr) =>
        done(error === null && (stdout + stderr).includes('Total lost packets 0')),
      ),
    )
  }

  test('takes our credentials, not those of another secret, and none after they have expired', async () => {
    const example = await startExample({ TURN_SECONDS: '8' })
    const { iceServers } = await elena.ok(
      elena.put<{ iceServers: IceServer[] }>('/_turn/my/path?k=bob&expire=60'),
    )
    const credentials = iceServers[1]!
    expect(credentials.username).toMatch(/:bob$/)
    expect(await allocate(credentials)).toBe(true)
    expect(await allocate({ ...credentials, credential: credentials.credential!.replace(/^./, '_') })).toBe(
      false,
    )

    const expiry = Number(credentials.username!.split(':')[0])
    await wait(Math.max(0, expiry * 1000 - Date.now()) + 1_100)
    expect(await allocate(credentials)).toBe(false)
    const fresh = await elena.ok(elena.put<{ iceServers: IceServer[] }>('/_turn/my/path'))
    expect(await allocate(fresh.iceServers[1]!)).toBe(true)
    await end(example)
  }, 60_000)
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Asks by STUN until somebody answers. */
async function answersOnUdp(port: number): Promise<void> {
  const socket = createSocket('udp4')
  let answered = false
  socket.on('message', () => (answered = true))
  // A binding request: type, length, magic cookie, transaction id.
  const question = Buffer.from('000100002112a442' + '0123456789abcdef01234567', 'hex')
  for (let i = 0; i < 100 && !answered; i++) {
    socket.send(question, port, '127.0.0.1')
    await wait(100)
  }
  socket.close()
  if (!answered) throw new Error('coturn does not answer')
}

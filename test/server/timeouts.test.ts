import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { SYS_SECRET, basic, openWorld } from './world'
import type { World } from './world'

const SYS = `$sys:${SYS_SECRET}`
const HEADERS_MS = 300
const REQUEST_MS = 800

let world: World
beforeAll(async () => {
  world = await openWorld({}, { timeouts: { headersMs: HEADERS_MS, requestMs: REQUEST_MS, checkMs: 50 } })
})
afterAll(() => world.close())

/** A connection that the server has taken, and all that it says until it ends. */
async function open(): Promise<{ readonly socket: Socket; readonly end: Promise<string> }> {
  const socket = connect(world.server.port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => (text += String(chunk)))
  const end = once(socket, 'close').then(() => text)
  await once(socket, 'connect')
  await wait(50)
  return { socket, end }
}

function put(key: string): { readonly head: string; readonly body: string } {
  const body = JSON.stringify({ k: key, v: 1 })
  return {
    head:
      `PUT /_data/timeouts HTTP/1.1\r\nHost: kv4\r\nAuthorization: ${basic(SYS)}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
    body,
  }
}

async function stored(key: string): Promise<boolean> {
  return (await world.ask('GET', `/_data/timeouts?k=${key}`, { as: SYS })).json.s === 'ok'
}

test('a connection that says nothing, or half a head, is told so and ended', async () => {
  for (const bytes of ['', 'GET /healthz HTTP/1.1\r\nHost: k']) {
    const { socket, end } = await open()
    socket.write(bytes)
    expect(await end).toMatch(/^HTTP\/1\.1 408 .*the request took too long/s)
  }
})

test('a body that does not come to its end is not carried out, whatever comes after the 408', async () => {
  const { head, body } = put('late')
  const { socket, end } = await open()
  socket.write(head + body.slice(0, 5))
  await once(socket, 'data')
  socket.write(body.slice(5))
  expect(await end).toMatch(/^HTTP\/1\.1 408 /)
  expect(await stored('late')).toBe(false)
})

test('after a pause of the process, what was answered with 408 is not carried out', async () => {
  const { head, body } = put('begun')
  const begun = await open()
  begun.socket.write(head + body.slice(0, 5))
  const silent = await open()
  const whole = put('whole')
  // Behind an immediate timers come before what has arrived: the server finds out how late it is, and hears of these bytes then.
  await new Promise(setImmediate)
  begun.socket.write(body.slice(5))
  silent.socket.write(whole.head + whole.body)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REQUEST_MS + 200)
  expect(await begun.end).toMatch(/^HTTP\/1\.1 408 /)
  expect(await silent.end).toMatch(/^HTTP\/1\.1 408 /)
  expect(await stored('begun')).toBe(false)
  expect(await stored('whole')).toBe(false)
})

import { once } from 'node:events'
import { WebSocket, WebSocketServer } from 'ws'
import { verifyCaller } from '../../../service'
import type { Client } from '../../client'
import type { Platform } from '../../platform'
import { makeAccount, register, startHost, startOpenPlatform, type TestHost } from './world'

/** Websockets of services that run elsewhere. */

let platform: Platform
let host: TestHost
let key: string
let elena: Client
let server: WebSocketServer

beforeAll(async () => {
  platform = await startOpenPlatform({ KV4_TRUST_PROXY: '127.0.0.1' })
  host = await startHost()
  server = new WebSocketServer({ noServer: true })
  host.server.on('upgrade', (request, socket, head) => {
    if (request.url!.includes('/refused')) {
      socket.end(
        'HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 29\r\nSet-Cookie: a=b\r\n\r\n{"v":"forbidden","s":"error"}',
      )
      return
    }
    host.seen.push(request)
    server.handleUpgrade(request, socket, head, (ws) => {
      ws.send('welcome')
      ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }))
    })
  })
  key = await register(platform, { host: 'one', prefix: '_chat', url: host.url, layers: ['*chat'] })
  elena = platform.as('elena', await makeAccount(platform.sys, 'elena'))
})
afterAll(async () => {
  await platform.close()
  await host.close()
  server.close()
})

function open(login: Client | undefined, path: string, address = '192.0.2.1'): WebSocket {
  return new WebSocket(platform.url.replace('http', 'ws') + path, ['chat'], {
    headers: {
      Cookie: 'a=b',
      'X-Forwarded-For': address,
      ...(login !== undefined && {
        Authorization: 'Basic ' + Buffer.from(`${login.user}:${login.password}`).toString('base64'),
      }),
    },
  })
}

const nextText = async (socket: WebSocket): Promise<string> => {
  const [data] = (await once(socket, 'message')) as [Buffer]
  return data.toString()
}

async function refusal(socket: WebSocket): Promise<string> {
  return new Promise((done) => {
    socket.on('error', () => undefined)
    socket.on('unexpected-response', (_request, response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () =>
        done(`${response.statusCode} ${text} ${String(response.headers['set-cookie'])}`),
      )
    })
  })
}

test('frames go both ways, and the service knows who is there', async () => {
  const socket = open(elena, '/_chat/room/blue?v=1')
  expect(await nextText(socket)).toBe('welcome')
  const big = 'x'.repeat(300_000)
  for (const text of ['hello', big]) {
    socket.send(text)
    expect(await nextText(socket)).toBe(text)
  }
  const request = host.seen.at(-1)!
  expect(verifyCaller(request, key)).toMatchObject({ login: 'elena', path: '/room/blue' })
  expect(request.url).toBe('/_chat/room/blue?v=1')
  expect(request.headers).toMatchObject({ 'sec-websocket-protocol': 'chat' })
  expect(request.headers['kv4-token']).toBeDefined()
  expect(request.headers.authorization).toBeUndefined()
  expect(request.headers.cookie).toBeUndefined()
  expect(socket.protocol).toBe('chat')
  socket.close()
  await once(socket, 'close')
})

test('either side may end it', async () => {
  const socket = open(elena, '/_chat/x')
  await nextText(socket)
  for (const ws of server.clients) ws.close(4001, 'enough')
  const [code] = (await once(socket, 'close')) as [number]
  expect(code).toBe(4001)

  const other = open(elena, '/_chat/x')
  await nextText(other)
  const [ws] = server.clients
  const ended = once(ws!, 'close')
  other.terminate()
  await ended
})

test('strangers, unknown services and services that do not want it are answered as a request is', async () => {
  expect(await refusal(open(undefined, '/_chat/x'))).toContain('401 {"v":"unauthorized"')
  expect(await refusal(open(elena, '/_nobody/x'))).toContain('404 {"v":"not_found"')
  expect(await refusal(open(elena, '/_data/x'))).toContain('404 {"v":"not_found"')
  expect(await refusal(open(elena, '/_chat/refused'))).toBe('403 {"v":"forbidden","s":"error"} undefined')
  expect(await refusal(open(elena, '/_chat/../_data/x%2e%2e/%2e%2e'))).toMatch(/^(400|404) /)
})

test('who is banned or deactivated later loses it', async () => {
  // Looked at every second.
  const rose = platform.as('elena#rose', await makeAccount(elena, 'rose'))
  const socket = open(rose, '/_chat/x')
  await nextText(socket)
  const closed = once(socket, 'close')
  await elena.ok(elena.post('/_acc/accounts', { k: 'rose', v: { active: false } }))
  await closed

  const other = open(elena, '/_chat/banned/room', '192.0.2.77')
  await nextText(other)
  const cut = once(other, 'close')
  await elena.ok(elena.put('/_auth/banned', { k: '192.0.2.0/24' }))
  await cut
  expect(await refusal(open(elena, '/_chat/banned/room', '192.0.2.5'))).toContain('403 {"v":"forbidden"')
  expect((await elena.get('/_chat/banned', { 'X-Forwarded-For': '192.0.2.5' })).status).toBe(403)
  expect((await elena.get('/_chat/other', { 'X-Forwarded-For': '192.0.2.5' })).status).toBe(200)
}, 20_000)

test('the end of the platform ends it', async () => {
  const other = await startOpenPlatform()
  await register(other, { host: 'one', prefix: '_chat', url: host.url })
  const socket = new WebSocket(other.url.replace('http', 'ws') + '/_chat/x', {
    headers: {
      Authorization: 'Basic ' + Buffer.from(`$sys:${other.sys.password}`).toString('base64'),
    },
  })
  await nextText(socket)
  const closed = once(socket, 'close')
  await other.close()
  await closed
})

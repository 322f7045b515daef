import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { Kv4Error } from '../../../core'
import { openWorld } from '../../server/world'
import { Peer } from './peer'
import { openSignalWorld, type SignalWorld } from './world'

/** What clients send that are wrong, broken, too eager or too slow. */

let world: SignalWorld
beforeAll(async () => {
  world = await openSignalWorld()
})
afterAll(() => world.close())

async function pair(channel: string): Promise<{ readonly mallory: Peer; readonly bob: Peer }> {
  const mallory = await world.peer(channel, 'mallory')
  const bob = await world.peer(channel, 'bob')
  bob.take()
  await mallory.next(2)
  return { mallory, bob }
}

const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)

describe('a frame', () => {
  test.each([
    ['that is no JSON', 'hello'],
    ['that is cut off', '{"t":"u","m":{"o":"x"},"p":'],
    ['that is a list', '[1,2]'],
    ['that is null', 'null'],
    ['without m', '{"t":"u","p":1}'],
    ['with an m that is no object', '{"t":"u","m":"x","p":1}'],
    ['with a target that is no name', '{"t":"u","m":{"t":{"a":1},"o":"x"},"p":1}'],
    ['with an operation that is no word', '{"t":"u","m":{"o":["peers"]},"p":1}'],
    ['deeper than anybody speaks', `{"t":"u","m":{"o":"x"},"p":${deep(100)}}`],
    ['so deep that parsers fail', `{"t":"u","m":{"o":"x"},"p":${deep(30_000)}}`],
    ['in the name of the platform', '{"t":"u","m":{"o":"peers"},"p":{"users":[]}}'],
    ['in its name, spelt otherwise', '{"t":"u","m":{"o":"pee\\u0072_removed"},"p":null}'],
    ['in its name at the second try', '{"t":"u","m":{"o":"x","o":"peer_connected"},"p":null}'],
    ['of V1 in a room of V3', '{"eventName":"x","data":1}'],
    ['that is only blanks', '   '],
    ['that is empty', ''],
  ])('%s goes nowhere, and its sender stays', async (_what, frame) => {
    const { mallory, bob } = await pair('bad')
    mallory.send(frame)
    mallory.send('{"t":"u","m":{"o":"after"},"p":1}')
    expect(await bob.next()).toEqual(['{"t":"u","m":{"f":"/bad/mallory","o":"after"},"p":1}'])
    await Promise.all([mallory.close(), bob.close()])
  })

  test('cannot say that it is of somebody else', async () => {
    const { mallory, bob } = await pair('forged')
    mallory.send('{"t":"u","m":{"f":"/forged/bob","f":"/forged/__sys__","\\u0066":"x","o":"y"},"p":1,"m2":2}')
    expect(await bob.next()).toEqual(['{"t":"u","m":{"f":"/forged/mallory","o":"y"},"p":1}'])
    await Promise.all([mallory.close(), bob.close()])
  })

  test('of bytes closes the socket with 1003', async () => {
    const { mallory, bob } = await pair('bytes')
    mallory.send(Buffer.from([1, 2, 3]))
    expect((await mallory.closed).code).toBe(1003)
    await bob.close()
  })

  test('of more than 64 KiB closes it with 1009, of 64 KiB is passed on', async () => {
    const { mallory, bob } = await pair('large')
    const envelope = '{"t":"u","m":{"o":"x"},"p":""}'
    const fits = envelope.replace('""', JSON.stringify('x'.repeat(64 * 1024 - envelope.length)))
    expect(fits).toHaveLength(64 * 1024)
    mallory.send(fits)
    expect((await bob.next())[0]!.length).toBeGreaterThan(64 * 1024)
    mallory.send(fits + ' ')
    expect((await mallory.closed).code).toBe(1009)
    await bob.close()
  })
})

describe('much at once', () => {
  test('pings of a known client cost nothing: no answer, no end, and its messages come through', async () => {
    const { mallory, bob } = await pair('pings')
    for (let i = 0; i < 10_000; i++) mallory.send(i % 2 === 0 ? 'ping' : '{}')
    const start = performance.now()
    mallory.send('{"t":"u","m":{"o":"through"},"p":1}')
    expect(await bob.next()).toHaveLength(1)
    expect(performance.now() - start).toBeLessThan(2_000)
    expect(mallory.take()).toEqual([])
    await Promise.all([mallory.close(), bob.close()])
  })

  test('messages are slowed, and none is lost', async () => {
    const { mallory, bob } = await pair('flood')
    for (let i = 0; i < 450; i++) mallory.send(`{"t":"u","m":{"o":"x"},"p":${i}}`)
    const frames = await bob.until((all) => all.length >= 450, 10_000)
    expect(frames.map((frame) => (JSON.parse(frame) as { p: number }).p)).toEqual(
      Array.from({ length: 450 }, (_, i) => i),
    )
    // 300 at once, and what came in one go with them; then 100 a second.
    const start = performance.now()
    mallory.send('{"t":"u","m":{"o":"x"},"p":450}')
    await bob.next()
    expect(performance.now() - start).toBeGreaterThan(500)
    await Promise.all([mallory.close(), bob.close()])
  })

  test('a reader that reads nothing is cut off, and holds nobody up', async () => {
    const { mallory, bob } = await pair('slow')
    const carol = await world.peer('slow', 'carol')
    carol.take()
    bob.socket.pause()
    const p = JSON.stringify('x'.repeat(60_000))
    for (let i = 0; i < 200; i++) mallory.send(`{"t":"u","m":{"o":"x"},"p":${p}}`)
    await carol.until(
      (all) => all.some((frame) => frame.includes('"f":"/slow/bob","o":"peer_removed"')),
      25_000,
    )
    bob.terminate()
    await Promise.all([mallory.close(), carol.close()])
  })
})

describe('an upgrade', () => {
  const upgrade = (port: number, target: string, headers = '') =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () =>
        socket.write(
          `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
            `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`,
        ),
      )
      let text = ''
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1')
        if (text.startsWith('HTTP/1.1 101')) socket.destroy()
      })
      socket.on('close', () => resolve(text))
      socket.on('error', reject)
    })
  const port = () => Number(new URL(world.platform.url).port)

  test.each([
    ['/', 404],
    ['/v3/token', 404],
    ['/v2', 404],
    ['/v2/a/b', 404],
    ['/_data/v2/token', 404],
    ['//_data//ws/v2/token', 404],
    ['/v2/' + 'x'.repeat(5_000), 101],
    ['/v2/%ff', 101],
    ['/_subs/link', 401],
  ])('at %s answers %i', async (target, status) => {
    expect(await upgrade(port(), target)).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  test('by something that is no websocket is answered as the request that it is', async () => {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(port(), '127.0.0.1', () =>
        socket.write(
          'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n',
        ),
      )
      let text = ''
      socket.on('data', (chunk) => (text += chunk.toString('latin1')))
      socket.on('close', () => resolve(text))
    })
    expect(answer).toMatch(/^HTTP\/1.1 200 OK[^]*\{"v":"ok","s":"ok"\}$/)
  })

  test('of a page is refused when its origin is not among those that may', async () => {
    const other = await openSignalWorld({ KV4_ORIGINS: 'https://app.example.com' })
    try {
      const token = await other.token('room', 'bob')
      const at = `/v2/${token}`
      const of = Number(new URL(other.platform.url).port)
      expect(await upgrade(of, at, 'Origin: https://evil.example.com\r\n')).toMatch(/^HTTP\/1.1 403 /)
      expect(await upgrade(of, at, 'Origin: https://app.example.com\r\n')).toMatch(/^HTTP\/1.1 101 /)
      expect(await upgrade(of, at)).toMatch(/^HTTP\/1.1 101 /)
    } finally {
      await other.close()
    }
  })

  test('waits for nobody who fails to say who he is, and logs no token', async () => {
    const logged = await openWorld({ KV4_LOG_LEVEL: 'trace' })
    const peer = new Peer(`${logged.server.url.replace('http', 'ws')}/v2/canary-token-in-url`)
    expect((await peer.closed).code).toBe(4001)
    expect(logged.logged()).not.toContain('canary-token-in-url')
    await logged.close()
  })
})

describe('a denied address', () => {
  test('opens nothing, and what it has open is closed', async () => {
    const other = await openSignalWorld({ KV4_TRUST_PROXY: '127.0.0.1' })
    try {
      const { elena } = other
      const headers = { 'X-Forwarded-For': '198.51.100.7' }
      const alice = await other.peer('denied/below', 'alice', 'v2', { headers })
      const elsewhere = await other.peer('other', 'alice', 'v2', { headers })
      const neighbour = await other.peer('denied/below', 'bob')
      const token = await other.token('denied/below', 'carol')
      await elena.ok(elena.put('/_auth/denied', { k: '198.51.100.0/24' }))
      expect(await alice.closed).toEqual({ code: 4003, reason: 'banned' })
      const refused = await new Promise<number>((resolve) => {
        const peer = new Peer(other.url(token), { headers })
        peer.socket.once('unexpected-response', (_request, response) => resolve(response.statusCode!))
        peer.socket.once('open', () => resolve(101))
      })
      expect(refused).toBe(403)
      await wait(50)
      for (const { socket } of [elsewhere, neighbour]) expect(socket.readyState).toBe(socket.OPEN)
    } finally {
      await other.close()
    }
  })
})

test('without the store a room is still a room', async () => {
  const broken = await openSignalWorld()
  const token = await broken.token('room', 'bob')
  const alice = await broken.peer('room', 'alice')
  const bucket = Object.getPrototypeOf(broken.platform.engine.bucket('$elena' as never)) as { put: unknown }
  const { put } = bucket
  bucket.put = async () => {
    throw new Kv4Error('store_unavailable')
  }
  try {
    const bob = await Peer.in(broken.url(token))
    bob.send('{"t":"u","m":{"o":"x"},"p":1}')
    const frames = await alice.until((all) => all.some((frame) => frame.includes('"o":"x"')))
    expect(frames.at(-1)).toBe('{"t":"u","m":{"f":"/room/bob","o":"x"},"p":1}')
    bob.terminate()
  } finally {
    bucket.put = put
    await broken.close()
  }
})

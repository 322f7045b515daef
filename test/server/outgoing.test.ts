import dns from 'node:dns/promises'
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Destinations } from '../../server/outgoing/destinations'
import { WebhookClient } from '../../server/outgoing/webhook-client'
import { ask, basic, openWorld, SYS_SECRET } from './world'

/** Threat 15: no URL that an account registers leads to where it must not lead. */

const PRIVATE = [
  'http://127.0.0.1:8080/',
  'http://127.1:8080/',
  'http://2130706433:8080/',
  'http://0x7f.0.0.1:8080/',
  'http://0177.0.0.1:8080/',
  'http://0:8080/',
  'http://0.0.0.0:8080/',
  'http://10.0.0.1:8080/',
  'http://172.16.0.1:8080/',
  'http://192.168.1.1/',
  'http://169.254.169.254/latest/meta-data/',
  'http://100.64.0.1/',
  'http://192.0.0.1/',
  'http://192.0.2.1/',
  'http://198.18.0.1/',
  'http://224.0.0.1/',
  'http://240.0.0.1/',
  'http://255.255.255.255/',
  'http://[::1]:8080/',
  'http://[::]:8080/',
  'http://[::ffff:127.0.0.1]:8080/',
  'http://[::ffff:7f00:1]:8080/',
  'http://[::127.0.0.1]:8080/',
  'http://[64:ff9b::7f00:1]:8080/',
  'http://[64:ff9b:1::7f00:1]:8080/',
  'http://[2002:7f00:1::]:8080/',
  'http://[2001:0:7f00::1]:8080/',
  'http://[fe80::1]:8080/',
  'http://[fec0::1]:8080/',
  'http://[fd00::1]:8080/',
  'http://[fc00::1]:8080/',
  'http://[ff02::1]:8080/',
  'http://[2001:db8::1]:8080/',
  'http://[100::1]:8080/',
  'http://localhost:8080/',
  'http://LOCALHOST.:8080/',
  'http://１２７.0.0.1:8080/',
]

const servers: Server[] = []
afterEach(async () => {
  jest.restoreAllMocks()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  }
})

async function listen(answer: RequestListener): Promise<number> {
  const server = createServer(answer)
  servers.push(server)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return (server.address() as AddressInfo).port
}

const call = (url: string, timeoutMs = 1_000) => ({
  url,
  headers: {},
  body: '{}',
  timeoutMs,
  signal: new AbortController().signal,
})

describe('where calls may go', () => {
  it.each(PRIVATE)('not to %s', async (url) => {
    const destinations = new Destinations({})
    await expect(destinations.check(new URL(url), 'endpoint')).rejects.toMatchObject({ code: 'bad_request' })
    // The check at registration may be long ago: connecting is refused by itself.
    const client = new WebhookClient(destinations)
    const answer = await client.post(call(url))
    expect(answer.kind).toBe('failed')
    expect(['forbidden address', 'no connection']).toContain((answer as { reason: string }).reason)
    await client.close()
  })

  it('to public addresses, to what the operator names beside them, and to nothing else where he names all', async () => {
    const check = (rules: ConstructorParameters<typeof Destinations>[0], url: string) =>
      new Destinations(rules).check(new URL(url)).then(
        () => true,
        () => false,
      )
    expect(await check({}, 'https://8.8.8.8/')).toBe(true)
    expect(await check({}, 'https://[2606:4700::1111]/')).toBe(true)
    expect(await check({ also: ['10.0.0.0/8'] }, 'http://10.1.2.3/')).toBe(true)
    expect(await check({ also: ['10.0.0.0/8'] }, 'http://[::ffff:10.1.2.3]/')).toBe(true)
    expect(await check({ also: ['10.0.0.0/8'] }, 'http://8.8.8.8/')).toBe(true)
    expect(await check({ also: ['10.0.0.0/8'] }, 'http://192.168.0.1/')).toBe(false)
    expect(await check({ only: ['10.0.0.0/8'] }, 'http://10.1.2.3/')).toBe(true)
    expect(await check({ only: ['10.0.0.0/8'] }, 'http://8.8.8.8/')).toBe(false)
  })

  it('not to private ones, and says what an operator can do about it', async () => {
    await expect(
      new Destinations({ setting: 'KV4_HOOKS_ALLOW' }).check(new URL('http://127.0.0.1/'), 'endpoint'),
    ).rejects.toMatchObject({
      code: 'bad_request',
      fields: { parameter: 'endpoint', reason: expect.stringContaining('KV4_HOOKS_ALLOW') as unknown },
    })
  })

  it.each([1, 22, 25, 79, 81, 442, 1023])('not to port %i', async (port) => {
    await expect(
      new Destinations({ also: ['127.0.0.0/8'] }).check(new URL(`http://127.0.0.1:${port}/`)),
    ).rejects.toMatchObject({
      code: 'bad_request',
      fields: { reason: expect.stringContaining('ports') as unknown },
    })
  })

  it('not where any address of a name is private', async () => {
    jest.spyOn(dns, 'lookup').mockResolvedValue([
      { address: '8.8.8.8', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ] as never)
    await expect(new Destinations({}).check(new URL('http://two.example/'))).rejects.toMatchObject({
      code: 'bad_request',
    })
  })

  it('not to a name that has another address when it is connected to', async () => {
    let asked = 0
    const port = await listen((_request, response) => {
      asked++
      response.end()
    })
    const lookup = jest.spyOn(dns, 'lookup').mockResolvedValue([{ address: '8.8.8.8', family: 4 }] as never)
    const destinations = new Destinations({})
    await destinations.check(new URL(`http://rebound.example:${port}/`))
    lookup.mockResolvedValue([{ address: '127.0.0.1', family: 4 }] as never)
    const client = new WebhookClient(destinations)
    expect(await client.post(call(`http://rebound.example:${port}/`))).toEqual({
      kind: 'failed',
      reason: 'forbidden address',
    })
    expect(asked).toBe(0)
    await client.close()
  })
})

describe('a call', () => {
  const open = new Destinations({ also: ['127.0.0.0/8'] })

  it('follows no redirect', async () => {
    let followed = 0
    const target = await listen((_request, response) => {
      followed++
      response.end()
    })
    const port = await listen((_request, response) => {
      response.writeHead(307, { location: `http://127.0.0.1:${target}/` }).end()
    })
    const client = new WebhookClient(open)
    expect(await client.post(call(`http://127.0.0.1:${port}/`))).toEqual({ kind: 'answered', status: 307 })
    expect(followed).toBe(0)
    await client.close()
  })

  it('counts the status, and reads neither a huge answer nor one that never ends', async () => {
    let sent = 0
    const port = await listen((request, response) => {
      response.writeHead(200)
      if (request.url === '/endless') return void response.write('x')
      const chunk = Buffer.alloc(64 * 1024)
      const more = () => {
        while (!response.destroyed && sent < 512 * 1024 * 1024) {
          sent += chunk.length
          if (!response.write(chunk)) return void response.once('drain', more)
        }
      }
      more()
    })
    const client = new WebhookClient(open)
    expect(await client.post(call(`http://127.0.0.1:${port}/huge`))).toEqual({
      kind: 'answered',
      status: 200,
    })
    expect(await client.post(call(`http://127.0.0.1:${port}/endless`, 300))).toEqual({
      kind: 'answered',
      status: 200,
    })
    await new Promise((resolve) => setTimeout(resolve, 400))
    // What the machine's buffers take, and not more.
    expect(sent).toBeLessThan(64 * 1024 * 1024)
    await client.close()
  })

  it('is given up in time, and says what became of it', async () => {
    const port = await listen((request, response) => {
      if (request.url === '/reset') request.socket.resetAndDestroy()
      if (request.url === '/headers') response.writeHead(200, { big: 'x'.repeat(32 * 1024) }).end()
    })
    const client = new WebhookClient(open)
    const url = `http://127.0.0.1:${port}`
    expect(await client.post(call(`${url}/hang`, 200))).toEqual({ kind: 'failed', reason: 'timeout' })
    expect(await client.post(call(`${url}/reset`))).toEqual({ kind: 'failed', reason: 'connection lost' })
    expect(await client.post(call(`${url}/headers`))).toEqual({ kind: 'failed', reason: 'connection lost' })
    expect(await client.post(call('http://127.0.0.1:1025/'))).toEqual({
      kind: 'failed',
      reason: 'no connection',
    })
    await client.close()
  })
})

describe('registering', () => {
  it('refuses hostile endpoints with a clear error, and stores nothing', async () => {
    const world = await openWorld()
    const as = `$sys:${SYS_SECRET}`
    try {
      const hostile: unknown[] = [
        ...PRIVATE,
        'http://user:secret@8.8.8.8/',
        'http://8.8.8.8/#fragment',
        'http://8.8.8.8:22/',
        'ftp://8.8.8.8/',
        'file:///etc/passwd',
        'gopher://8.8.8.8/',
        'javascript:alert(1)',
        '//8.8.8.8/',
        '/relative',
        '',
        'http://',
        'http://no-such-host.invalid/',
        'http://8.8.8.8/' + 'x'.repeat(2_001),
        42,
        null,
        ['http://8.8.8.8/'],
      ]
      for (const endpoint of hostile) {
        const { status, json } = await ask(world.server.port, 'PUT', '/_hooks/a', {
          as,
          body: { k: 'h', v: { endpoint } },
        })
        expect({ endpoint, status, v: json.v }).toEqual({ endpoint, status: 400, v: 'bad_request' })
      }
      expect((await ask(world.server.port, 'GET', '/_hooks/a', { as })).json.v).toEqual([])
      expect(world.logged()).not.toContain(basic(as))
    } finally {
      await world.close()
    }
  }, 60_000)
})

import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { CallerError, CallerVerifier, verifyCaller } from '../../../service'
import type { Client } from '../../client'
import type { Platform } from '../../platform'
import { makeAccount, register, startHost, startOpenPlatform, type TestHost } from './world'

/** Calls to a service that runs elsewhere: what it gets, what the caller gets back, who may call at all. */

let platform: Platform
let host: TestHost
let key: string
let elena: Client
let lily: Client

/** Answers with what it was asked, or as the path says. */
beforeAll(async () => {
  platform = await startOpenPlatform({ KV4_SERVICE_TIMEOUT_MS: '400' })
  host = await startHost((request, response) => {
    const chunks: Buffer[] = []
    if (request.url!.includes('/hang')) return
    if (request.url!.includes('/break')) {
      response.writeHead(200, { 'content-length': '100' })
      response.write('some of it')
      setTimeout(() => response.destroy(), 20)
      return
    }
    if (request.url!.includes('/early')) {
      response.writeHead(413, { 'content-type': 'application/json' })
      response.write('{"v":"body_too_large","s":"error"}')
      // Ended before all of the body has come, the connection is reset, which may overtake the answer.
      request.resume().on('end', () => response.end())
      return
    }
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      response.writeHead(request.url!.includes('/teapot') ? 418 : 200, {
        'content-type': 'application/json',
        'set-cookie': 'session=1',
        'content-security-policy': 'default-src *',
        'access-control-allow-origin': 'https://example.com',
        'strict-transport-security': 'max-age=1',
        connection: 'x-secret-hop',
        'x-secret-hop': '1',
        'x-own': 'kept',
        etag: '"7"',
      })
      response.end(
        JSON.stringify({ v: { url: request.url, headers: request.headers, size: body.length }, s: 'ok' }),
      )
    })
  })
  key = await register(platform, { host: 'one', prefix: '_echo', url: host.url })
  const secret = await makeAccount(platform.sys, 'elena')
  elena = platform.as('elena', secret)
  lily = platform.as('elena#lily', await makeAccount(elena, 'lily'))
})
afterAll(async () => {
  await platform.close()
  await host.close()
})

interface Echo {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly size: number
}

const last = (): IncomingMessage => host.seen.at(-1)!

describe('the service', () => {
  test.each(['GET', 'PUT', 'POST', 'DELETE'])('gets the call: %s', async (method) => {
    const { body } = await elena.call<Echo>(method, '/_echo/my/path?a=1&b=%20x', {
      ...(method !== 'GET' && { body: { k: 1 } }),
    })
    expect(body.v.url).toBe('/_echo/my/path?a=1&b=%20x')
    expect(body.v.size).toBe(method === 'GET' ? 0 : 7)
    expect(last().method).toBe(method)
  })

  test('is told who is calling, and can check it', async () => {
    await lily.get('/_echo//my/p%C3%A4th/?q=1')
    const request = last()
    expect(verifyCaller(request, key)).toEqual({
      account: 'elena',
      sub: 'lily',
      bucket: expect.stringContaining('lily'),
      login: 'lily',
      path: '/my/päth',
      address: '127.0.0.1',
      request: request.headers['x-request-id'],
    })
    const once = new CallerVerifier(() => key)
    expect(once.verify(request).login).toBe('lily')
    expect(() => once.verify(request)).toThrow('sent before')

    const { method, url, headers } = request
    const wrong: readonly (readonly [string, () => unknown])[] = [
      ['another key', () => verifyCaller(request, key + 'x')],
      ['another method', () => verifyCaller({ method: 'PUT', url, headers }, key)],
      ['another URL', () => verifyCaller({ method, url: '/_echo/other', headers }, key)],
      ['no header', () => verifyCaller({ method, url, headers: {} }, key)],
      ['too old', () => verifyCaller(request, key, { clock: () => Date.now() + 61_000 })],
      ['too early', () => verifyCaller(request, key, { clock: () => Date.now() - 61_000 })],
    ]
    for (const [what, verify] of wrong) {
      let error: unknown
      try {
        verify()
      } catch (thrown) {
        error = thrown
      }
      expect([what, error instanceof CallerError]).toEqual([what, true])
    }
  })

  test('does not get what proves who is calling, what a client claims of itself, or what belongs to the connection', async () => {
    await new Promise<void>((done, fail) => {
      const request = httpRequest(platform.url + '/_echo/x', {
        headers: {
          Authorization: 'Basic ' + Buffer.from(`${elena.user}:${elena.password}`).toString('base64'),
          Cookie: 'a=b',
          'X-Forwarded-For': '1.2.3.4',
          'X-Forwarded-Host': 'evil.example',
          Forwarded: 'for=1.2.3.4',
          'X-Real-IP': '1.2.3.4',
          'Kv4-Caller': 'v1.forged.forged',
          'Kv4-Token': 'forged',
          Connection: 'close, X-Hop',
          'X-Hop': '1',
          TE: 'trailers',
          'Proxy-Authorization': 'Basic eA==',
          'X-Own': 'kept',
          Accept: 'application/json',
        },
      })
      request.on('response', (response) => response.resume().on('end', () => done()))
      request.on('error', fail)
      request.end()
    })
    const { headers } = last()
    for (const name of [
      'authorization',
      'cookie',
      'x-forwarded-for',
      'x-forwarded-host',
      'forwarded',
      'x-real-ip',
      'kv4-token',
      'x-hop',
      'te',
      'proxy-authorization',
    ])
      expect([name, headers[name]]).toEqual([name, undefined])
    expect(headers['kv4-caller']).not.toContain('forged')
    expect(headers).toMatchObject({
      'x-own': 'kept',
      accept: 'application/json',
      host: `127.0.0.1:${host.port}`,
    })
    expect(JSON.stringify(headers)).not.toContain(elena.password)
  })
})

describe('the caller', () => {
  test('gets the answer, without what would be the platform’s to say', async () => {
    const { status, headers } = await elena.get('/_echo/teapot', { Origin: 'https://page.example' })
    expect(status).toBe(418)
    expect(headers.get('x-own')).toBe('kept')
    expect(headers.get('etag')).toBe('"7"')
    for (const name of ['set-cookie', 'strict-transport-security', 'x-secret-hop'])
      expect([name, headers.get(name)]).toEqual([name, null])
    expect(headers.get('access-control-allow-origin')).toBe('*')
    expect(headers.get('content-security-policy')).toBe("default-src 'none'; sandbox")
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('x-request-id')).toBe(last().headers['x-request-id'])
  })

  test('has to be one: strangers and bearers of tokens reach no service', async () => {
    const before = host.seen.length
    expect((await fetch(platform.url + '/_echo/x')).status).toBe(401)
    expect(await platform.as('elena', 'wrong').error(elena.call('GET', '/_nope'))).toBe('404 not_found')
    expect((await platform.as('elena', 'wrong').get('/_echo/x')).status).toBe(401)
    const bearer = (token: string) =>
      fetch(platform.url + '/_echo/x', { headers: { Authorization: `Bearer ${token}` } })
    const token = await platform.sys.ok(platform.sys.put<string>('/_host/runtime/hosts/token?prefix=_echo'))
    expect((await bearer(token)).status).toBe(403)
    expect((await bearer(token.slice(1))).status).toBe(401)
    expect(host.seen.length).toBe(before)
  })

  test('is told when the service takes too long, breaks off, or is not there', async () => {
    expect(await elena.error(elena.get('/_echo/hang'))).toBe('502 service_failed')
    expect(await elena.error(elena.post('/_echo/hang', {}))).toBe('502 service_failed')
    await expect(elena.get('/_echo/break')).rejects.toThrow()
    expect(await elena.error(elena.get('/_nobody/x'))).toBe('404 not_found')
    expect(await elena.error(elena.get('/_Echo/x'))).toBe('404 not_found')
  })

  test('has its calls counted like any other', async () => {
    await elena.get('/_echo/counted')
    // The recorder writes when the platform ends, at the latest; what was recorded until now is asked for here.
    await (platform.context.stats as unknown as { flush(): Promise<void> }).flush()
    const stats = await elena.ok(elena.get<{ count: number }>('/_stats/echo/GET?l=api:3&k=elena'))
    expect(stats.count).toBeGreaterThan(0)
  })
})

describe('a body', () => {
  test('streams both ways: the answer begins before the request ends', async () => {
    const other = await startHost((request, response) => {
      response.writeHead(200)
      request.pipe(response)
    })
    await register(platform, { host: 'one', prefix: '_pipe', url: other.url })
    const pieces: string[] = []
    await new Promise<void>((done, fail) => {
      const request = httpRequest(platform.url + '/_pipe', {
        method: 'POST',
        headers: {
          Authorization: 'Basic ' + Buffer.from(`${elena.user}:${elena.password}`).toString('base64'),
        },
      })
      request.on('error', fail)
      request.on('response', (response) => {
        response.on('data', (chunk: Buffer) => {
          pieces.push(chunk.toString())
          if (pieces.length < 5) request.write(`piece ${pieces.length}`)
          else request.end()
        })
        response.on('end', done)
      })
      request.write('piece 0')
    })
    expect(pieces).toEqual(['piece 0', 'piece 1', 'piece 2', 'piece 3', 'piece 4'])
    await other.close()
  })

  test('of 5 MB arrives whole, and a service may answer before it has read it', async () => {
    const big = Buffer.alloc(5_000_000, 'x').toString()
    const { body } = await elena.call<Echo>('PUT', '/_echo/big', { body: big })
    expect(body.v.size).toBe(5_000_000)
    expect(await elena.error(elena.call('PUT', '/_echo/early', { body: big.slice(0, 200_000) }))).toBe(
      '413 body_too_large',
    )
    expect((await elena.get('/_echo/after')).status).toBe(200)
  })
})

describe('the path', () => {
  const raw = (target: string): Promise<string> =>
    new Promise((done, fail) => {
      const socket = connect(Number(new URL(platform.url).port), '127.0.0.1', () =>
        socket.write(
          `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic ${Buffer.from(`${elena.user}:${elena.password}`).toString('base64')}\r\n\r\n`,
        ),
      )
      let text = ''
      socket.on('data', (chunk) => (text += chunk.toString()))
      socket.on('close', () => done(text))
      socket.on('error', fail)
    })

  test.each([
    '/_echo/../_other/x',
    '/_echo/%2e%2e/x',
    '/_echo/%2E./x',
    '/_echo/.%2e/.%2e/x',
    '/_echo/a%2f..%2f..%2fx',
    '/_echo/a/./b',
    'http://evil.example/_echo/x',
    '/_echo/x%00y',
  ])('%s does not leave the prefix: it is refused', async (target) => {
    const before = host.seen.length
    expect(await raw(target)).toMatch(/^HTTP\/1.1 (400|404) /)
    expect(host.seen.length).toBe(before)
  })

  test.each([
    ['/_echo/%252e%252e/x', '/_echo/%252e%252e/x'],
    ['/_echo/..%5c..%5cx', '/_echo/..%5C..%5Cx'],
    ['/_echo/..\\x', '/_echo/..%5Cx'],
    ['/_echo/a;b/c%3Fd%23e', '/_echo/a%3Bb/c%3Fd%23e'],
    ['//_echo//x', '/_echo/x'],
    ['/_echo/@evil.example:80/x', '/_echo/%40evil.example%3A80/x'],
  ])('%s arrives as %s', async (target, arrived) => {
    expect(await raw(target)).toMatch(/^HTTP\/1.1 200 /)
    expect(last().url).toBe(arrived)
  })
})

test('under always200 an error of a service is 200 too, as old clients expect', async () => {
  const other = await startOpenPlatform({ KV4_STATUS: 'always200' })
  await register(other, { host: 'one', prefix: '_echo', url: host.url })
  expect((await other.sys.get('/_echo/teapot')).status).toBe(200)
  expect(await other.sys.error(other.sys.get('/_nobody'))).toBe('200 not_found')
  await other.close()
})

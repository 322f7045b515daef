import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type RequestListener, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CATALOGUE } from '../../core'
import { type Platform, startPlatform } from '../platform'
import { Kv4 } from './kv4'

let platform: Platform
let kv4: Kv4
let env: Record<string, string>
let elena: string

beforeAll(async () => {
  platform = await startPlatform()
  kv4 = await Kv4.make()
  const { body } = await platform.sys.put<{ secret: string }>('/_acc/accounts', {
    k: 'elena',
    v: { email: 'elena@example.com' },
  })
  elena = `elena:${body.v.secret}`
  env = { KV4_URL: platform.url, KV4_USER: elena }
})
afterAll(async () => {
  await kv4?.remove()
  await platform?.close()
})

async function ok(...args: string[]): Promise<unknown> {
  const { code, stdout, stderr } = await kv4.run(args, env)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout)
}

/** A server that is not KV4. */
async function withServer(answer: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

describe('kv4 get, put, post, delete', () => {
  test('walk through a namespace, an entry and its history', async () => {
    expect(await ok('put', '/_ns/a/b')).toMatchObject({ s: 'ok' })
    expect(await ok('get', '/_ns')).toEqual({ v: ['a/b'], s: 'ok' })
    expect(await ok('put', '/_data/a/b', '-d', '{"k":"colour","v":{"name":"blue"}}')).toMatchObject({
      v: { name: 'blue' },
      s: 'ok',
    })
    expect(await ok('post', '/_data/a/b', '-d', '{"k":"colour","v":{"name":"red"}}')).toMatchObject({
      v: { name: 'red' },
    })
    expect(await ok('get', '/_data/a/b?k=colour')).toMatchObject({ v: { name: 'red' } })
    expect(await ok('get', '/_ds?a=paths&l=*data')).toEqual({ v: ['/a/b'], s: 'ok' })
    expect(await ok('delete', '/_data/a/b', '-q', 'k=colour')).toEqual({ v: 1, s: 'ok' })
    const { v } = (await ok('get', '/_data/a/b', '-q', 'k=colour', '-q', 'time_series=1')) as { v: unknown[] }
    expect(v.length).toBeGreaterThanOrEqual(2)
  })

  test('take the body from a file and from standard input', async () => {
    writeFileSync(kv4.file('entry.json'), '{"k":"file","v":1}')
    expect(await ok('put', '_data/bodies', '-d', '@' + kv4.file('entry.json'))).toEqual({ v: 1, s: 'ok' })
    const { code } = await kv4.run(['put', '/_data/bodies', '-d', '-'], env, '{"k":"stdin","v":2}')
    expect(code).toBe(0)
    expect(await ok('get', '/_data/bodies')).toEqual({ v: ['file', 'stdin'], s: 'ok' })
  })

  test('print the reply on one line, or with --raw the value alone', async () => {
    await ok('put', '/_data/raw', '-d', '{"k":"text","v":"two words"}')
    const whole = await kv4.run(['get', '/_data/raw?k=text'], env)
    expect(whole.stdout).toBe('{"v":"two words","s":"ok"}\n')
    const raw = await kv4.run(['get', '/_data/raw?k=text', '--raw'], env)
    expect(raw.stdout).toBe('two words\n')
    const list = await kv4.run(['get', '/_data/raw', '--raw'], env)
    expect(list.stdout).toBe('["text"]\n')
  })

  test.each(['a b', 'a#b', 'a&b=c', 'a?b', 'a%2Fb', 'ä€💥', 'a+b', '\\', '"', "'"])(
    'carry the key %j in -q as it is',
    async (key) => {
      const [user, secret] = elena.split(':')
      await platform.as(user!, secret!).put('/_data/keys', { k: key, v: key })
      expect(await ok('get', '/_data/keys', '-q', `k=${key}`)).toEqual({ v: key, s: 'ok' })
    },
  )

  test('carry a path with blanks, # and other alphabets, typed or encoded', async () => {
    await ok('put', '/_data/my path/#1/ä', '-d', '{"k":"k","v":1}')
    expect(await ok('get', '/_data/my%20path/%231/%C3%A4')).toEqual({ v: ['k'], s: 'ok' })
    expect(await ok('get', '/_ds?a=keys&l=*data'.replace('?', '/my path/#1/ä?'))).toEqual({
      v: ['k'],
      s: 'ok',
    })
  })

  test.each(['/_data/../_acc', '/_data/./x', '/_data/%2e%2e/_acc', '/_data/.%2E'])(
    'refuse %s, which a URL would silently resolve',
    async (path) => {
      const { code, stderr } = await kv4.run(['get', path], env)
      expect(code).toBe(2)
      expect(stderr).toContain('`..`')
    },
  )
})

describe('an error answer', () => {
  test('ends with 1, the reply on standard output, code and remedy on standard error', async () => {
    const { code, stdout, stderr } = await kv4.run(['get', '/_data/none?k=none'], env)
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ v: 'not_found', s: 'error' })
    expect(stderr).toContain('kv4: not_found: ' + CATALOGUE.not_found.text)
    expect(stderr).toContain(CATALOGUE.not_found.remedy)
  })

  test('says which rule was broken', async () => {
    const { code, stderr } = await kv4.run(['get', '/_data/x', '-q', 'limit=none'], env)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^kv4: bad_request: .*\(.*limit.*\)/)
  })

  test('prints no value with --raw', async () => {
    const { code, stdout, stderr } = await kv4.run(['get', '/_data/none?k=none', '--raw'], env)
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain('not_found')
  })

  test('without a credential is unauthorized', async () => {
    const { code, stderr } = await kv4.run(['get', '/_ds'], { KV4_URL: platform.url })
    expect(code).toBe(1)
    expect(stderr).toContain('kv4: unauthorized')
  })
})

describe('wrong usage ends with 2 in one clear line', () => {
  test.each([
    [['get'], 'missing required argument'],
    [['gte', '/_ds'], 'Did you mean get'],
    [['get', '/_ds', '--nothing'], "unknown option '--nothing'"],
    [['put', '/_data/x', '-d', '{"k":'], 'the body is not JSON'],
    [['put', '/_data/x', '-d', '@/no/such/file'], '/no/such/file cannot be read: ENOENT'],
    [['get', '/_ds', '-q', 'novalue'], 'is not name=value'],
    [['get', '/_ds', '--url', 'nothing'], 'is not a URL'],
    [['get', '/_ds', '--url', 'ftp://host'], 'is not an http or https URL'],
    [['get', '/_ds', '--profile', 'nobody'], 'there is no profile "nobody"'],
    [['get', '/_ds', '--user', 'elena'], 'the secret is missing'],
    [['get', '/_ds', '--user', ':x'], 'the user is missing'],
    [['get', '/_ds', '--user', 'a:b', '--user-file', 'x'], 'not both'],
    [['get', '/_ds', '--user-file', '/no/such/file'], 'cannot be read: ENOENT'],
    [['get', '/_ds', '--timeout', '-1'], 'a number of seconds'],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await kv4.run(args, { KV4_URL: platform.url })
    expect(stderr).toContain(message)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^kv4: /)
    expect(stderr).not.toMatch(/\n\s+at /)
  })

  test('a URL with a credential in it is refused without showing it', async () => {
    const { code, stderr } = await kv4.run(['get', '/_ds', '--url', 'http://elena:canary@127.0.0.1:1'])
    expect(code).toBe(2)
    expect(stderr).toContain('holds a credential')
    expect(stderr).not.toContain('canary')
  })

  test('a body that is no JSON is not shown', async () => {
    const { stderr } = await kv4.run(['put', '/_data/x', '-d', 'canary'], env)
    expect(stderr).toContain('not JSON')
    expect(stderr).not.toContain('canary')
  })
})

describe('no answer ends with 3', () => {
  test('when nothing listens', async () => {
    const { code, stderr } = await kv4.run(['get', '/_ds', '--url', 'http://127.0.0.1:1'])
    expect(code).toBe(3)
    expect(stderr).toContain('cannot connect to http://127.0.0.1:1')
  })

  test('when it takes too long', async () => {
    await withServer(
      () => undefined,
      async (url) => {
        const { code, stderr } = await kv4.run(['get', '/_ds', '--url', url, '--timeout', '0.3'])
        expect(code).toBe(3)
        expect(stderr).toContain('did not answer within 0.3 s')
      },
    )
  })

  test.each(['<html>', '{"error":"not_found"}', '[]', ''])(
    'when it is not KV4 that answers %j',
    async (text) => {
      await withServer(
        (_, response) => response.end(text),
        async (url) => {
          const { code, stderr } = await kv4.run(['get', '/_ds', '--url', url])
          expect(code).toBe(3)
          expect(stderr).toContain('not as KV4 does')
        },
      )
    },
  )

  test('when it sends us elsewhere, and no credential goes there', async () => {
    let elsewhere = 0
    await withServer(
      (_, response) => {
        elsewhere++
        response.end('{"v":1,"s":"ok"}')
      },
      (there) =>
        withServer(
          (_, response) => response.writeHead(307, { location: there }).end(),
          async (url) => {
            const { code } = await kv4.run(['get', '/_ds', '--url', url, '--user', 'elena:secret'])
            expect(code).toBe(3)
          },
        ),
    )
    expect(elsewhere).toBe(0)
  })
})

describe('who is asking', () => {
  test.each([
    ['--user', () => ['--user', elena]],
    [
      '--user-file',
      () => {
        writeFileSync(kv4.file('elena.txt'), elena + '\n')
        return ['--user-file', kv4.file('elena.txt')]
      },
    ],
  ])('is said by %s, which wins over KV4_USER', async (_, args) => {
    const { code } = await kv4.run(['get', '/_ds', ...args()], { ...env, KV4_USER: 'nobody:wrong' })
    expect(code).toBe(0)
  })

  test('may be the account above, for its sub-account', async () => {
    await ok('put', '/_acc/accounts', '-d', '{"k":"lily","v":{"email":"lily@example.com"}}')
    const proxy = elena.replace('elena:', 'elena#lily:!')
    const { code } = await kv4.run(['put', '/_ns/of/lily', '--user', proxy], env)
    expect(code).toBe(0)
    const { stdout } = await kv4.run(['get', '/_ns', '--user', proxy], env)
    expect(JSON.parse(stdout)).toEqual({ v: ['of/lily'], s: 'ok' })
  })
})

test('a reader who has had enough ends it without a word', async () => {
  const running = kv4.start(['config'])
  running.child.stdout!.destroy()
  expect(await running.ended).toMatchObject({ code: 141, stderr: '' })
})

test('--help teaches, and ends with 0', async () => {
  const { code, stdout } = await kv4.run(['--help'])
  expect(code).toBe(0)
  for (const word of ['serve', 'config', 'get', 'put', 'post', 'delete', 'profile', 'migrate', 'Exit codes'])
    expect(stdout).toContain(word)
  for (const command of ['get', 'put', 'post', 'delete', 'serve', 'migrate', 'profile']) {
    const { code: own, stdout: help } = await kv4.run([command, '--help'])
    expect(own).toBe(0)
    expect(help).toContain('Examples:')
  }
})

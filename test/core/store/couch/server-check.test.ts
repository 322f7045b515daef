import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { openCouchStore } from '../../../../core/store/couch/open-couch-store'
import { CouchSetupError } from '../../../../core/store/couch/server-check'
import { CouchServer } from '../../../couchdb/server'

const PASSWORD = 'p4x:q7@zz9/w0rd'

async function refusal(url: string): Promise<Error> {
  const error: unknown = await openCouchStore({ url, node: 'a' }).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(CouchSetupError)
  for (const part of PASSWORD.split(/[@/]/)) expect((error as Error).message).not.toContain(part)
  expect((error as Error).message).not.toContain(encodeURIComponent(PASSWORD))
  expect((error as Error).stack).not.toMatch(/\n\s+at /)
  return error as Error
}

describe('opening CouchDB', () => {
  let server: CouchServer
  afterEach(() => server?.close())

  async function url(options: Parameters<typeof CouchServer.start>[0] = {}): Promise<URL> {
    server = await CouchServer.start(options)
    return new URL(server.url)
  }

  test('works with a password of any characters', async () => {
    const at = await url({ login: `admin:${PASSWORD}` })
    const store = await openCouchStore({ url: at.href, node: 'a' })
    await store.ping()
    await store.close()
  })

  test.each([
    '',
    'localhost:5984',
    'ftp://a@b',
    'http://a:%zz@127.0.0.1:1',
    'http://127.0.0.1:1/?x=1',
    `http://admin:${PASSWORD}@127.0.0.1:1`,
  ])('a bad URL: %s', async (bad) => {
    expect((await refusal(bad)).message).toMatch(/URL of CouchDB/)
  })

  test.each([
    'http://admin:a/b@127.0.0.1:1',
    'http://admin:1/b@127.0.0.1:1',
    'http://a:b?@h',
    'http://a:1#c@h:1',
  ])('a password that is not escaped: %s', async (bad) => {
    expect((await refusal(bad)).message).toMatch(/must be %-escaped .*`\/` is %2F/)
  })

  test('no credentials where there have to be some', async () => {
    const at = await url({ login: 'admin:right' })
    at.username = at.password = ''
    expect((await refusal(at.href)).message).toMatch(
      /^CouchDB at http:\/\/127.0.0.1:\d+ wants a user and password, and its URL has none/,
    )
  })

  test('a path that leads nowhere, or to a database', async () => {
    const at = await url({ login: 'admin:right' })
    await fetch(`${at.origin}/data`, {
      method: 'PUT',
      headers: { authorization: 'Basic ' + Buffer.from('admin:right').toString('base64') },
    })
    for (const path of ['/couchdb', '/a/b', '/data'])
      expect((await refusal(at.href.replace(/\/$/, '') + path)).message).toMatch(
        new RegExp(`^There is no CouchDB at http.*${path}: leave ${path} out, unless a proxy`),
      )
  })

  test('nobody there', async () => {
    const at = await url()
    await server.close()
    at.username = 'admin'
    at.password = encodeURIComponent(PASSWORD)
    expect((await refusal(at.href)).message).toMatch(/127\.0\.0\.1:\d+ does not answer: connect ECONNREFUSED/)
    server = await CouchServer.start()
  })

  test('bad credentials', async () => {
    const at = await url({ login: 'admin:right' })
    at.username = 'admin'
    at.password = encodeURIComponent(PASSWORD)
    expect((await refusal(at.href)).message).toMatch(/refuses the user and password/)
  })

  test('too old', async () => {
    expect((await refusal((await url({ version: '2.3.1' })).href)).message).toMatch(
      /version 2\.3\.1; 3\.0\.0 or later is needed/,
    )
  })

  test.each([
    ['3.5.2', 1],
    ['3.5.3', 0],
    ['3.10.0', 0],
  ])('version %s warns %i times of known faults', async (version, times) => {
    const warnings: string[] = []
    const log = {
      info: () => undefined,
      warn: (_fields: object, message: string) => void warnings.push(message),
    }
    const store = await openCouchStore({ url: (await url({ version })).href, node: 'a', log })
    await store.close()
    expect(warnings.filter((message) => message.includes('CVE'))).toHaveLength(times)
  })

  test('something that is not CouchDB', async () => {
    const other = http.createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"hello": "world"}')
    })
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as AddressInfo
    expect((await refusal(`http://127.0.0.1:${port}`)).message).toMatch(/is not CouchDB/)
    const closed = new Promise((resolve) => other.close(resolve))
    other.closeAllConnections()
    await closed
    server = await CouchServer.start()
  })
})

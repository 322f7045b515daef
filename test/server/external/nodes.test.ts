import { verifyCaller } from '../../../service'
import { CouchServer } from '../../couchdb/server'
import { until } from '../../eventually'
import type { Platform } from '../../platform'
import { register, startHost, startOpenPlatform, type TestHost } from './world'

/** Two nodes on one CouchDB: a host registers with one, and both send it calls. */

let couch: CouchServer
let a: Platform
let b: Platform
let host: TestHost

beforeAll(async () => {
  couch = await CouchServer.start({ login: 'admin:admin' })
  const settings = { KV4_COUCHDB_URL: couch.url, KV4_HOST_BEAT_MS: '1000' }
  a = await startOpenPlatform({ ...settings, KV4_NODE: 'node-a' })
  b = await startOpenPlatform({ ...settings, KV4_NODE: 'node-b' })
  host = await startHost()
}, 60_000)
afterAll(async () => {
  await Promise.all([a?.close(), b?.close()])
  await couch?.close()
  await host?.close()
}, 60_000)

test('a host that one node was told of is called by the other, signed with the same key', async () => {
  const key = await register(a, {
    host: 'one',
    prefix: '_video',
    url: host.url,
    layers: ['*video'],
    lapse: 60,
  })
  await a.sys.ok(a.sys.get('/_video/via-a'))
  await until(async () => (await b.sys.get('/_video/via-b')).status === 200)
  const request = host.seen.at(-1)!
  expect(verifyCaller(request, key)).toMatchObject({ account: '$sys', path: '/via-b' })

  // The token that b handed along is good on a.
  const answer = await fetch(`${a.url}/_data/x?l=*video`, {
    method: 'PUT',
    headers: {
      Authorization: `Bearer ${String(request.headers['kv4-token'])}`,
      'Content-Type': 'application/json',
    },
    body: '{"k":"a","v":1}',
  })
  expect(answer.status).toBe(201)
  await b.sys.ok(b.sys.delete('/_host/runtime/hosts/active?k=one&prefix=_video'))
  await until(async () => (await a.sys.get('/_video/x')).status === 404)
})

test('each node knows of the other, until it ends', async () => {
  const names = async () => a.sys.ok(a.sys.get<string[]>('/_host/runtime/hosts/active'))
  await until(async () => (await names()).join() === 'node-a:signal,node-b:signal')
  await b.close()
  await until(async () => (await names()).join() === 'node-a:signal')
})

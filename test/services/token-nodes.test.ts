import { CouchServer } from '../couchdb/server'
import { eventually } from '../eventually'
import { startPlatform, type Platform } from '../platform'
import type { Client } from '../client'

/** Two nodes on one CouchDB: a token of one is good on the other, until either ends it (promise 16). */

let couch: CouchServer
let a: Platform
let b: Platform
let elena: Client

beforeAll(async () => {
  couch = await CouchServer.start({ login: 'admin:admin' })
  const settings = { KV4_COUCHDB_URL: couch.url }
  a = await startPlatform({ settings: { ...settings, KV4_NODE: 'node-a' } })
  b = await startPlatform({ settings: { ...settings, KV4_NODE: 'node-b' } })
  const { secret } = await a.sys.ok(
    a.sys.put<{ secret: string }>('/_acc/accounts', { k: 'elena', v: { email: 'elena@async.cl' } }),
  )
  elena = a.as('elena', secret)
}, 60_000)
afterAll(async () => {
  await Promise.all([a?.close(), b?.close()])
  await couch?.close()
}, 60_000)

const issue = (client = elena, target = '/_token?k=rt&expire=0') => client.ok(client.put<string>(target))
const on = ({ context }: Platform, text: string): Promise<string> =>
  context.tokens.verify('signal', text).then(
    () => 'good',
    ({ code }: { code: string }) => code,
  )

test('a token is good on the other node at once, whichever made the key', async () => {
  expect(await on(b, await issue())).toBe('good')
  const viaB = b.as('elena', elena.password)
  const older = await issue(viaB)
  expect(await on(a, older)).toBe('good')
  await b.sys.ok(b.sys.post('/_token'))
  expect(await on(a, await issue(viaB))).toBe('good')
  expect(await on(a, older)).toBe('good')
})

test('a kick, the end of all, a retired key and a deactivation reach the other node', async () => {
  const kicked = await issue()
  await eventually(async () => expect(await on(b, kicked)).toBe('good'))
  await elena.ok(elena.delete('/_token?k=rt'))
  expect(await on(a, kicked)).toBe('unauthorized')
  await eventually(async () => expect(await on(b, kicked)).toBe('unauthorized'))

  const ended = await issue(elena, '/_token?k=other')
  await eventually(async () => expect(await on(b, ended)).toBe('good'))
  await elena.ok(elena.delete('/_token'))
  await eventually(async () => expect(await on(b, ended)).toBe('unauthorized'))

  const retired = await issue(elena, '/_token?k=third')
  await eventually(async () => expect(await on(b, retired)).toBe('good'))
  await a.sys.ok(a.sys.post('/_token?retire=1'))
  await eventually(async () => expect(await on(b, retired)).toBe('unauthorized'))

  const inactive = await issue(elena, '/_token?k=fourth')
  await eventually(async () => expect(await on(b, inactive)).toBe('good'))
  await a.sys.ok(a.sys.post('/_acc/accounts', { k: 'elena', v: { active: false } }))
  await eventually(async () => expect(await on(b, inactive)).toBe('unauthorized'))
})

import type { Client } from '../client'
import { CouchServer } from '../couchdb/server'
import { startPlatform, type Platform } from '../platform'

/** Two nodes of one platform on one CouchDB: what one of them revokes, the other refuses. */

let couch: CouchServer
let a: Platform
let b: Platform
beforeAll(async () => {
  couch = await CouchServer.start({ login: 'admin:admin' })
  const settings = { KV4_COUCHDB_URL: couch.url }
  a = await startPlatform({ settings: { ...settings, KV4_NODE: 'node-a' } })
  b = await startPlatform({ settings: { ...settings, KV4_NODE: 'node-b' } })
}, 60_000)
afterAll(async () => {
  await Promise.all([a?.close(), b?.close()])
  await couch?.close()
}, 60_000)

interface Made {
  readonly secret: string
  readonly _ver_: string
}

/** Milliseconds until the node answers so; a revocation has to be everywhere within 10 s. */
async function until(client: Client, wanted: 'ok' | 'unauthorized'): Promise<number> {
  const from = performance.now()
  for (;;) {
    const { body } = await client.get<unknown>('/_ns')
    if ((body.s === 'ok' ? 'ok' : body.v) === wanted) return performance.now() - from
    if (performance.now() - from > 10_000) throw new Error(`still ${JSON.stringify(body)} after 10 s`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

it('makes an account for both nodes, and takes a secret, a sub-account and the account away from both', async () => {
  const make = (v: object = {}) => ({ k: 'elena', v: { email: 'elena@async.cl', ...v } })
  const { secret } = await a.sys.ok(a.sys.put<Made>('/_acc/accounts', make()))
  const elena = b.as('elena', secret)
  await until(elena, 'ok')
  const sub = await elena.ok(elena.put<Made>('/_acc/accounts', { k: 'lily', v: { email: 'lily@async.cl' } }))
  const lily = { a: a.as('elena#lily', sub.secret), b: b.as('elena#lily', sub.secret) }
  await until(lily.a, 'ok')
  await until(lily.b, 'ok')

  const took: number[] = []
  await elena.ok(elena.post('/_acc/accounts', { k: 'lily', v: { active: false } }))
  expect((await lily.b.get<string>('/_ns')).body.v).toBe('unauthorized')
  took.push(await until(lily.a, 'unauthorized'))
  await elena.ok(elena.post('/_acc/accounts', { k: 'lily', v: { active: true } }))
  took.push(await until(lily.a, 'ok'))

  const rotated = await a.sys.ok(
    a.sys.post<Made>('/_acc/accounts', { k: 'elena', v: { secret: 'rotate', secret_overlap: 0 } }),
  )
  took.push(await until(elena, 'unauthorized'))
  await until(b.as('elena', rotated.secret), 'ok')
  await until(lily.b, 'ok')

  await a.sys.ok(a.sys.delete('/_acc/accounts?k=elena'))
  took.push(await until(b.as('elena', rotated.secret), 'unauthorized'), await until(lily.b, 'unauthorized'))
  const again = await b.sys.ok(b.sys.put<Made>('/_acc/accounts', make()))
  await until(a.as('elena', again.secret), 'ok')
  for (const node of [a, b]) {
    await until(node.as('elena', secret), 'unauthorized')
    await until(node.as('elena#lily', sub.secret), 'unauthorized')
  }
  expect(Math.max(...took)).toBeLessThan(5_000)
}, 60_000)

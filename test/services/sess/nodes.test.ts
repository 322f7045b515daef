import { setTimeout as sleep } from 'node:timers/promises'
import { CouchServer } from '../../couchdb/server'
import type { Client } from '../../client'
import { until } from '../../eventually'
import { startPlatform, type Platform } from '../../platform'

/** Two nodes of the platform over one CouchDB. */

let couch: CouchServer
let nodes: Platform[]
beforeAll(async () => {
  couch = await CouchServer.start()
  nodes = []
  for (const KV4_NODE of ['one', 'two'])
    nodes.push(await startPlatform({ settings: { KV4_COUCHDB_URL: couch.url, KV4_NODE } }))
})
afterAll(async () => {
  for (const node of nodes) await node.close()
  await couch.close()
})

const clients = (): [Client, Client] => [nodes[0]!.sys, nodes[1]!.sys]

test('a schema that one node takes holds on the other, with what it refers to', async () => {
  const [one, two] = clients()
  const put = async (n: unknown) => (await two.put('/_sess/x', { k: 'team.cart.v1', v: { n } })).status < 300
  const declare = (k: string, v: unknown) => one.ok(one.put('/_sess/_schemas', { k, v }))
  expect(await put('text')).toBe(true)
  await declare('team.n.v1', { type: 'integer' })
  await declare('team.cart.v1', { type: 'object', properties: { n: { type: 'team.n.v1' } } })
  await until(async () => !(await put('text')))
  expect(await put(1)).toBe(true)
  await declare('team.n.v1', { type: 'string' })
  await until(() => put('text'))
  expect(await put(1)).toBe(false)
})

test('a session that lives by reads on one node lives on the other, and lapses on both', async () => {
  const [one, two] = clients()
  await one.ok(one.put('/_sess/_settings', { v: { ttl: 2, extended_by: 'reads' } }))
  await one.ok(one.put('/_sess/reader', { k: 'a', v: { n: 1 } }))
  for (let i = 0; i < 5; i++) {
    await sleep(600)
    expect((await one.get('/_sess/reader?k=a')).status).toBe(200)
  }
  expect(await two.ok(two.get('/_sess/reader?k=a'))).toMatchObject({ n: 1 })
  await sleep(2_300)
  for (const node of [one, two]) expect(await node.error(node.get('/_sess/reader?k=a'))).toBe('404 not_found')
})

test('of two nodes that write into a session that has lapsed neither loses anything', async () => {
  const both = clients()
  for (let round = 0; round < 5; round++) {
    const at = `/_sess/lapsed/${round}`
    for (let i = 0; i < 5; i++) await both[0].ok(both[0].put(at, { k: `old${i}`, v: {}, ttl: 0.3 }))
    await sleep(350)
    const names = Array.from({ length: 10 }, (_, i) => `new${i}`)
    await Promise.all(names.map((k, i) => both[i % 2]!.ok(both[i % 2]!.put(at, { k, v: {}, ttl: 60 }))))
    for (const node of both)
      expect(await node.ok(node.get<string[]>(`${at}?as=names&consistent=1`))).toEqual(names)
  }
})

test('patches of many through both nodes all count', async () => {
  const both = clients()
  const names = Array.from({ length: 20 }, (_, i) => `p${i}`)
  await Promise.all(
    names.map((name, i) => {
      const node = both[i % 2]!
      return node.ok(node.call('PATCH', '/_sess/patched', { body: { k: 'a', v: { [name]: 1 } } }))
    }),
  )
  const { _ver_, ...document } = await both[0].ok(both[0].get('/_sess/patched?k=a&consistent=1'))
  expect(_ver_).toBeDefined()
  expect(document).toEqual(Object.fromEntries(names.map((name) => [name, 1])))
})

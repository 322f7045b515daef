import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '../../client'
import { CouchServer } from '../../couchdb/server'
import { eventually } from '../../eventually'
import { startServe, type ServerProcess } from '../../server/process'
import { makeAccount } from '../../server/external/world'
import { Receiver, answer, ok } from './receiver'

/** What is to be delivered outlives the node that delivers it. Needs what `npm run build` makes. */

const SECRET = 'a-secret-for-the-tests'
// Long enough for a machine that is busy with something else: a node that is slow is not dead.
const LEASE_MS = 8_000
const PATIENCE_MS = 45_000

let directory: string
let receiver: Receiver
const processes: ServerProcess[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kv4-hooks-'))
  receiver = await Receiver.start()
})
afterEach(async () => {
  for (const { child, exit } of processes.splice(0)) {
    child.kill('SIGKILL')
    await exit
  }
  await receiver.close()
  await rm(directory, { recursive: true, force: true })
}, 60_000)

async function start(node: string, settings: Readonly<Record<string, string>> = {}) {
  const server = startServe({
    KV4_DATA_DIR: join(directory, node),
    KV4_NODE: node,
    KV4_SYS_SECRET: SECRET,
    KV4_PEPPER: 'a pepper for the tests, long enough',
    KV4_HOOKS_ALLOW: '127.0.0.1',
    KV4_HOOKS_LEASE_MS: String(LEASE_MS),
    // More than anything here takes.
    KV4_HOOKS_RETRIES_MS: Array.from({ length: 32 }, (_, i) => (i < 8 ? 200 : 2_000)).join(','),
    ...settings,
  })
  processes.push(server)
  return { server, sys: new Client(`http://127.0.0.1:${await server.port}`, '$sys', SECRET) }
}

async function stop({ child, exit }: ServerProcess, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal)
  await exit
}

const values = (k: string): unknown[] => receiver.changes.filter((change) => change.k === k).map(({ v }) => v)

test('a node that ends and comes back goes on where it was: nothing is lost, nothing is sent twice', async () => {
  const one = await start('a')
  const secret = await makeAccount(one.sys, 'elena')
  const elena = one.sys.as('elena', secret)
  await elena.ok(elena.put('/_hooks/a', { k: 'h', v: { endpoint: receiver.url } }))
  for (let i = 0; i < 10; i++) await elena.ok(elena.put('/_data/a', { k: 'k', v: i }))
  await eventually(() => expect(receiver.received).toHaveLength(10), PATIENCE_MS)
  await stop(one.server, 'SIGTERM')

  // A backlog: what the endpoint refuses, and what is behind it.
  receiver.answering = answer(503)
  const two = await start('a')
  const again = two.sys.as('elena', secret)
  for (let i = 10; i < 20; i++) await again.ok(again.put('/_data/a', { k: 'k', v: i }))
  await again.ok(again.put('/_data/a', { k: 'x', v: 'x' }))
  await eventually(() => expect(receiver.received.length).toBeGreaterThan(12), PATIENCE_MS)
  await stop(two.server, 'SIGTERM')
  const refused = receiver.received.length
  receiver.answering = ok

  const three = await start('a')
  await eventually(() => expect(receiver.received).toHaveLength(refused + 11), PATIENCE_MS)
  const last = receiver.changes.slice(refused)
  expect(last.filter(({ k }) => k === 'k').map(({ v }) => v)).toEqual([
    10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
  ])
  const client = three.sys.as('elena', secret)
  await eventually(async () =>
    expect((await client.ok(client.get('/_hooks/a?k=h'))).status).toMatchObject({
      delivered: 21,
      backlog: 0,
      dead: 0,
    }),
  )
  expect(receiver.received).toHaveLength(refused + 11)
}, 180_000)

test('of two nodes one delivers, and the other goes on when it is killed', async () => {
  const couch = await CouchServer.start()
  try {
    const shared = { KV4_COUCHDB_URL: couch.url }
    const a = await start('a', shared)
    const secret = await makeAccount(a.sys, 'elena')
    const onA = a.sys.as('elena', secret)
    await onA.ok(onA.put('/_hooks/a', { k: 'h', v: { endpoint: receiver.url } }))
    await onA.ok(onA.put('/_data/a', { k: 'first', v: 0 }))
    await eventually(() => expect(receiver.received).toHaveLength(1), PATIENCE_MS)
    const b = await start('b', shared)
    const onB = b.sys.as('elena', secret)
    // Written on either, delivered once.
    for (let i = 0; i < 10; i++) {
      await onA.ok(onA.put('/_data/a', { k: 'a', v: i }))
      await onB.ok(onB.put('/_data/a', { k: 'b', v: i }))
    }
    await eventually(() => expect(receiver.received).toHaveLength(21), PATIENCE_MS)
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(receiver.received).toHaveLength(21)

    receiver.answering = answer(500)
    for (let i = 10; i < 20; i++) await onB.ok(onB.put('/_data/a', { k: 'b', v: i }))
    await eventually(() => expect(values('b').filter((v) => v === 10).length).toBeGreaterThan(1), PATIENCE_MS)
    await stop(a.server, 'SIGKILL')
    const before = receiver.received.length
    receiver.answering = ok
    for (let i = 20; i < 30; i++) await onB.ok(onB.put('/_data/a', { k: 'b', v: i }))
    await eventually(() => {
      const last = receiver.changes.slice(before).filter(({ k }) => k === 'b')
      // Twice is allowed when a node dies, out of order or not at all is not.
      const fresh = [...new Set(last.map(({ v }) => v as number))].filter((v) => v >= 10)
      expect(fresh).toEqual(Array.from({ length: 20 }, (_, i) => 10 + i))
    }, PATIENCE_MS)
    // The one that is killed comes back, and takes nothing away from the one that delivers.
    const c = await start('a', shared)
    const count = receiver.received.length
    await c.sys.as('elena', secret).ok(c.sys.as('elena', secret).put('/_data/a', { k: 'last', v: 1 }))
    await eventually(() => expect(values('last')).toEqual([1]), PATIENCE_MS)
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(receiver.received).toHaveLength(count + 1)
    // An orderly end hands over without waiting for the lease.
    await stop(b.server, 'SIGTERM')
    const onC = c.sys.as('elena', secret)
    await onC.ok(onC.put('/_data/a', { k: 'last', v: 2 }))
    await eventually(() => expect(values('last')).toEqual([1, 2]), PATIENCE_MS)
  } finally {
    for (const { child, exit } of processes.splice(0)) {
      child.kill('SIGKILL')
      await exit
    }
    await couch.close()
  }
}, 300_000)

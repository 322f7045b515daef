import { setTimeout as wait } from 'node:timers/promises'
import { BucketName } from '../../../core'
import { ACTIVE_HOSTS, SIGNAL, hostKey } from '../../../services/active-hosts'
import type { Client } from '../../client'
import { CouchServer } from '../../couchdb/server'
import { until } from '../../eventually'
import { startPlatform, type Platform } from '../../platform'
import { Peer } from './peer'
import { worldOf, type SignalWorld } from './world'

/** Two nodes on one CouchDB are one room. */

let couch: CouchServer
let a: SignalWorld
let b: SignalWorld
const platforms: Platform[] = []

async function node(name: string): Promise<Platform> {
  const settings = {
    KV4_COUCHDB_URL: process.env['KV4_TEST_COUCHDB_URL'] ?? couch.url,
    KV4_NODE: name,
    KV4_HOST_BEAT_MS: '2000',
  }
  const platform = await startPlatform({ settings })
  platforms.push(platform)
  return platform
}

beforeAll(async () => {
  couch = await CouchServer.start({ login: 'admin:admin' })
  const first = await node('node-a')
  const second = await node('node-b')
  const { sys } = first
  const account = `nodes-${process.pid}`
  const { secret } = await sys.ok(
    sys.put<{ secret: string; _ver_: string }>('/_acc/accounts', {
      k: account,
      v: { email: `${account}@async.cl` },
    }),
  )
  a = worldOf(first, first.as(account, secret))
  b = worldOf(second, second.as(account, secret))
  await until(async () => (await b.elena.get<unknown>('/_ns')).body.s === 'ok')
  await until(async () => {
    const hosts = await sys.get<string[]>('/_ds/runtime/hosts/active?a=keys&l=*host')
    return hosts.body.v.length === 2
  })
  // Each has heard of the other.
  await wait(1_500)
}, 60_000)
afterAll(async () => {
  await Promise.all(platforms.map((platform) => platform.close()))
  await couch?.close()
}, 60_000)

const users = (client: Client, path: string) => client.ok(client.get<string[]>(`/_subs/${path}`))

describe('two nodes', () => {
  test('tell of peers of each other, and carry messages both ways', async () => {
    const alice = await a.peer('room', 'alice')
    alice.take()
    const bob = await b.peer('room', 'bob')
    expect(bob.take()).toEqual([
      '{"t":"u","m":{"f":"/room/__sys__","o":"peers"},"p":{"users":["alice","bob"]}}',
    ])
    expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/room/bob","o":"peer_connected"},"p":null}'])

    alice.send({ t: 'u', m: { f: 'x', o: 'message' }, p: { msg: 'to all' } })
    expect(await bob.next()).toEqual(['{"t":"u","m":{"f":"/room/alice","o":"message"},"p":{"msg":"to all"}}'])
    bob.send({ t: 'u', m: { f: 'x', t: 'alice', o: 'message' }, p: 'direct' })
    expect(await alice.next()).toEqual([
      '{"t":"u","m":{"f":"/room/bob","t":"alice","o":"message"},"p":"direct"}',
    ])
    expect(await users(a.elena, 'room')).toEqual(['alice', 'bob'])
    expect(await users(b.elena, 'room')).toEqual(['alice', 'bob'])

    const carol = await b.peer('room', 'carol', 'ws')
    carol.take()
    expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/room/carol","o":"peer_connected"},"p":null}'])
    for (let i = 0; i < 200; i++) alice.send({ t: 'u', m: { o: 'count', t: 'carol' }, p: i })
    const counted = await carol.until((frames) => frames.length >= 200)
    expect(counted.map((frame) => (JSON.parse(frame) as { message: { data: number } }).message.data)).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    )

    await bob.close()
    expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/room/bob","o":"peer_removed"},"p":null}'])
    await Promise.all([alice.close(), carol.close()])
  })

  test('kick from the other one', async () => {
    const alice = await a.peer('kick', 'alice')
    const bob = await b.peer('kick', 'bob')
    await alice.next(2)
    expect(await a.elena.ok(a.elena.delete('/_subs/kick?k=bob'))).toBe(1)
    expect((await bob.closed).code).toBe(4003)
    expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/kick/bob","o":"peer_removed"},"p":null}'])
    expect(await users(b.elena, 'kick')).toEqual(['alice'])
    await alice.close()
  })

  test('keep whom they have when one took the other for dead', async () => {
    const alice = await Peer.in(a.url(await a.token('stall', 'alice')) + '?gaps=1')
    const old = await a.peer('stall', 'old', 'ws')
    const bob = await b.peer('stall', 'bob')
    await alice.next(3)
    for (let i = 0; i < 20; i++) {
      alice.send({ t: 'u', m: { o: 'before' }, p: i })
      bob.send({ t: 'u', m: { o: 'before' }, p: i })
    }
    for (const peer of [alice, old, bob])
      await peer.until((frames) => frames.filter((each) => each.includes('before')).length >= 20)
    // As if it had not refreshed: its next beat says that it is there after all.
    const host = { ...ACTIVE_HOSTS, key: hostKey('node-a', SIGNAL) }
    await b.platform.engine.bucket(BucketName.system).remove(host, { by: '$sys' })
    const told = await bob.until((frames) => frames.filter((each) => each.includes('connected')).length === 2)
    const gone = told.filter((frame) => frame.includes('removed'))
    expect(gone.sort()).toEqual(
      ['alice', 'old'].map((user) => `{"t":"u","m":{"f":"/stall/${user}","o":"peer_removed"},"p":null}`),
    )
    for (const each of [a, b])
      await until(async () => String(await users(each.elena, 'stall')) === 'alice,bob,old')
    expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/stall/__sys__","o":"gap"},"p":null}'])
    // Nothing that is said from then on is lost, or told twice.
    const frame = (user: string) => `{"t":"u","m":{"f":"/stall/${user}","o":"hello"},"p":1}`
    bob.send({ t: 'u', m: { o: 'hello' }, p: 1 })
    await alice.seen((frames) => frames.length > 0)
    alice.send({ t: 'u', m: { o: 'hello' }, p: 1 })
    await bob.seen((frames) => frames.length > 0)
    await wait(200)
    expect([alice.take(), bob.take()]).toEqual([[frame('bob')], [frame('alice')]])
    expect(await a.elena.ok(a.elena.delete('/_subs/stall'))).toBe(3)
    for (const peer of [alice, old, bob]) expect((await peer.closed).code).toBe(4003)
  })

  test('lose nobody who comes to both at once', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `user-${i}`)
    const peers = await Promise.all(names.map((name, i) => (i % 2 === 0 ? a : b).peer('rush', name)))
    for (const [i, peer] of peers.entries()) {
      const seen = new Set<string>()
      const end = Date.now() + 20_000
      while (seen.size < names.length) {
        for (const frame of peer.take()) {
          const { m, p } = JSON.parse(frame) as { m: { o: string; f: string }; p: { users: string[] } }
          if (m.o === 'peers') for (const user of p.users) seen.add(user)
          else if (m.o === 'peer_connected') seen.add(m.f.split('/').at(-1)!)
        }
        if (Date.now() > end) throw new Error(`${names[i]} has seen ${[...seen].join()}`)
        await wait(5)
      }
    }
    const [first, ...others] = peers
    first!.send({ t: 'u', m: { o: 'hello' }, p: null })
    for (const peer of others) await peer.until((frames) => frames.some((frame) => frame.includes('hello')))
    await Promise.all(peers.map((peer) => peer.close()))
  })

  test('close what an account that is deactivated at the other one has open', async () => {
    const { sys } = a.platform
    const k = `ends-${process.pid}`
    const { secret } = await sys.ok(
      sys.put<{ secret: string; _ver_: string }>('/_acc/accounts', { k, v: { email: `${k}@async.cl` } }),
    )
    const there = worldOf(b.platform, b.platform.as(k, secret))
    await until(async () => (await there.elena.get<unknown>('/_ns')).body.s === 'ok')
    const bob = await there.peer('room', 'bob')
    await sys.ok(sys.post('/_acc/accounts', { k, v: { active: false } }))
    expect(await bob.closed).toEqual({ code: 4001, reason: 'the account is not active' })
  })

  test('give a message to the node where its user came last', async () => {
    const watcher = await a.peer('newest', 'watcher')
    const older = await a.peer('newest', 'bob')
    await wait(5)
    const newer = await b.peer('newest', 'bob')
    const say = (p: number) => watcher.send({ t: 'u', m: { t: 'bob', o: 'x' }, p })
    const isSaid = (p: number) => (frames: readonly string[]) =>
      frames.some((one) => one.includes(`"p":${p}`))
    // The node of whom it goes to last hears of that a moment later.
    const reaches = (peer: Peer) =>
      until(async () => {
        say(0)
        await wait(20)
        return peer.take().some((frame) => frame.includes('"p":0'))
      })
    await reaches(newer)
    for (const peer of [watcher, older]) peer.take()
    say(1)
    await newer.until(isSaid(1))
    expect(older.take()).toEqual([])
    await newer.close()
    await reaches(older)
    say(2)
    await older.until(isSaid(2))
    expect(watcher.take()).toEqual([])
    await Promise.all([watcher.close(), older.close()])
  })
})

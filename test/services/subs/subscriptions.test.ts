import { setTimeout as wait } from 'node:timers/promises'
import { createAccountEnds } from '../../../auth'
import { BucketName, Key, Path } from '../../../core'
import { ACTIVE_HOSTS, SIGNAL, hostKey, storedHost } from '../../../services/active-hosts'
import { PRESENCE } from '../../../services/subs/layer'
import { presenceEntry } from '../../../services/subs/presence-entry'
import type { Client } from '../../client'
import { Peer } from './peer'
import { openSignalWorld, type SignalWorld } from './world'

/** Who is there, over HTTP, and how to send him away. */

let world: SignalWorld
beforeAll(async () => {
  world = await openSignalWorld()
})
afterAll(() => world.close())

const users = (path: string) => world.elena.ok(world.elena.get<string[]>(`/_subs/${path}`))

describe('_subs', () => {
  test('lists who is connected, with and without the topic, and nobody where nobody is', async () => {
    const bob = await world.peer('seen/here', 'bob')
    const rt = await world.peer('seen/here', 'rt', 'ws')
    expect(await users('seen/here')).toEqual(['bob', 'rt'])
    expect(await users('seen/here/topic/')).toEqual(['bob', 'rt'])
    expect(await users('seen')).toEqual([])
    const entry = {
      topic: 'topic',
      service: 'xs_turn',
      path: '/seen/here',
      origin: 'test',
      meta: null,
      key: 'rt',
      ident: 'elena',
    }
    expect(await world.elena.ok(world.elena.get('/_subs/seen/here?k=rt'))).toEqual(entry)
    expect(await world.elena.ok(world.elena.get('/_subs/seen/here/topic?as=values'))).toEqual([
      { ...entry, key: 'bob' },
      entry,
    ])
    const datum = {
      w: 'elena',
      k: 'rt',
      l: '*subs:test',
      p: '/seen/here',
      t: expect.any(Number) as unknown,
      m: null,
      v: { ...entry, _ver_: expect.any(String) as unknown },
      s: 'c',
      a: null,
      _id: expect.any(String) as unknown,
      _rev: expect.any(String) as unknown,
    }
    expect(await world.elena.ok(world.elena.get('/_subs/seen/here?as=1&k=rt'))).toEqual(datum)
    expect(await world.elena.ok(world.elena.get('/_subs/seen/here/topic?as=datum'))).toEqual([
      { ...datum, k: 'bob', v: { ...datum.v, key: 'bob' } },
      datum,
    ])
    expect(await world.elena.error(world.elena.get('/_subs/seen/here?k=nobody'))).toBe('404 not_found')
    await Promise.all([bob.close(), rt.close()])
    for (let i = 0; (await users('seen/here')).length > 0; i++) {
      expect(i).toBeLessThan(100)
      await wait(10)
    }
  })

  test('shows no account what another one does', async () => {
    const bob = await world.peer('mine', 'bob')
    const { sys } = world.platform
    expect(await sys.ok(sys.get<string[]>('/_subs/mine'))).toEqual([])
    expect(await sys.error(sys.delete('/_subs/mine?k=bob'))).toBe('404 not_found')
    expect(await users('mine')).toEqual(['bob'])
    await bob.close()
  })

  test('pages through the users of a channel', async () => {
    const names = Array.from({ length: 7 }, (_, i) => `user-${i}`)
    const peers = await Promise.all(names.map((name) => world.peer('pages', name)))
    const seen: string[] = []
    let after = ''
    do {
      const { body } = await world.elena.get<string[]>(`/_subs/pages?limit=3${after}`)
      seen.push(...body.v)
      after = body.next === undefined ? '' : `&after=${body.next}`
    } while (after !== '')
    expect(seen).toEqual(names)
    await Promise.all(peers.map((peer) => peer.close()))
  })
})

describe('a kick', () => {
  test('closes the socket, ends the token, and tells the others', async () => {
    const alice = await world.peer('kick', 'alice')
    const token = await world.token('kick', 'bob')
    const bob = await Peer.in(world.url(token))
    await alice.next(2)
    expect(await world.elena.ok(world.elena.delete('/_subs/kick?k=bob'))).toBe(1)
    expect(await bob.closed).toEqual({ code: 4003, reason: 'kicked' })
    expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/kick/bob","o":"peer_removed"},"p":null}'])
    // As the SDK does, 160 ms later.
    expect((await new Peer(world.url(token)).closed).code).toBe(4001)
    expect(await users('kick')).toEqual(['alice'])
    expect(await world.elena.error(world.elena.delete('/_subs/kick?k=bob'))).toBe('404 not_found')
    await wait(2)
    const again = await world.peer('kick', 'bob')
    expect(again.take()).toEqual([
      '{"t":"u","m":{"f":"/kick/__sys__","o":"peers"},"p":{"users":["alice","bob"]}}',
    ])
    await Promise.all([alice.close(), again.close()])
  })

  test('of everybody counts users, not connections', async () => {
    const peers = [
      await world.peer('all', 'alice'),
      await world.peer('all', 'bob'),
      await world.peer('all', 'bob'),
    ]
    const elsewhere = await world.peer('all/below', 'carol')
    expect(await world.elena.ok(world.elena.delete('/_subs/all/topic'))).toBe(2)
    expect((await Promise.all(peers.map((peer) => peer.closed))).map(({ code }) => code)).toEqual([
      4003, 4003, 4003,
    ])
    expect(await users('all/below')).toEqual(['carol'])
    expect(await world.elena.ok(world.elena.delete('/_subs/all'))).toBe(0)
    await elsewhere.close()
  })

  test('turns away who is listed but still on the way in', async () => {
    const { elena, platform } = world
    const token = await world.token('slow', 'bob')
    // Who comes to a room waits for each node that has somebody there, and this one does not answer.
    const [node, epoch] = ['silent', 'once']
    const bus = platform.engine.bucket(BucketName.system)
    const host = { ...ACTIVE_HOSTS, key: hostKey(node, SIGNAL) }
    const said = { type: SIGNAL, url: 'http://127.0.0.1:1', node, epoch, load: 0 }
    await bus.put(host, storedHost(said), { by: '$sys' })
    const channel = { bucket: BucketName.of('elena'), path: Path.parse('/slow') }
    const carol = { layer: PRESENCE.layerOf(node), path: channel.path, key: Key.parse('carol') }
    const entry = presenceEntry(channel, node, 'carol', { since: 1, epoch })
    await platform.engine.bucket(channel.bucket).put(carol, entry, { by: 'elena' })
    const listed = async (wanted: readonly string[]) => {
      for (let i = 0; String(await users('slow')) !== String(wanted); i++) {
        expect(i).toBeLessThan(200)
        await wait(10)
      }
    }
    await listed(['carol'])

    for (const query of ['?k=bob', '']) {
      await wait(2)
      const bob = new Peer(world.url(query === '' ? await world.token('slow', 'bob') : token))
      await listed(['bob', 'carol'])
      expect(bob.frames).toEqual([])
      expect(await elena.ok(elena.delete(`/_subs/slow${query}`))).toBe(query === '' ? 2 : 1)
      expect(await bob.closed).toEqual({ code: 4003, reason: 'kicked' })
      expect(bob.frames).toEqual([])
      expect(await users('slow')).toEqual(query === '' ? [] : ['carol'])
    }
    expect((await new Peer(world.url(token)).closed).code).toBe(4001)
    await bus.remove(host, { by: '$sys' })
  })

  test('of a user with a universal token ends it there', async () => {
    const token = await world.token('', 'dora')
    const dora = await Peer.in(world.url(token))
    expect(await world.elena.ok(world.elena.delete('/_subs?k=dora'))).toBe(1)
    expect((await dora.closed).code).toBe(4003)
    expect((await new Peer(world.url(token)).closed).code).toBe(4001)
  })
})

describe('an account that ends', () => {
  const V = (name: string) => ({ email: `${name}@async.cl` })
  const make = (by: Client, k: string) =>
    by.ok(by.put<{ secret: string; _ver_: string }>('/_acc/accounts', { k, v: V(k) }))
  const socketOf = async (client: Client, user: string) => {
    await client.post('/_ns/room')
    return Peer.in(world.url(await client.ok(client.put<string>(`/_token/room?k=${user}&expire=0`))))
  }
  const ended = { code: 4001, reason: 'the account is not active' }
  const deactivate = (by: Client, k: string) => by.ok(by.post('/_acc/accounts', { k, v: { active: false } }))

  test('by deactivation closes its sockets and those of its sub-accounts at once, and no others', async () => {
    const { sys } = world.platform
    const anna = world.platform.as('anna', (await make(sys, 'anna')).secret)
    const kate = world.platform.as('anna#kate', (await make(anna, 'kate')).secret)
    const lars = world.platform.as('anna#lars', (await make(anna, 'lars')).secret)
    const [ofAnna, again, ofKate, ofLars] = [
      await socketOf(anna, 'bob'),
      await socketOf(anna, 'carol'),
      await socketOf(kate, 'bob'),
      await socketOf(lars, 'bob'),
    ]
    const other = await world.peer('room', 'bob')

    await deactivate(anna, 'kate')
    expect(await ofKate.closed).toEqual(ended)
    // Which changes nothing of who may log in.
    await anna.ok(anna.post('/_acc/accounts', { k: 'lars', v: { company: 'async' } }))
    await anna.ok(anna.get('/_subs/room'))
    for (const { socket } of [ofAnna, again, ofLars]) expect(socket.readyState).toBe(socket.OPEN)

    await deactivate(sys, 'anna')
    for (const each of [ofAnna, again, ofLars]) expect(await each.closed).toEqual(ended)
    expect(other.socket.readyState).toBe(other.socket.OPEN)

    // Back again, and watched again.
    await sys.ok(sys.post('/_acc/accounts', { k: 'anna', v: { active: true } }))
    const returned = await socketOf(anna, 'bob')
    await deactivate(sys, 'anna')
    expect(await returned.closed).toEqual(ended)
    await other.close()
  })

  test('by deletion closes them too', async () => {
    const { sys } = world.platform
    const gone = world.platform.as('gone', (await make(sys, 'gone')).secret)
    const kiddo = world.platform.as('gone#kiddo', (await make(gone, 'kiddo')).secret)
    const [bob, ofKiddo] = [await socketOf(gone, 'bob'), await socketOf(kiddo, 'bob')]
    await sys.ok(sys.delete('/_acc/accounts?k=gone'))
    expect(await bob.closed).toEqual(ended)
    expect(await ofKiddo.closed).toEqual(ended)
  })

  test('between the handshake and the first look closes the socket that is just coming', async () => {
    const { sys, context } = world.platform
    const late = world.platform.as('late', (await make(sys, 'late')).secret)
    await late.post('/_ns/room')
    const token = await late.ok(late.put<string>('/_token/room?k=bob&expire=0'))
    // The same over the same store, which is asked only after the account has ended.
    const ends = createAccountEnds(world.platform.engine)
    const held = jest.spyOn(context.accountEnds, 'hold').mockImplementationOnce((bucket, tell) => {
      const later = deactivate(sys, 'late').then(() => ends.hold(bucket, tell))
      return {
        ready: later.then(({ ready }) => ready),
        release: () => void later.then((held) => held.release()),
      }
    })
    expect(await new Peer(world.url(token)).closed).toEqual(ended)
    held.mockRestore()
  })
})

test('a server that ends sends its sockets elsewhere and leaves no presence', async () => {
  const other = await openSignalWorld()
  const bob = await other.peer('room', 'bob')
  await other.platform.close()
  expect((await bob.closed).code).toBe(1001)
})

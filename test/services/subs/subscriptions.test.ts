import { setTimeout as wait } from 'node:timers/promises'
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

  test('of a user with a universal token ends it there', async () => {
    const token = await world.token('', 'dora')
    const dora = await Peer.in(world.url(token))
    expect(await world.elena.ok(world.elena.delete('/_subs?k=dora'))).toBe(1)
    expect((await dora.closed).code).toBe(4003)
    expect((await new Peer(world.url(token)).closed).code).toBe(4001)
  })
})

test('the deletion of an account closes its sockets', async () => {
  const { sys } = world.platform
  const v = { email: 'gone@async.cl' }
  const { secret } = await sys.ok(
    sys.put<{ secret: string; _ver_: string }>('/_acc/accounts', { k: 'gone', v }),
  )
  const gone = world.platform.as('gone', secret)
  await gone.ok(gone.put('/_ns/room'))
  const bob = await Peer.in(world.url(await gone.ok(gone.put<string>('/_token/room?k=bob'))))
  await sys.ok(sys.delete('/_acc/accounts?k=gone'))
  expect((await bob.closed).code).toBe(4001)
})

test('a server that ends sends its sockets elsewhere and leaves no presence', async () => {
  const other = await openSignalWorld()
  const bob = await other.peer('room', 'bob')
  await other.platform.close()
  expect((await bob.closed).code).toBe(1001)
})

import { setTimeout as wait } from 'node:timers/promises'
import { Peer } from './peer'
import { openSignalWorld, type SignalWorld } from './world'

/** The sequences of the signalling contract, with a plain websocket client, to the byte. */

let world: SignalWorld
beforeAll(async () => {
  world = await openSignalWorld()
})
afterAll(() => world.close())

const message = (to: string | undefined, p: unknown, o = 'message', f = 'whoever') => ({
  t: 'u',
  m: { f, ...(to !== undefined && { t: to }), o },
  p,
})

const parse = (frame: string) =>
  JSON.parse(frame) as { readonly m: { readonly o: string }; readonly p: unknown }

describe('the envelope of V3 and V2', () => {
  test('tells a newcomer who is there, and the others of him, when he comes and when he goes', async () => {
    const alice = await world.peer('my/path', 'alice')
    expect(alice.take()).toEqual([
      '{"t":"u","m":{"f":"/my/path/__sys__","o":"peers"},"p":{"users":["alice"]}}',
    ])
    const bob = await world.peer('my/path', 'bob')
    expect(bob.take()).toEqual([
      '{"t":"u","m":{"f":"/my/path/__sys__","o":"peers"},"p":{"users":["alice","bob"]}}',
    ])
    expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/my/path/bob","o":"peer_connected"},"p":null}'])
    await bob.close()
    expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/my/path/bob","o":"peer_removed"},"p":null}'])
    await wait(30)
    expect([...alice.take(), ...bob.take()]).toEqual([])
    await alice.close()
  })

  test('sends a message on to everybody else, or to whom it names, with the sender of the token', async () => {
    const [alice, bob, carol] = [
      await world.peer('chat', 'alice'),
      await world.peer('chat', 'bob'),
      await world.peer('chat', 'carol'),
    ]
    await wait(20)
    for (const peer of [alice, bob, carol]) peer.take()

    alice.send(message(undefined, { msg: 'to all' }, 'message', '/chatbob'))
    const toAll = ['{"t":"u","m":{"f":"/chat/alice","o":"message"},"p":{"msg":"to all"}}']
    expect([await bob.next(), await carol.next()]).toEqual([toAll, toAll])

    alice.send(message('carol', 'bare'))
    expect(await carol.next()).toEqual([
      '{"t":"u","m":{"f":"/chat/alice","t":"carol","o":"message"},"p":"bare"}',
    ])
    alice.send(message('/chat/bob', { type: 'offer', sdp: 'v=0' }, 'session'))
    expect(await bob.next()).toEqual([
      '{"t":"u","m":{"f":"/chat/alice","t":"/chat/bob","o":"session"},"p":{"type":"offer","sdp":"v=0"}}',
    ])
    alice.send(message('nobody', 1))
    alice.send(message('alice', 1))
    await wait(30)
    expect([...alice.take(), ...bob.take(), ...carol.take()]).toEqual([])
    await Promise.all([alice, bob, carol].map((peer) => peer.close()))
  })

  test.each([
    ['numbers that JavaScript has not', '{"big":12345678901234567890,"one":1.0,"huge":1e400,"minus":-0}'],
    ['escapes as they were written', '"\\u00e9\\ud800 \\/"'],
    ['names that mean something to JavaScript', '{"__proto__":{"x":1},"toString":null,"a":1,"a":2}'],
    ['blanks inside', '{ "a" : [ 1 , "}],{\\"" ] }'],
    ['a missing payload as null', undefined],
  ])('passes a payload on as it is: %s', async (_what, p) => {
    const alice = await world.peer('bytes', 'alice')
    const bob = await world.peer('bytes', 'bob')
    bob.take()
    alice.send(
      `{"p" : ${p ?? '7'} , "m": {"o":"x", "i":null,"f":"me","s": 5}, "t":"tm"}`.replace(
        p === undefined ? '"p" : 7 ,' : '∅',
        '',
      ),
    )
    expect(await bob.next()).toEqual([
      `{"t":"tm","m":{"f":"/bytes/alice","o":"x","i":null,"s":5},"p":${p ?? 'null'}}`,
    ])
    await Promise.all([alice.close(), bob.close()])
  })

  test.each([
    '/v1/',
    '/v2/',
    '/ws/v1/',
    '/ws/v2/',
    '/any/base/v2/',
    '/any_base/of%20mine/_ws/v2/',
    '//v2/',
    '/ws//v2//',
  ])('is spoken at %s<token>', async (at) => {
    const alice = await world.peer('paths', 'alice', at.slice(1, -1))
    expect(alice.take()).toEqual(['{"t":"u","m":{"f":"/paths/__sys__","o":"peers"},"p":{"users":["alice"]}}'])
    await alice.close()
  })

  test('names the root channel of a universal token by a slash', async () => {
    const alice = await world.peer('', 'alice')
    expect(alice.take()).toEqual(['{"t":"u","m":{"f":"/__sys__","o":"peers"},"p":{"users":["alice"]}}'])
    await alice.close()
  })
})

describe('the frames of V1', () => {
  test('carry the whole object of the client, and say type, sender and room', async () => {
    const alice = await world.peer('dom/app/room', 'alice', 'ws')
    const bob = await world.peer('dom/app/room', 'bob', 'ws')
    expect((await alice.next(2)).concat(bob.take())).toEqual([
      '{"type":"peers","userid":"__sys__","message":{"users":["alice"]},"room":"room"}',
      '{"type":"peer_connected","userid":"bob","message":"bob","room":"room"}',
      '{"type":"peers","userid":"__sys__","message":{"users":["alice","bob"]},"room":"room"}',
    ])
    const offer =
      '{"eventName":"receiveoffer","data":{"connectionId":"c","offer":{"sdp":"v=0"}},"targetUserId":"bob"}'
    alice.send(offer)
    expect(await bob.next()).toEqual([
      `{"type":"receiveoffer","userid":"alice","message":${offer},"room":"room"}`,
    ])
    alice.send('{}')
    await bob.close()
    expect(await alice.next()).toEqual([
      '{"type":"peer_removed","userid":"bob","message":"bob","room":"room"}',
    ])
    await alice.close()
  })

  test('are told to the other generations of the room in their own form, and back', async () => {
    const old = await world.peer('mixed', 'old', 'ws')
    const young = await world.peer('mixed', 'young')
    young.take()
    await old.next(2)
    old.send({ eventName: 'say', data: { x: 1 }, targetUserId: 'young' })
    expect(await young.next()).toEqual(['{"t":"u","m":{"f":"/mixed/old","t":"young","o":"say"},"p":{"x":1}}'])
    young.send(message('/mixed/old', { y: 2 }, 'answer'))
    expect(await old.next()).toEqual([
      '{"type":"answer","userid":"young","message":{"eventName":"answer","data":{"y":2},"targetUserId":"old"},"room":"mixed"}',
    ])
    await Promise.all([old.close(), young.close()])
  })
})

describe('a token', () => {
  test('that is none closes the socket after the handshake, and tells V1 why', async () => {
    for (const [at, frames] of [
      ['v2', []],
      ['ws/v1', []],
      ['ws', ['"Token invalid"']],
    ] as const) {
      const peer = new Peer(world.url('no-token', at))
      expect(await peer.closed).toEqual({ code: 4001, reason: 'token invalid' })
      expect(peer.frames).toEqual(frames)
    }
  })

  test('opens any number of connections until it expires, and those stay', async () => {
    const token = await world.token('again', 'alice', 1)
    const first = await Peer.in(world.url(token))
    await first.close()
    const second = await Peer.in(world.url(token))
    await wait(1_100)
    const third = new Peer(world.url(token))
    expect((await third.closed).code).toBe(4001)
    second.send('ping')
    expect(second.socket.readyState).toBe(second.socket.OPEN)
    await second.close()
  })

  test('is taken in the form that encodeURIComponent gives it', async () => {
    const token = await world.token('encoded', 'alice')
    const peer = await Peer.in(world.url(token.replaceAll('.', '%2E').replaceAll('-', '%2D'), 'ws'))
    await peer.close()
  })
})

describe('one user with two connections', () => {
  test('is listed once, told of once, and spoken to at the newer one', async () => {
    const watcher = await world.peer('twice', 'watcher')
    const older = await world.peer('twice', 'bob')
    const newer = await world.peer('twice', 'bob')
    expect(parse(newer.take()[0]!).p).toEqual({ users: ['watcher', 'bob'] })
    older.take()
    watcher.send(message('bob', 1))
    expect(await newer.next()).toHaveLength(1)
    await newer.close()
    watcher.send(message('bob', 2))
    expect((await older.next()).map((frame) => parse(frame).p)).toEqual([2])
    await older.close()
    const heard = await watcher.until((frames) => frames.some((frame) => frame.includes('peer_removed')))
    expect(heard.map((frame) => parse(frame).m.o)).toEqual(['peers', 'peer_connected', 'peer_removed'])
    await watcher.close()
  })
})

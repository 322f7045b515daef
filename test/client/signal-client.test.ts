import { GatewayError, SignalClient, type SignalEvents } from '../../client'
import { openSignalWorld, type SignalWorld } from '../services/subs/world'

/** The published client against the platform, over HTTP and websockets. */

let world: SignalWorld
beforeAll(async () => {
  world = await openSignalWorld()
  await world.elena.ok(world.elena.put('/_ns/chat'))
})
afterAll(() => world.close())

const clients: SignalClient[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
})

function client(user: string, channel = 'chat'): SignalClient {
  const { url, user: account, password: secret } = world.elena
  const made = SignalClient.of({ url, user: account, secret }, channel, user)
  clients.push(made)
  return made
}

function once<Name extends keyof SignalEvents>(of: SignalClient, name: Name): Promise<SignalEvents[Name]> {
  return new Promise((resolve) => {
    const end = of.on(name, (event) => {
      end()
      resolve(event)
    })
  })
}

test('opens with a token and a host of its own finding, talks, and closes', async () => {
  const [alice, bob] = [client('alice'), client('bob')]
  expect(await alice.open()).toEqual(['alice'])
  const connected = once(alice, 'connected')
  expect(await bob.open()).toEqual(['alice', 'bob'])
  expect(await connected).toBe('bob')

  const toBob = once(bob, 'message')
  alice.send({ hello: 'bob' }, { to: 'bob', operation: 'greet' })
  expect(await toBob).toEqual({ from: 'alice', to: 'bob', operation: 'greet', payload: { hello: 'bob' } })
  const toAll = once(alice, 'message')
  bob.send('hi')
  expect(await toAll).toEqual({ from: 'bob', operation: 'message', payload: 'hi' })

  const removed = once(alice, 'removed')
  const closed = once(bob, 'closed')
  bob.close()
  expect(await removed).toBe('bob')
  expect((await closed).code).toBe(1000)
  expect(() => bob.send('late')).toThrow('not connected')
})

test('hears what clients of other makes say, whatever their target looks like', async () => {
  const heard: unknown[] = []
  const alice = client('alice')
  await alice.open()
  alice.on('message', (message) => heard.push(message))
  alice.on('gap', () => heard.push('gap'))
  const other = await world.peer('chat', 'other')
  for (const m of ['{"t":null,"o":"a"}', '{"t":"","o":"b"}', '{"t":"/chat/alice"}', '{"o":"gap"}'])
    other.send(`{"t":"u","m":${m},"p":1}`)
  const old = await world.peer('chat', 'old', 'ws')
  old.send('{"eventName":"c","data":{},"targetUserId":null}')
  for (let i = 0; i < 100 && heard.length < 5; i++) await new Promise((resolve) => setTimeout(resolve, 20))
  const said = { from: 'other', payload: 1 }
  expect(heard).toEqual([
    { ...said, operation: 'a' },
    { ...said, operation: 'b' },
    { ...said, to: 'alice', operation: '' },
    { ...said, operation: 'gap' },
    { from: 'old', operation: 'c', payload: {} },
  ])
  await Promise.all([other.close(), old.close()])
})

test('comes back when its connection is lost, and says that something may be missing', async () => {
  const sockets: { terminate(): void }[] = []
  const { WebSocket } = await import('ws')
  class Watched extends WebSocket {
    constructor(url: string) {
      super(url)
      sockets.push(this)
    }
  }
  const { url, user, password: secret } = world.elena
  const carol = SignalClient.of({ url, user, secret }, 'chat', 'carol', { WebSocket: Watched as never })
  clients.push(carol)
  await carol.open()
  const gap = once(carol, 'gap')
  const peers = once(carol, 'peers')
  sockets[0]!.terminate()
  await gap
  expect(await peers).toContain('carol')
  expect(sockets).toHaveLength(2)
})

test('stays away once it is kicked', async () => {
  const dora = client('dora')
  await dora.open()
  const closed = once(dora, 'closed')
  await world.elena.ok(world.elena.delete('/_subs/chat?k=dora'))
  expect(await closed).toEqual({ code: 4003, reason: 'kicked' })
})

test('tells what the platform said when it cannot open', async () => {
  await expect(client('bob', 'nowhere').open()).rejects.toEqual(new GatewayError('no_namespace', 404))
  const bad = new SignalClient({
    host: async () => world.platform.url.replace('http', 'ws'),
    token: async () => 'no-token',
  })
  await expect(bad.open()).rejects.toThrow('closed: 4001 token invalid')
})

import { BucketName, Key, Path } from '../../../core'
import { Peer } from './peer'
import { openSignalWorld, type SignalWorld } from './world'

let world: SignalWorld
const peers: Peer[] = []
beforeAll(async () => {
  world = await openSignalWorld({ KV4_STREAM_BEAT_MS: '200' })
  await world.elena.post('/_ns/lobby')
})
afterEach(() => {
  for (const peer of peers.splice(0)) peer.terminate()
})
afterAll(() => world.close())

async function enter(query: string, at = 'v2', channel = 'lobby'): Promise<Peer> {
  const token = await world.elena.ok(world.elena.put<string>(`/_token/${channel}?${query}`))
  const peer = await Peer.in(world.url(token, at))
  peers.push(peer)
  peer.take()
  return peer
}

const ask = (o: string, p: object) => ({ t: 'w', m: { o }, p })
interface Heard {
  readonly t: string
  readonly m: { readonly o: string }
  readonly p: Readonly<Record<string, unknown>> & { readonly change?: Readonly<Record<string, unknown>> }
}
const heard = (frames: readonly string[]) =>
  frames.map((frame) => JSON.parse(frame) as Heard).filter(({ t }) => t === 'w')
const of =
  (o: string, count = 1) =>
  (frames: readonly string[]) =>
    heard(frames).filter(({ m }) => m.o === o).length >= count

test('watches through the socket of signalling, beside its messages, and goes on from a cursor', async () => {
  const alice = await enter('k=alice&watch=_data,_subs')
  const bob = await enter('k=bob')
  alice.take()
  alice.send(ask('watch', { id: '1', target: '/_data/lobby?prev=1' }))
  await alice.until(of('watching'))
  await world.elena.post('/_data/lobby/x', { k: 'score', v: 1 })
  bob.send({ t: 'u', m: { t: 'alice', o: 'message' }, p: 'hello' })
  await world.elena.post('/_data/lobby/x', { k: 'score', v: 2 })
  const frames = await alice.until(
    (all) => of('change', 2)(all) && all.some((frame) => frame.includes('hello')),
  )
  const changes = heard(frames).map(({ p }) => p)
  expect(changes).toMatchObject([
    { id: '1', change: { type: 'create', path: '/lobby/x', k: 'score', v: 1 } },
    { id: '1', change: { type: 'update', v: 2, prev: { v: 1 } } },
  ])
  alice.send(ask('unwatch', { id: '1' }))
  expect(heard(await alice.until(of('ended')))).toMatchObject([{ p: { id: '1' } }])
  await world.elena.post('/_data/lobby/x', { k: 'score', v: 3 })
  alice.send(ask('watch', { id: '2', target: '/_data/lobby/x?k=score', since: changes[0]!['cursor'] }))
  const again = heard(await alice.until(of('change', 2)))
  expect(again.flatMap(({ p }) => p.change?.['v'] ?? [])).toEqual([2, 3])
})

test('watches who comes and goes as _subs shows it', async () => {
  const alice = await enter('k=alice&watch=_subs')
  alice.send(ask('watch', { id: 's', target: '/_subs/lobby' }))
  await alice.until(of('watching'))
  const carol = await enter('k=carol')
  const [{ p }] = heard(await alice.until(of('change'))) as [Heard]
  expect(p.change).toMatchObject({ type: 'create', k: 'carol', v: { key: 'carol', path: '/lobby' } })
  carol.terminate()
  expect(heard(await alice.until(of('change')))).toMatchObject([
    { p: { change: { type: 'delete', k: 'carol' } } },
  ])
})

test.each([
  ['another path', 'k=a&watch=_data', '/_data/elsewhere', 'forbidden'],
  ['another path that begins alike', 'k=a&watch=_data', '/_data/lobbying', 'forbidden'],
  ['another service', 'k=a&watch=_data', '/_conf/lobby', 'forbidden'],
  ['logins', 'k=a&watch=_acc', '/_acc/accounts', 'forbidden'],
  ['a layer of a service', 'k=a&watch=_data', '/_data/lobby?l=*acc', 'bad_layer_prefix'],
  ['with a cursor that is none', 'k=a&watch=_data', '/_data/lobby?since=x', 'bad_cursor'],
  ['what is no path', 'k=a&watch=_data', 'lobby', 'bad_request'],
])('does not watch %s', async (_what, query, target, error) => {
  const peer = await enter(query)
  peer.send(ask('watch', { id: '1', target }))
  expect(heard(await peer.until(of('ended')))).toMatchObject([{ p: { id: '1', error } }])
})

test('a token that was not made for it passes such frames on to the room, as ever', async () => {
  const [alice, bob] = [await enter('k=alice'), await enter('k=bob&watch=_data')]
  alice.take()
  const frame = { t: 'w', m: { o: 'watch' }, p: { id: '1', target: '/_data/lobby' } }
  alice.send(frame)
  const [passed] = heard(await bob.until(of('watch')))
  expect(passed).toEqual({ ...frame, m: { f: '/lobby/alice', o: 'watch' } })
  await world.elena.post('/_data/lobby', { k: 'x', v: 1 })
  expect(heard(alice.take())).toEqual([])
})

test('ends with a ban of the path, and says so', async () => {
  const peer = await enter('k=alice&watch=_data')
  peer.send(ask('watch', { id: '1', target: '/_data/lobby/private' }))
  await peer.until(of('watching'))
  // Over the engine, since nobody may deny the address that he comes from.
  const address = {
    layer: world.platform.context.bans.layer,
    path: Path.parse('/lobby/private'),
    key: Key.parse('127.0.0.1'),
  }
  await world.platform.engine.bucket(BucketName.of('elena')).put(address, {}, { by: 'elena' })
  expect(heard(await peer.until(of('ended')))).toMatchObject([{ p: { id: '1', error: 'forbidden' } }])
  await world.platform.engine.bucket(BucketName.of('elena')).remove(address, { by: 'elena' })
})

test('a connection has a hundred watches and no more', async () => {
  const peer = await enter('k=alice&watch=_data')
  for (let i = 0; i <= 100; i++) peer.send(ask('watch', { id: String(i), target: `/_data/lobby?k=k${i}` }))
  const ended = heard(await peer.until((frames) => of('ended')(frames) && of('watching', 100)(frames)))
  expect(ended.filter(({ m }) => m.o === 'ended')).toMatchObject([{ p: { error: 'limit_reached' } }])
  await world.elena.post('/_data/lobby', { k: 'k7', v: 1 })
  expect(heard(await peer.until(of('change')))).toMatchObject([{ p: { id: '7' } }])
})

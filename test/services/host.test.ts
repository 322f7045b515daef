import { BucketName, Key, Layer, Path } from '../../core'
import { ACTIVE_HOSTS, activeHosts, storedHost } from '../../services/active-hosts'
import { eventually } from '../eventually'
import { startPlatform, type Platform } from '../platform'

/** `_host`, without external services: contract rest §10. */

let platform: Platform

beforeAll(async () => {
  platform = await startPlatform({
    settings: { KV4_HOST_BEAT_MS: '500', KV4_PUBLIC_WS_URL: 'wss://euro3.example.com:4005/ws' },
  })
})
afterAll(() => platform.close())

/** As another node would: an entry that says what it is until it lapses. */
async function pretend(node: string, load: number, ttl = 60_000): Promise<void> {
  await platform.engine.bucket(BucketName.system).put(
    { ...ACTIVE_HOSTS, key: Key.parse(`${node}:signal`) },
    storedHost({
      type: 'signal',
      url: `http://${node}:4006`,
      public: `wss://${node}.example.com/ws`,
      node,
      epoch: node,
      load,
    }),
    { by: '$sys', ttl },
  )
}

async function vanish(node: string): Promise<void> {
  await platform.engine
    .bucket(BucketName.system)
    .remove({ ...ACTIVE_HOSTS, key: Key.parse(`${node}:signal`) }, { by: '$sys' })
}

test('a node says that it is there, how it is reached, and how busy it is', async () => {
  const [host, ...others] = await activeHosts(platform.engine)
  expect(others).toEqual([])
  expect(host).toMatchObject({
    key: 'test:signal',
    type: 'signal',
    node: 'test',
    url: platform.url,
    public: 'wss://euro3.example.com:4005/ws',
    epoch: platform.context.epoch,
  })
  expect(host!.load).toBeGreaterThanOrEqual(0)
  expect(host!.load).toBeLessThanOrEqual(1)
  const [keys, layers] = [
    await platform.sys.ok(platform.sys.get('/_ds/runtime/hosts/active?a=keys&l=*host')),
    await platform.sys.ok(platform.sys.get<string[]>('/_ds')),
  ]
  expect(keys).toEqual(['test:signal'])
  expect(layers).toContain('*host')
})

test('it goes on saying so, and the entry lapses when it does not', async () => {
  const read = async () => (await activeHosts(platform.engine))[0]!.version
  const first = await read()
  const later = await eventually(async () => {
    const version = await read()
    expect(version.n).toBeGreaterThan(first.n)
    return version
  })
  expect(later.exp! - later.at).toBe(1_500)

  await pretend('fleeting', 0.5, 1_500)
  const nodes = async () => (await activeHosts(platform.engine)).map(({ node }) => node)
  expect(await nodes()).toContain('fleeting')
  await eventually(async () => expect(await nodes()).not.toContain('fleeting'))
})

test('the advertised URL is an answer to GET and PUT, with a path or without, by either form', async () => {
  const { sys } = platform
  const url = 'wss://euro3.example.com:4005/ws'
  for (const target of [
    '/_host?type=signal',
    '/_host/my/path?type=signal&k=user',
    '/_host/best/signal',
    '/_host/best/signal/',
    '/_host/my/path?type=signal&k=',
  ]) {
    expect(await sys.ok(sys.get(target))).toBe(url)
    expect(await sys.ok(sys.put(target))).toBe(url)
  }
})

test('without a type, with an unknown one, with one that nobody offers', async () => {
  const { sys } = platform
  expect(await sys.error(sys.get('/_host'))).toBe('400 require_type_param')
  expect(await sys.error(sys.get('/_host/my/path'))).toBe('400 require_type_param')
  expect(await sys.error(sys.get('/_host/best/signal/more'))).toBe('400 require_type_param')
  expect(await sys.error(sys.get('/_host?type=nonsense'))).toBe('400 unrecognized_type_param')
  expect(await sys.error(sys.get('/_host/best/nonsense'))).toBe('400 unrecognized_type_param')
  expect(await sys.error(sys.get('/_host?type=turn'))).toBe('503 service_unavailable')
})

test('the least loaded one is named, unless the peer is elsewhere', async () => {
  const { sys, engine } = platform
  await pretend('idle', -1)
  await pretend('busy', 2)
  expect(await sys.ok(sys.get('/_host?type=signal'))).toBe('wss://idle.example.com/ws')

  await engine
    .bucket(BucketName.system)
    .put(
      { layer: Layer.parse('*subs:busy'), path: Path.parse('/domain/app/room'), key: Key.parse('rt') },
      { key: 'rt' },
      { by: '$sys' },
    )
  for (const target of [
    '/_host/domain/app/room?type=signal&k=rt',
    '/_host/domain/app/room/topic?type=signal&k=rt',
  ])
    expect(await sys.ok(sys.get(target))).toBe('wss://busy.example.com/ws')
  expect(await sys.ok(sys.get('/_host/domain/app/room?type=signal&k=stranger'))).toBe(
    'wss://idle.example.com/ws',
  )
  expect(await sys.ok(sys.get('/_host/domain/app?type=signal&k=rt'))).toBe('wss://idle.example.com/ws')

  await vanish('idle')
  await vanish('busy')
  expect(await sys.ok(sys.get('/_host/domain/app/room?type=signal&k=rt'))).toBe(
    'wss://euro3.example.com:4005/ws',
  )
})

test('a node that ends takes its entry away, and one that names no URL is named by its address', async () => {
  const other = await startPlatform()
  const [host] = await activeHosts(other.engine)
  expect(host!.public).toBe(other.url.replace('http:', 'ws:') + '/ws')
  const { service, seen } = { service: other.engine.bucket(BucketName.system), seen: [] as string[] }
  const end = new AbortController()
  const since = await service.cursor()
  const watching = (async () => {
    for await (const event of service.watch({ layer: ACTIVE_HOSTS.layer }, { since, signal: end.signal }))
      if (event.kind === 'current' && event.version.op === 'delete') {
        seen.push(event.address.key)
        end.abort()
      }
  })().catch(() => undefined)
  await other.close()
  await watching
  expect(seen).toEqual(['test:signal'])
})

import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { BucketName } from '../../../core'
import { HostPresence } from '../../../service'
import { ACTIVE_HOSTS, hostKey, storedHost } from '../../../services/active-hosts'
import { until } from '../../eventually'
import type { Platform } from '../../platform'
import { makeAccount, register, startHost, startOpenPlatform } from './world'

/** Which hosts there are: registration, lapse, choice, hosts that are away. */

let platform: Platform

beforeEach(async () => {
  platform = await startOpenPlatform()
})
afterEach(() => platform.close())

const ACTIVE = '/_host/runtime/hosts/active'
const put = (k: unknown, v: unknown) => platform.sys.put(ACTIVE, { k, v })

describe('registration', () => {
  const good = { prefix: '_video', url: 'http://127.0.0.1:9000' }

  test.each<readonly [string, unknown, unknown, string]>([
    ['no host', undefined, good, '400 bad_request'],
    ['a bad host', 'a/b', good, '400 bad_request'],
    ['no value', 'one', undefined, '400 bad_request'],
    ['a prefix without _', 'one', { ...good, prefix: 'video' }, '400 bad_request'],
    ['a prefix with a slash', 'one', { ...good, prefix: '_video/x' }, '400 bad_request'],
    ['a prefix in capitals', 'one', { ...good, prefix: '_Video' }, '400 bad_request'],
    ['the prefix of a service of the platform', 'one', { ...good, prefix: '_data' }, '409 service_exists'],
    ['the type of nodes', 'one', { ...good, type: 'signal' }, '409 service_exists'],
    ['the name of nodes', 'one', { ...good, prefix: '_signal', type: 'other' }, '409 service_exists'],
    ['a load above 1', 'one', { ...good, load: 1.5 }, '400 bad_request'],
    ['a lapse of an hour', 'one', { ...good, lapse: 3600 }, '400 bad_request'],
    ['no URL', 'one', { prefix: '_video' }, '400 bad_request'],
    ['something that is no URL', 'one', { ...good, url: 'nonsense' }, '400 bad_request'],
    ['another scheme', 'one', { ...good, url: 'file:///etc/passwd' }, '400 bad_request'],
    ['credentials', 'one', { ...good, url: 'http://a:b@127.0.0.1:9000' }, '400 bad_request'],
    ['a query', 'one', { ...good, url: 'http://127.0.0.1:9000/?a=1' }, '400 bad_request'],
    ['a port below 1024', 'one', { ...good, url: 'http://127.0.0.1:22' }, '400 bad_request'],
    ['an address that is not allowed', 'one', { ...good, url: 'http://169.254.169.254/' }, '400 bad_request'],
    [
      'one in another form',
      'one',
      { ...good, url: 'http://[::ffff:169.254.169.254]:8080' },
      '400 bad_request',
    ],
    ['one as a number', 'one', { ...good, url: 'http://2852039166/' }, '400 bad_request'],
    ['the layer of another service', 'one', { ...good, layers: ['*data'] }, '400 bad_layer_prefix'],
    ['one that only begins alike', 'one', { ...good, layers: ['*videos'] }, '400 bad_layer_prefix'],
    ['measurements of another', 'one', { ...good, layers: ['*stats:turn:sess'] }, '400 bad_layer_prefix'],
    ['the engine’s', 'one', { ...good, layers: ['^token-keys'] }, '400 bad_layer'],
  ])('refuses %s', async (_what, k, v, error) => {
    expect(await platform.sys.error(put(k, v))).toBe(error)
    expect(await platform.sys.error(platform.sys.get('/_video'))).toBe('404 not_found')
  })

  test('is answered with the entry and its key, shown without, refreshed, and withdrawn', async () => {
    const { sys } = platform
    const v = { ...good, layers: ['*video', '*video:rooms', '*stats:video:minutes'], load: 0.5, lapse: 60 }
    const first = await put('one', v)
    expect(first.status).toBe(201)
    expect(first.body.v).toMatchObject({ type: 'video', prefix: '_video', url: good.url, load: 0.5 })
    expect(first.body.v['key']).toMatch(/^[\w-]{43}$/)
    const again = await put('one', { ...v, load: 0.7 })
    expect(again.status).toBe(200)
    expect(again.body.v).toMatchObject({ load: 0.7, key: first.body.v['key'] })

    expect(await sys.ok(sys.get(ACTIVE))).toEqual(['one:video', 'test:signal'])
    const shown = await sys.get(`${ACTIVE}?as=values`)
    expect(JSON.stringify(shown.body)).not.toContain(String(first.body.v['key']))
    expect(shown.body.v).toEqual(
      expect.arrayContaining([expect.objectContaining({ key: 'one:video', load: 0.7 })]),
    )
    expect(JSON.stringify(shown.body)).not.toContain('salt')

    expect(await sys.ok(sys.delete(`${ACTIVE}?k=one&prefix=_video`))).toBe(1)
    expect(await sys.error(sys.delete(`${ACTIVE}?k=one&prefix=_video`))).toBe('404 not_found')
    expect(await sys.error(sys.get('/_video'))).toBe('404 not_found')
    const anew = await put('one', v)
    expect(anew.body.v['key']).not.toBe(first.body.v['key'])
  })

  test('of a prefix by a second service is refused, as long as the first is known', async () => {
    const { sys } = platform
    await sys.ok(put('one', good))
    await sys.ok(put('two', good))
    expect(await sys.error(put('three', { ...good, type: 'other' }))).toBe('409 service_exists')
    await sys.ok(sys.delete(`${ACTIVE}?k=one&prefix=_video`))
    expect(await sys.error(put('three', { ...good, type: 'other' }))).toBe('409 service_exists')
    await sys.ok(sys.delete(`${ACTIVE}?k=two&prefix=_video`))
    await sys.ok(put('three', { ...good, type: 'other' }))
  })

  test('is for $sys and for hosts with a token, which opens nothing else', async () => {
    const { sys, url } = platform
    const elena = platform.as('elena', await makeAccount(sys, 'elena'))
    expect(await elena.error(elena.put(ACTIVE, { k: 'one', v: good }))).toBe('403 forbidden')
    expect(await elena.error(elena.get(ACTIVE))).toBe('403 forbidden')
    expect(await elena.error(elena.put('/_host/runtime/hosts/token?prefix=_video'))).toBe('403 forbidden')

    const token = await sys.ok(sys.put<string>('/_host/runtime/hosts/token?prefix=_video'))
    const bearer = (method: string, target: string, body?: unknown) =>
      fetch(url + target, {
        method,
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }).then((answer) => answer.status)
    expect(await bearer('PUT', ACTIVE, { k: 'one', v: good })).toBe(201)
    expect(await bearer('PUT', ACTIVE, { k: 'one', v: { ...good, prefix: '_other' } })).toBe(403)
    expect(await bearer('DELETE', `${ACTIVE}?k=one&prefix=_other`)).toBe(403)
    for (const [method, target] of [
      ['GET', ACTIVE],
      ['PUT', '/_host/runtime/hosts/token?prefix=_video'],
      ['GET', '/_host?type=signal'],
      ['GET', '/_data/x'],
      ['GET', '/_ds'],
      ['GET', '/_acc/accounts'],
      ['PUT', '/_token'],
      ['GET', '/_video'],
    ] as const)
      expect([target, await bearer(method, target)]).toEqual([target, 403])
    expect(await bearer('DELETE', `${ACTIVE}?k=one&prefix=_video`)).toBe(200)

    await sys.ok(sys.delete('/_host/runtime/hosts/token?prefix=_video'))
    expect(await bearer('PUT', ACTIVE, { k: 'one', v: good })).toBe(401)
  })

  test('with a token is of the type of its prefix, or the one that the token was made for', async () => {
    const { sys, url } = platform
    const tell = async (type: string | undefined, query: string) => {
      const token = await sys.ok(sys.put<string>(`/_host/runtime/hosts/token?prefix=_video${query}`))
      const v = { ...good, public: 'video.example.com', ...(type !== undefined && { type }) }
      const { status } = await fetch(url + ACTIVE, {
        method: 'PUT',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ k: 'one', v }),
      })
      return status
    }
    expect(await tell('turn', '')).toBe(403)
    expect(await sys.error(sys.get('/_host?type=turn'))).toBe('503 service_unavailable')
    expect(await tell(undefined, '')).toBe(201)
    expect(await tell('video', '')).toBe(200)
    expect(await tell(undefined, '&type=stream')).toBe(403)
    await sys.ok(sys.delete(`${ACTIVE}?k=one&prefix=_video`))
    expect(await tell('stream', '&type=stream')).toBe(201)
    expect(await sys.ok(sys.get('/_host?type=stream'))).toBe('video.example.com')
    expect(await sys.error(sys.put('/_host/runtime/hosts/token?prefix=_video&type=No'))).toBe(
      '400 bad_request',
    )
  })

  test('of nothing private is possible where nothing is allowed expressly', async () => {
    const closed = await startOpenPlatform({ KV4_SERVICE_ALLOW: '' })
    for (const url of [
      'http://127.0.0.1:9000',
      'http://localhost:9000',
      'http://10.1.2.3:9000',
      'http://192.168.1.1',
      'http://169.254.169.254',
      'http://100.64.0.1:8080',
      'http://0.0.0.0:9000',
      'http://[::1]:9000',
      'http://[fd00::1]:9000',
      'http://[::ffff:10.0.0.1]:9000',
      'http://0x7f000001:9000',
    ])
      expect([
        url,
        await closed.sys.error(closed.sys.put(ACTIVE, { k: 'one', v: { prefix: '_video', url } })),
      ]).toEqual([url, '400 bad_request'])
    await closed.sys.ok(
      closed.sys.put(ACTIVE, { k: 'one', v: { prefix: '_video', url: 'http://93.184.215.14' } }),
    )
    await closed.close()
  })
})

test('`_host?type=` names the least loaded host by what it says that clients reach', async () => {
  const { sys } = platform
  const v = { prefix: '_turn', url: 'http://127.0.0.1:9000' }
  await put('silent', { ...v, load: 0 })
  expect(await sys.error(sys.get('/_host?type=turn'))).toBe('503 service_unavailable')
  await put('one', { ...v, load: 0.9, public: 'turn:one.example.com:3478' })
  await put('two', { ...v, load: 0.1, public: 'turn:two.example.com:3478' })
  expect(await sys.ok(sys.get('/_host?type=turn'))).toBe('turn:two.example.com:3478')
  expect(await sys.ok(sys.get('/_host/best/turn'))).toBe('turn:two.example.com:3478')
})

test('an address is looked at again when the connection is made, whatever the registration said', async () => {
  const { sys } = platform
  await register(platform, { host: 'one', prefix: '_video', url: 'http://127.0.0.1:9000' })
  // As a name that has changed its mind, or a store that somebody has written into.
  for (const url of [
    'http://169.254.169.254',
    'http://[::1]:9000',
    'http://0.0.0.0:9000',
    'http://no-such-name.invalid',
  ]) {
    await platform.engine
      .bucket(BucketName.system)
      .put(
        { ...ACTIVE_HOSTS, key: hostKey('one', 'video') },
        storedHost({ type: 'video', url, load: 0, prefix: '_video', layers: [], salt: 's' }),
        { by: '$sys', ttl: 60_000 },
      )
    expect([url, await sys.error(sys.get('/_video/x'))]).toEqual([url, '503 service_unavailable'])
  }
})

test('a redirect is the caller’s answer: nobody follows it', async () => {
  const { sys, url } = platform
  const secret = await startHost()
  const host = await startHost((_request, response) => {
    response.writeHead(302, { location: `${secret.url}/private` })
    response.end()
  })
  await register(platform, { host: 'one', prefix: '_video', url: host.url })
  const answer = await fetch(`${url}/_video/x`, {
    redirect: 'manual',
    headers: { Authorization: 'Basic ' + Buffer.from(`${sys.user}:${sys.password}`).toString('base64') },
  })
  expect([answer.status, answer.headers.get('location')]).toEqual([302, `${secret.url}/private`])
  expect(secret.seen).toEqual([])
  await host.close()
  await secret.close()
})

test('a host that stops refreshing is out; its service is unavailable, not unknown', async () => {
  const { sys } = platform
  const host = await startHost()
  await register(platform, { host: 'one', prefix: '_video', url: host.url, lapse: 1 })
  expect(await sys.ok(sys.get('/_video/x'))).toBe('served')
  await wait(1_100)
  const answer = await sys.get('/_video/x')
  expect([answer.status, answer.body.v]).toEqual([503, 'service_unavailable'])
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(await sys.error(sys.get('/_host?type=video'))).toBe('503 service_unavailable')
  await host.close()
})

test('the least loaded host gets the call; one that refuses is skipped, and asked again later', async () => {
  const { sys } = platform
  const one = await startHost()
  const two = await startHost()
  await register(platform, { host: 'one', prefix: '_video', url: one.url, load: 0.1 })
  await register(platform, { host: 'two', prefix: '_video', url: two.url, load: 0.9 })
  for (let i = 0; i < 5; i++) await sys.ok(sys.post('/_video/x', {}))
  expect([one.seen.length, two.seen.length]).toEqual([5, 0])

  await one.close()
  for (let i = 0; i < 5; i++) await sys.ok(sys.post('/_video/x', {}))
  expect(two.seen.length).toBe(5)

  // It is back, and is asked again without having said so.
  const again = await startHost(undefined, one.port)
  await until(async () => {
    await sys.ok(sys.get('/_video/x'))
    return again.seen.length > 0
  })

  await again.close()
  await two.close()
  expect(await sys.error(sys.post('/_video/x', {}))).toBe('503 service_unavailable')
  expect(await sys.error(sys.get('/_video/x'))).toBe('503 service_unavailable')
  // A refresh says that it lives: it is asked at once.
  const third = await startHost(undefined, two.port)
  await register(platform, { host: 'two', prefix: '_video', url: third.url, load: 0.9 })
  await sys.ok(sys.get('/_video/x'))
  await third.close()
})

test('of hosts that are equally loaded the one with fewer calls under way is asked', async () => {
  const { sys } = platform
  const held: (() => void)[] = []
  const hosts = await Promise.all(
    [1, 2].map(() => startHost((_request, response) => held.push(() => response.end('{"v":1,"s":"ok"}')))),
  )
  for (const [i, { url }] of hosts.entries())
    await register(platform, { host: `h${i}`, prefix: '_video', url, load: 0.5 })
  const calls = Array.from({ length: 10 }, () => sys.get('/_video/x'))
  while (held.length < 10) await wait(10)
  expect(hosts.map(({ seen }) => seen.length)).toEqual([5, 5])
  for (const release of held) release()
  await Promise.all(calls)
  for (const host of hosts) await host.close()
})

describe('two hosts, each a process of its own', () => {
  const children: ChildProcess[] = []
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
  })

  async function spawnHost(): Promise<{ readonly child: ChildProcess; readonly url: string }> {
    const child = fork(join(__dirname, 'host-process.ts'), [], {
      execArgv: ['-r', join(__dirname, '../../../scripts/typescript.js')],
    })
    children.push(child)
    const [message] = (await once(child, 'message')) as [{ readonly url: string }]
    return { child, url: message.url }
  }

  test('killing the least loaded loses no more than the calls in flight to it', async () => {
    const { sys } = platform
    const [one, two] = await Promise.all([spawnHost(), spawnHost()])
    await register(platform, { host: 'one', prefix: '_video', url: one.url, load: 0.1, lapse: 60 })
    await register(platform, { host: 'two', prefix: '_video', url: two.url, load: 0.9, lapse: 60 })

    let inFlight = 0
    let done = 0
    const lost: string[] = []
    let stopped = false
    const caller = async (method: string) => {
      while (!stopped) {
        inFlight++
        const answer = await sys.call<unknown>(method, '/_video/work', {
          ...(method === 'POST' && { body: { k: 1 } }),
        })
        inFlight--
        if (answer.status === 200) done++
        else lost.push(`${method} ${answer.status} ${JSON.stringify(answer.body.v)}`)
      }
    }
    const callers = Array.from({ length: 16 }, (_, i) => caller(i % 2 === 0 ? 'POST' : 'GET'))
    while (done < 200) await wait(10)
    const atRisk = inFlight
    one.child.kill('SIGKILL')
    await once(one.child, 'exit')
    const after = done
    while (done < after + 400) await wait(10)
    stopped = true
    await Promise.all(callers)
    expect(lost.length).toBeLessThanOrEqual(atRisk)
    // Those that may be made twice have been.
    expect(lost.filter((each) => each !== 'POST 502 "service_failed"')).toEqual([])
  })
})

test('a presence registers, refreshes with its load, and withdraws', async () => {
  const { sys, url } = platform
  const host = await startHost()
  const authorization = `Bearer ${await sys.ok(sys.put<string>('/_host/runtime/hosts/token?prefix=_video'))}`
  let load = 0.25
  const presence = new HostPresence({
    platform: url,
    authorization,
    registration: { host: 'one', prefix: '_video', url: host.url },
    load: () => load,
    refreshMs: 100,
  })
  await presence.start()
  expect(presence.key).toMatch(/^[\w-]{43}$/)
  expect(await sys.ok(sys.get('/_video'))).toBe('served')
  load = 0.75
  await wait(350)
  const [shown] = await sys.ok(sys.get<{ load: number }[]>(`${ACTIVE}?as=values`))
  expect(shown!.load).toBe(0.75)
  await presence.stop()
  expect(await sys.error(sys.get('/_video'))).toBe('404 not_found')

  const refused = new HostPresence({
    platform: url,
    authorization,
    registration: { host: 'one', prefix: '_other', url: host.url },
  })
  await expect(refused.start()).rejects.toThrow('forbidden')
  await host.close()
})

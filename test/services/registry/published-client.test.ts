import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { eventually } from '../../eventually'
import { makeAccount } from '../../server/external/world'
import { startPlatform, type Platform } from '../../platform'

/**
 * The published clients of the Cloud Service Registry, unmodified: sessions, services that they heartbeat themselves,
 * configuration, events, tags, limits, and what goes wrong as their own errors. No registry has them any more, so
 * `KV4_TEST_REGISTRY_CLIENTS` names a folder:
 *
 * - `node_modules/g1` (0.1.13, commit 4d97aa5^ of racker/node-service-registry-client) and `node_modules/g2` (tag v0.2.1),
 *   and beside them what they depend on:
 *   `npm i --ignore-scripts async@0.1 sprintf@0.1 logmagic@0.1 rackspace-shared-utils@0.1 keystone-client@0.3`
 * - `python/g1` and `python/g2` (tags v0.1.9 and v0.2.0 of racker/python-service-registry-client), `python/lib` with the
 *   packages that they import, `python/python2`, a Python 2.7 (a link will do); absent: skipped
 * - `java/g2` with the classes of the module service-registry-client (tag service-registry-parent-2.1.0 of
 *   racker/java-service-registry-client) and `java/lib` with the jars that it needs; absent: skipped. `java` is on the PATH,
 *   11 or later.
 */
const folder = process.env['KV4_TEST_REGISTRY_CLIENTS']
const unset = 'KV4_TEST_REGISTRY_CLIENTS is not set'

/** A suite that needs this part of the folder, or says that it is skipped. */
function withClients(title: string, part: string, body: () => void): void {
  const why = folder === undefined ? unset : existsSync(join(folder, part)) ? '' : `no ${part}/ there`
  const suite = why === '' ? describe : describe.skip
  suite(`${title}${why && ` (skipped: ${why})`}`, body)
}

interface HeartBeater {
  start(): void
  stop(): void
}

interface Poller {
  _pollInterval: number
  on(type: string, heard: (event: { readonly payload: { readonly [name: string]: unknown } }) => void): void
  start(): void
  stop(): void
}

/** Callbacks last: `(error, …results)`. */
type Part = Readonly<Record<string, (...args: unknown[]) => void>>

interface PublishedClient {
  readonly sessions: Part
  readonly services: Part
  readonly configuration: Part
  readonly account: Part
  readonly views: Part
  readonly events: { getPoller(): Poller }
}

const TYPES = [
  'service.join',
  'service.timeout',
  'service.remove',
  'configuration_value.update',
  'configuration_value.remove',
]

function called(part: Part, method: string, ...args: unknown[]): Promise<readonly unknown[]> {
  return new Promise((resolve, reject) =>
    part[method]!(...args, (error: unknown, ...results: unknown[]) => {
      if (error === null || error === undefined) resolve(results)
      else reject(error instanceof Error ? error : new Error(JSON.stringify(error)))
    }),
  )
}

function isHeartBeater(value: unknown): value is HeartBeater {
  return typeof (value as HeartBeater | undefined)?.start === 'function'
}

withClients('published clients', 'node_modules', () => {
  const load = createRequire(join(folder ?? __dirname, 'package.json'))
  let platform: Platform
  beforeAll(async () => {
    platform = await startPlatform()
  })
  afterAll(() => platform.close())

  async function connect(generation: 'g1' | 'g2', account: string) {
    const apiKey = await makeAccount(platform.sys, account)
    const { Client } = load(generation) as {
      Client: new (user: string, key: string, region: string, options: object) => PublishedClient
    }
    const authUrl = `${platform.url}/v2.0`
    const { KeystoneClient } = load('keystone-client') as {
      KeystoneClient: new (url: string, options: object) => object
    }
    const client = new Client(account, apiKey, 'us', {
      url: `${platform.url}/v1.0`,
      authUrl,
      // 0.2.1 looks for a variable that is not there unless it is given one.
      ...(generation === 'g2' && {
        keystoneClient: new KeystoneClient(authUrl, { username: account, apiKey, cacheTokenFor: 600 }),
      }),
    })
    const heard: string[] = []
    const poller = client.events.getPoller()
    poller._pollInterval = 200
    for (const type of TYPES)
      poller.on(type, ({ payload }) =>
        heard.push(`${type} ${String(payload['id'] ?? payload['configuration_value_id'])}`),
      )
    poller.start()
    return { client, heard, poller }
  }

  async function configure({ configuration, account }: PublishedClient): Promise<void> {
    const id = '/production/cassandra/listen_ip'
    await called(configuration, 'set', id, '127.0.0.1')
    expect(await called(configuration, 'get', id)).toEqual(['127.0.0.1'])
    const [listed] = await called(configuration, 'listForNamespace', '/production/cassandra', {})
    expect(listed).toEqual([{ id, value: '127.0.0.1' }])
    await called(configuration, 'remove', id)
    expect(await called(account, 'getLimits')).toMatchObject([{ resource: { service: 200 } }])
  }

  const EVENTS = [
    'service.join web-1',
    'configuration_value.update /production/cassandra/listen_ip',
    'configuration_value.remove /production/cassandra/listen_ip',
    'service.timeout web-1',
  ]
  const WEB = { tags: ['web'], metadata: { region: 'dfw' } }

  test('of sessions (0.1.13) keeps a session alive, and hears of its end', async () => {
    const { client, heard, poller } = await connect('g1', 'sessions')
    const made = await called(client.sessions, 'create', 3, { metadata: { a: 'b' } })
    const id = made.find((each) => typeof each === 'string')
    const beater = made.find(isHeartBeater)!
    await called(client.services, 'create', id, 'web-1', WEB)
    beater.start()
    await wait(6_500)
    expect(await called(client.services, 'get', 'web-1')).toEqual([{ id: 'web-1', session_id: id, ...WEB }])
    expect(await called(client.views, 'getOverview', {})).toMatchObject([
      [{ session: { id }, services: [{ id: 'web-1' }] }],
    ])
    await configure(client)
    beater.stop()
    await eventually(() => expect(heard).toEqual(EVENTS))
    poller.stop()
  }, 60_000)

  test('of services (0.2.1) keeps a service alive, and hears of its end', async () => {
    const { client, heard, poller } = await connect('g2', 'services')
    const beater = (await called(client.services, 'register', 'web-1', 3, WEB, {})).find(isHeartBeater)!
    beater.start()
    await wait(6_500)
    expect(await called(client.services, 'get', 'web-1')).toMatchObject([
      { id: 'web-1', heartbeat_timeout: 3, ...WEB },
    ])
    await called(client.services, 'update', 'web-1', { tags: ['web', 'www'] })
    const [tagged] = await called(client.services, 'listForTag', 'www', {})
    expect(tagged).toMatchObject([{ id: 'web-1', tags: ['web', 'www'] }])
    await configure(client)
    beater.stop()
    await eventually(() => expect(heard).toEqual(EVENTS))
    poller.stop()
  }, 60_000)
})

/** A line that a driver printed: its step, and what came of it. */
type Step = readonly [step: string, told: Readonly<Record<string, unknown>>]

const drivers = join(__dirname, 'clients')
const ROOM = 4

/** What a driver prints when it is run for an account that may have four services. */
async function driven(
  { sys, url }: Platform,
  account: string,
  command: (...args: string[]) => readonly [file: string, args: string[], env?: NodeJS.ProcessEnv],
): Promise<readonly Step[]> {
  const apiKey = await makeAccount(sys, account)
  await sys.put('/_reg/limits', { k: account, v: { resource: { service: ROOM } } })
  const [file, args, env = {}] = command(url, account, apiKey)
  const { stdout } = await promisify(execFile)(file, args, { env: { ...process.env, ...env } })
  return stdout
    .trim()
    .split('\n')
    .map((line): Step => {
      const { step, ...told } = JSON.parse(line) as {
        readonly step: string
        readonly [name: string]: unknown
      }
      return [step, told]
    })
}

const id = '/production/cassandra/listen_ip'
const port = '/production/cassandra/port'
const web = { tags: ['web'], metadata: { region: 'dfw' } }
const missing = (kind: string, key: string) =>
  [
    404,
    'notFoundError',
    'object does not exist',
    `Object "${kind}" with key "${key}" does not exist`,
  ] as const
const parameter = (name: string) => {
  const text = `Invalid value for '${name}' query string parameter`
  return [400, 'badRequest', text, text] as const
}
const invalid = (key: string, details: string) =>
  [400, 'badRequest', `Validation error for key '${key}'`, details] as const
const taken = [
  400,
  'serviceWithThisIdExists',
  'Service with id web-1 already exists.',
  'Service with id web-1 already exists.',
] as const
const full = [
  400,
  'limitReached',
  'Resource limit has been reached',
  `Limit for resource service has been reached. Maximum allowed objects: ${ROOM}`,
] as const
type FaultTold = readonly [code: number, type: string, message: string, details: string]
const resource = { session: 100, service: ROOM, configuration_value: 1000 }
const uuid = { token: expect.stringMatching(/^[0-9a-f]{8}-/) as string }

withClients('the published Python client', 'python', () => {
  let platform: Platform
  beforeAll(async () => {
    platform = await startPlatform()
  })
  afterAll(() => platform.close())

  const run = (generation: 'g1' | 'g2', account: string) =>
    driven(platform, account, (...args) => {
      const at = join(folder!, 'python')
      const env = {
        PYTHONPATH: `${join(at, generation)}:${join(at, 'lib')}`,
        PYTHONDONTWRITEBYTECODE: '1',
        PYTHONIOENCODING: 'utf-8',
      }
      return [join(at, 'python2'), [join(drivers, 'drive.py'), ...args], env]
    })
  const ok = (step: string, result: unknown = true): Step => [step, { result }]
  const fault = (step: string, [code, type, message, details]: FaultTold): Step => [
    step,
    { raised: 'ValidationError', code, type, message, details, txnId: expect.any(String) as string },
  ]
  const event = (type: string, payload: unknown): Step => ['event', { type, payload }]
  const paged = (step: string, ids: readonly string[], sizes: readonly number[]): Step => [
    step,
    { ids, sizes },
  ]

  const BEGINNING: readonly Step[] = [
    ok('limits', { resource, rate: { '/.*': { limit: 500000, used: 1, window: '24.0 hours' } } }),
    ['a stale token', { raised: 'APIError', text: 'API returned 401' }],
    ok('the call after it', ['rate', 'resource']),
    [
      'a wrong key',
      { raised: 'InvalidCredentialsError', text: expect.stringContaining('incorrect') as string },
    ],
    fault('a missing service', missing('Service', 'nobody')),
    fault('a bad service id', parameter('serviceId')),
    fault('a bad tag', parameter('tag')),
    fault('a bad limit', [
      400,
      'invalidLimit',
      'Invalid limit',
      'Invalid limit 1001. Minimum limit is 1 and maximum limit is 1000.',
    ]),
    fault('a bad marker', [400, 'badRequest', 'Invalid UUID', 'Invalid UUID']),
    fault('a missing value', missing('ConfigurationValue', 'nothing')),
    fault('a value too long', invalid('value', 'String is not in range (1..1024)')),
    fault('a bad namespace', parameter('configurationId')),
    ok(`set ${id}`),
    ok(`set ${port}`),
    ok('set bare'),
    ok(`set ${id}`),
    ok(`get ${id}`, { id, value: '::1' }),
    ok('get bare', { id: 'bare', value: 'grün' }),
    paged('list', [id, port, 'bare'], [2, 1]),
    paged('list of a namespace', [id, port], [2]),
    paged('list of a namespace without slashes', [id, port], [2]),
    ok(`remove ${id}`),
    ok('remove bare'),
    fault('remove what is gone', missing('ConfigurationValue', 'bare')),
  ]
  const LISTS: readonly Step[] = [
    paged('services', ['web-1', 'web-2', 'web-3'], [2, 1]),
    paged('services by tag', ['web-1', 'web-2', 'web-3'], [2, 1]),
  ]
  const update = 'configuration_value.update'
  const remove = 'configuration_value.remove'
  const CONFIGURED: readonly Step[] = [
    event(update, { configuration_value_id: id, old_value: null, new_value: '127.0.0.1' }),
    event(update, { configuration_value_id: port, old_value: null, new_value: '9160' }),
    event(update, { configuration_value_id: 'bare', old_value: null, new_value: 'grün' }),
    event(update, { configuration_value_id: id, old_value: '127.0.0.1', new_value: '::1' }),
    event(remove, { configuration_value_id: id, old_value: '::1' }),
    event(remove, { configuration_value_id: 'bare', old_value: 'grün' }),
  ]

  test('of sessions (0.1.9) finds what it reads, in all that it offers', async () => {
    const session_id = expect.stringMatching(/^se\w{8}$/) as string
    const service = (name: string) => ({ id: name, session_id, ...web })
    expect(await run('g1', 'pysessions')).toEqual([
      ...BEGINNING,
      ok('create a session', [uuid, session_id]),
      ok('heartbeat', uuid),
      fault('heartbeat with a bad token', invalid('token', 'Invalid UUID')),
      ok('create', 'web-1'),
      fault('create what is there', taken),
      fault('create in no session', missing('Session', 'seNobody00')),
      ['heartbeater', { beats: 3 }],
      ok('get', service('web-1')),
      ...['web-2', 'web-3', 'web-4'].map((name) => ok(`register ${name}`, name)),
      fault('register too many', full),
      ok('update'),
      ok('get web-2', { ...service('web-2'), tags: ['web', 'www'] }),
      ok('remove'),
      ok('update a session'),
      ok('get a session', { id: session_id, heartbeat_timeout: 90, last_seen: null, metadata: {} }),
      fault('a missing session', missing('Session', 'seNobody00')),
      fault('a bad timeout', invalid('heartbeat_timeout', 'Value out of range (3..120)')),
      ['sessions are', { both: true }],
      ...LISTS,
      ...CONFIGURED,
      ...['web-1', 'web-2', 'web-3', 'web-4'].map((name) => event('service.join', service(name))),
      event('service.remove', service('web-4')),
      event('services.timeout', [service('web-1')]),
    ])
  }, 120_000)

  test('of services (0.2.0) finds what it reads, in all that it offers', async () => {
    const service = (name: string, heartbeat_timeout = 60) => ({ id: name, heartbeat_timeout, ...web })
    expect(await run('g2', 'pyservices')).toEqual([
      ...BEGINNING,
      ok('create', [uuid]),
      fault('create what is there', taken),
      fault('create with a long name', invalid('id', 'String is not in range (3..65)')),
      ok('heartbeat', uuid),
      fault('heartbeat with a bad token', invalid('token', 'Invalid UUID')),
      fault('heartbeat of another service', missing('Service', 'web-2')),
      ['heartbeater', { beats: 3 }],
      ok('get', { ...service('web-1', 3), last_seen: expect.any(Number) as number }),
      ['register what is there', { raised: 'IndexError', text: 'tuple index out of range' }],
      ...['web-2', 'web-3', 'web-4'].map((name) => ok(`register ${name}`, [uuid])),
      fault('register too many', full),
      ok('update'),
      ok('update with nothing'),
      fault('update with a bad tag', invalid('tags', 'String is not in range (1..55)')),
      ok('get web-2', { ...service('web-2', 90), tags: ['web', 'www'], last_seen: null }),
      ok('remove'),
      fault('remove what is gone', missing('Service', 'web-4')),
      ...LISTS,
      ...CONFIGURED,
      event('service.join', service('web-1', 3)),
      ...['web-2', 'web-3', 'web-4'].map((name) => event('service.join', service(name))),
      event('service.remove', service('web-4')),
      event('service.timeout', service('web-1', 3)),
    ])
  }, 120_000)
})

withClients('the published Java client', 'java', () => {
  let platform: Platform
  beforeAll(async () => {
    platform = await startPlatform()
  })
  afterAll(() => platform.close())

  const ok = (step: string, result: unknown = 'done'): Step => [step, { result }]
  // Its own class hides the message from it.
  const fault = (step: string, [code, type, , details]: FaultTold): Step => [
    step,
    {
      raised: 'ValidationException',
      code,
      type,
      message: null,
      details,
      txnId: expect.any(String) as string,
    },
  ]
  const event = (type: string, told: object = {}): Step => ['event', { event: { type, ...told } }]
  // What is missing is an object without anything to it.
  const NOBODY = { id: null, heartbeat_timeout: null, lastSeen: null, tags: null, metadata: null }

  test('of services (2.1.0) finds what it reads, in all that it offers', async () => {
    const told = await driven(platform, 'javaservices', (...args) => [
      'java',
      [
        // Of Java 17 its gson may not set the fields of its own exception otherwise.
        ...['--add-opens', 'java.base/java.lang=ALL-UNNAMED'],
        ...['--class-path', `${join(folder!, 'java', 'g2')}:${join(folder!, 'java', 'lib', '*')}`],
        join(drivers, 'Drive.java'),
        ...args,
      ],
    ])
    const service = (name: string, heartbeat_timeout: number) => ({
      id: name,
      heartbeat_timeout,
      lastSeen: null,
      ...web,
    })
    const notUtf8 = 'Failed to parse request body: not UTF-8'
    const update = 'configuration_value.update'
    expect(told).toEqual([
      ['a wrong key', { raised: 'Exception', text: 'Unexpected status code: 401' }],
      ok('limits', resource),
      ok('rates', ['/.*']),
      ['the token is kept', { same: true }],
      ['the token ends', { hours: 24, withinItsLife: true }],
      ok('a stale token', resource),
      ok('a stale token with a body'),
      ok('set'),
      ok('set with its slash'),
      // It sends Latin-1.
      fault('set bare', [400, 'badRequest', notUtf8, notUtf8]),
      ok('get', { id, value: '::1' }),
      ok('get with its slash', { id, value: '::1' }),
      ok('get bare', { id: 'bare', value: 'stale' }),
      ok('get what is missing', { id: null, value: null }),
      fault('set too long', invalid('value', 'String is not in range (1..1024)')),
      fault('set in a bad namespace', parameter('configurationId')),
      // It reads them into a class that is abstract, and takes the error for the end.
      ['list', { ids: [] }],
      ['list of a namespace', { ids: [] }],
      ['remove', { status: 204 }],
      ['heartbeater', { heard: Array<string>(6).fill('ack 200'), last: 'stopped 200' }],
      ok('get', service('web-1', 8)),
      ok('get what is missing', NOBODY),
      fault('get a bad id', parameter('serviceId')),
      fault('create what is there', taken),
      fault('create with a long name', invalid('id', 'String is not in range (3..65)')),
      fault('create with a bad timeout', invalid('heartbeat_timeout', 'Value out of range (3..120)')),
      ...['web-2', 'web-3', 'web-4'].map((name) => ok(`create ${name}`)),
      fault('create too many', full),
      ['list', { ids: ['web-1', 'web-2', 'web-3', 'web-4'] }],
      ['list without options', { ids: ['web-1', 'web-2', 'web-3', 'web-4'] }],
      ok('update'),
      ok('get web-2', { ...service('web-2', 60), tags: ['www'] }),
      ['list by tag', { ids: ['web-1', 'web-3', 'web-4'] }],
      ['list by a bad tag', { ids: [] }],
      ok('delete'),
      ok('create without tags'),
      ok('get web-5', { ...service('web-5', 60), tags: [], metadata: {} }),
      ok('delete what is gone'),
      ['heartbeater of what is gone', { heard: 'stopped 404' }],
      event(update, { id: 'bare', old: null, new: 'stale' }),
      event(update, { id, old: null, new: '127.0.0.1' }),
      event(update, { id, old: '127.0.0.1', new: '::1' }),
      event('configuration_value.remove', { id: 'bare', old: 'stale' }),
      ...Array<Step>(4).fill(event('service.join')),
      event('service.remove'),
      event('service.join'),
      event('service.timeout'),
    ])
  }, 120_000)
})

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { makeAccount } from '../../server/external/world'
import { startPlatform, type Platform } from '../../platform'

/**
 * The published Node client of the Cloud Service Registry, unmodified, of both generations: sessions, services that it
 * heartbeats itself, configuration, the poller of events, tags, limits. It left the npm registry, so
 * `KV4_TEST_REGISTRY_CLIENTS` names a folder with `node_modules/g1` (0.1.13, commit 4d97aa5^ of
 * racker/node-service-registry-client) and `node_modules/g2` (tag v0.2.1), and beside them what they depend on:
 * `npm i --ignore-scripts async@0.1 sprintf@0.1 logmagic@0.1 rackspace-shared-utils@0.1 keystone-client@0.3`.
 */
const folder = process.env['KV4_TEST_REGISTRY_CLIENTS']
const withClients = folder === undefined ? describe.skip : describe

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

withClients(
  `published clients${folder === undefined ? ' (skipped: KV4_TEST_REGISTRY_CLIENTS is not set)' : ''}`,
  () => {
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

    async function until(heard: readonly string[], last: string): Promise<void> {
      const end = Date.now() + 15_000
      while (heard.at(-1) !== last && Date.now() < end) await wait(50)
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
      await until(heard, EVENTS.at(-1)!)
      poller.stop()
      expect(heard).toEqual(EVENTS)
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
      await until(heard, EVENTS.at(-1)!)
      poller.stop()
      expect(heard).toEqual(EVENTS)
    }, 60_000)
  },
)

import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { PrincipalToken, TokenPurpose } from '../auth'
import { BucketName } from '../core'
import { MOUNTS } from '../services/catalog'
import { METHODS } from '../services/module'
import type { Access, Route, Service } from '../services/module'
import { basic, openWorld, SYS_SECRET, type Answer, type Ask, type World } from './server/world'
import { send } from './services/applications/world'

/**
 * Every route of every service, of one that runs elsewhere and of every mount, asked by everybody: the access that it
 * declares is the access that it has.
 */

let world: World
let elsewhere: Server
/** Credentials that are good, and the bucket in which each acts. */
const guests = new Map<string, { readonly as: string; readonly bucket: string }>()
/** Tokens that are good, and what each is for. */
const bearers = new Map<string, { readonly token: string; readonly purpose: PrincipalToken['purpose'] }>()
/** Credentials that are not, and none. */
const strangers = new Map<string, string | undefined>()
/** Tokens that are good for nothing here. */
const forgers = new Map<string, string>()

/** What a service that runs elsewhere registered; its tokens open these layers, and no others. */
const LAYERS = ['*echo', '*stats:echo:sess']

const bearing = (token: string): Ask => ({ headers: { Authorization: `Bearer ${token}` } })

beforeAll(async () => {
  world = await openWorld(
    { KV4_SERVICE_ALLOW: '127.0.0.0/8' },
    { throttle: { perAddress: 1e6, perAccountAndAddress: 1e6, delayAfter: 1e6 } },
  )
  const sys = `$sys:${SYS_SECRET}`
  const make = async (as: string, k: string): Promise<string> => {
    const body = { k, v: { email: `${k}@async.cl` } }
    const { json } = await world.ask('PUT', '/_acc/accounts', { as, body })
    return (json as { v: { secret: string } }).v.secret
  }
  const admin = (as: string, k: string, password: string): Promise<Answer> =>
    world.ask('PUT', '/_acc/users/admins', { as, body: { k, v: { password } } })
  const deactivate = (as: string, k: string): Promise<Answer> =>
    world.ask('POST', '/_acc/accounts', { as, body: { k, v: { active: false } } })

  const elena = await make(sys, 'elena')
  const otto = await make(sys, 'otto')
  const lily = await make(`elena:${elena}`, 'lily')
  const rose = await make(`elena:${elena}`, 'rose')
  const gone = await make(sys, 'gone')
  const kid = await make(`gone:${gone}`, 'kiddo')
  const late = await make(sys, 'late')
  await admin(sys, 'ops', 'operator')
  await admin(`elena:${elena}`, 'boss', 'elenas boss')
  await admin(`elena#lily:${lily}`, 'boss', 'lilys boss')
  await admin(`gone:${gone}`, 'boss', 'gones boss')

  const { tokens } = world.server.context
  const holder = (account: string, sub?: string) => ({
    account,
    ...(sub !== undefined && { sub }),
    bucket: account === '$sys' ? BucketName.system : BucketName.of(account, sub),
    login: sub ?? account,
  })
  const issue = (purpose: TokenPurpose, of: ReturnType<typeof holder>, user: string, seconds = 0) =>
    tokens.issue(purpose, { principal: of, user, scope: { prefix: '_echo', layers: LAYERS } }, seconds)
  const bearer = async (name: string, purpose: PrincipalToken['purpose'], of: ReturnType<typeof holder>) =>
    bearers.set(name, { purpose, token: await issue(purpose, of, name) })
  await bearer('a host, by a token of the system', 'host', holder('$sys'))
  await bearer('a service, for a primary', 'service', holder('elena'))
  await bearer('a service, for a sub-account', 'service', holder('elena', 'lily'))
  await bearer('a service, for the system', 'service', holder('$sys'))

  const good = bearers.get('a service, for a primary')!.token
  forgers.set('a token for the signalling socket', await issue('signal', holder('elena'), 'rt'))
  forgers.set('a token for the socket, of the system', await issue('signal', holder('$sys'), 'rt'))
  forgers.set('a token that has expired', await issue('service', holder('elena'), 'rt', 0.001))
  forgers.set('a token that was revoked', await issue('service', holder('elena'), 'revoked'))
  await tokens.revoke(BucketName.of('elena'), undefined, 'revoked', 'elena')
  forgers.set(
    'a token that was altered',
    // Not the last character, of which two bits say nothing.
    good.replace(/.(?=.$)/, (one) => (one === 'A' ? 'B' : 'A')),
  )
  forgers.set('a token without a signature', good.replace(/[^.]*$/, ''))
  forgers.set('a token of a deactivated primary', await issue('service', holder('gone'), 'rt'))
  forgers.set('… of its sub-account', await issue('service', holder('gone', 'kiddo'), 'rt'))
  forgers.set('a token of a deactivated sub-account', await issue('service', holder('elena', 'rose'), 'rt'))
  forgers.set('a token of a deleted account', await issue('service', holder('late'), 'rt'))
  forgers.set('the secret of the system', SYS_SECRET)
  forgers.set('the secret of a primary', elena)

  await deactivate(`elena:${elena}`, 'rose')
  await deactivate(sys, 'gone')
  await world.ask('DELETE', '/_acc/accounts?k=late', { as: sys })

  const guest = (name: string, as: string, bucket: string) => guests.set(name, { as, bucket })
  guest('the system', sys, '$sys')
  guest('an administrator of the system', '$sys:ops#operator', '$sys')
  guest('a primary', `elena:${elena}`, 'elena')
  guest('an administrator of a primary', 'elena:boss#elenas boss', 'elena')
  guest('another primary', `otto:${otto}`, 'otto')
  guest('a sub-account', `elena#lily:${lily}`, 'lily')
  guest('a primary on behalf of a sub-account', `elena#lily:!${elena}`, 'lily')
  guest('an administrator of a sub-account', 'elena#lily:boss#lilys boss', 'lily')
  guest('an administrator of a primary on behalf of a sub-account', 'elena#lily:!boss#elenas boss', 'lily')

  strangers.set('no credential', undefined)
  strangers.set('nobody', `nobody:${elena}`)
  strangers.set('a primary with the secret of another', `elena:${otto}`)
  strangers.set('a primary in place of the system', `$sys:${elena}`)
  strangers.set('the system in place of a primary', `elena:${SYS_SECRET}`)
  strangers.set('another primary on behalf of a sub-account', `elena#lily:!${otto}`)
  strangers.set('a sub-account of another primary', `otto#lily:${lily}`)
  strangers.set('a sub-account without its primary', `lily:${lily}`)
  strangers.set('the secret of the parent without !', `elena#lily:${elena}`)
  strangers.set('the secret of a sibling', `elena#lily:${rose}`)
  strangers.set('a deactivated sub-account', `elena#rose:${rose}`)
  strangers.set('a primary on behalf of a deactivated sub-account', `elena#rose:!${elena}`)
  strangers.set('a deactivated primary', `gone:${gone}`)
  strangers.set('an administrator of a deactivated primary', 'gone:boss#gones boss')
  strangers.set('a sub-account of a deactivated primary', `gone#kiddo:${kid}`)
  strangers.set('a deleted account', `late:${late}`)
  strangers.set('an administrator of a primary in its sub-account, without !', 'elena#lily:boss#elenas boss')
  strangers.set('an administrator of a sub-account in its primary', 'elena:boss#lilys boss')

  elsewhere = createServer((request, response) => {
    request.resume()
    response.setHeader('Content-Type', 'application/json').end('{"v":"served","s":"ok"}')
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => elsewhere.once('listening', resolve))
  const url = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`
  const registration = { prefix: '_echo', url, layers: LAYERS, lapse: 300 }
  const { status } = await world.ask('PUT', '/_host/runtime/hosts/active', {
    as: sys,
    body: { k: 'echo', v: registration },
  })
  expect(status).toBe(201)
})
afterAll(async () => {
  await world.close()
  elsewhere.closeAllConnections()
  elsewhere.close()
})

const SYSTEM = ['the system', 'an administrator of the system']
const HOLDERS = [...SYSTEM, 'a primary', 'an administrator of a primary', 'another primary']
const MAY: Readonly<Record<Exclude<Access, 'public'>, (guest: string) => boolean>> = {
  account: () => true,
  holder: (guest) => HOLDERS.includes(guest),
  system: (guest) => SYSTEM.includes(guest),
}

/** Narrower than the route's rule, decided by the route itself. */
function refusesItself(service: Service, { method, at }: Route, guest: string): boolean {
  if (service.name === 'reg' && at === '/limits' && method === 'GET') return !guest.includes('system')
  return service.name === 'acc' && at === '/self' && method === 'POST' && guest.includes('administrator')
}

/** In a form that changes nothing that the next one needs. */
function ask(service: Service, { method, at }: Route, how: Ask, layer?: string): Promise<Answer> {
  const named = layer === undefined ? '' : `&l=${layer}`
  const path = `/${service.prefix}${at ?? '/nobody/there'}?k=nobody-there${named}`
  return world.ask(method, path, {
    ...how,
    ...((method === 'PUT' || method === 'POST' || method === 'PATCH') && { body: {} }),
  })
}

const asking = (as: string | undefined): Ask => (as === undefined ? {} : { as })

const routes = (): (readonly [Service, Route])[] =>
  world.server.services.flatMap((service) => service.routes.map((route) => [service, route] as const))

const title = (service: Service, { method, at = '' }: Route) => `${method} ${service.prefix}${at}`

/** Everybody who is to be let in nowhere. */
const outsiders = (): (readonly [string, Ask])[] => [
  ...[...strangers].map(([who, as]) => [who, asking(as)] as const),
  ...[...forgers].map(([who, token]) => [who, bearing(token)] as const),
]

function expectStranger(seen: object, { status, json, headers }: Answer): void {
  const found = { ...seen, status, json: json as unknown }
  expect(found).toEqual({ ...found, status: 401, json: { v: 'unauthorized', s: 'error' } })
  expect(headers['www-authenticate']).toMatch(/^Basic /)
}

it('refuses every stranger alike, on every route that is not public', async () => {
  let asked = 0
  for (const [service, route] of routes()) {
    if (route.access === 'public') continue
    for (const [who, how] of outsiders()) {
      expectStranger({ route: title(service, route), who }, await ask(service, route, how))
      asked++
    }
  }
  expect(asked).toBeGreaterThan(15 * outsiders().length)
})

it('lets every guest in where the rule of the route says so, and nowhere else', async () => {
  for (const [service, route] of routes()) {
    if (route.access === 'public') continue
    for (const [who, { as }] of guests) {
      const { status, json } = await ask(service, route, { as })
      const may = MAY[route.access](who) && !refusesItself(service, route, who)
      const seen = { route: title(service, route), who, may: status !== 403 }
      expect(seen).toEqual({ ...seen, may })
      expect(status).not.toBe(401)
      expect(status).toBeLessThan(500)
      if (!may) expect(json).toMatchObject({ v: 'forbidden', s: 'error' })
    }
  }
})

it('lets the bearer of a token in where the route asks for such tokens, and nowhere else', async () => {
  const opened = new Set<string>()
  for (const [service, route] of routes()) {
    if (route.access === 'public') continue
    for (const [who, { token, purpose }] of bearers) {
      const layer = service.name === 'stats' ? 'echo:sess' : '*echo'
      const { status, json } = await ask(service, route, bearing(token), layer)
      const may = route.tokens?.includes(purpose) === true
      const seen = { route: title(service, route), who, may: status !== 403 }
      expect(seen).toEqual({ ...seen, may })
      expect(status).not.toBe(401)
      expect(status).toBeLessThan(500)
      if (may) opened.add(purpose)
      else expect(json).toMatchObject({ v: 'forbidden', s: 'error' })
    }
  }
  expect([...opened].sort()).toEqual(['host', 'service'])
})

it('lets nobody watch what he may not read', async () => {
  let watchable = 0
  for (const [service, route] of routes()) {
    if (route.watch === undefined || route.access === 'public') continue
    watchable++
    const at = `/${service.prefix}${route.at ?? '/nobody/there'}?watch=1&wait=0&k=nobody-there`
    const get = (how: Ask, layer: string) => world.ask('GET', `${at}&l=${encodeURIComponent(layer)}`, how)
    const layer = service.name === 'stats' ? 'echo:sess' : '*echo'
    const own = service.name === 'stats' ? 'hits' : '*data'
    for (const [who, how] of outsiders())
      expectStranger({ route: title(service, route), who }, await get(how, own))
    for (const [who, { as }] of guests) {
      const { status } = await get({ as }, own)
      const may = MAY[route.access](who)
      const seen = { route: title(service, route), who, may: status !== 403 }
      expect(seen).toEqual({ ...seen, may })
      expect(status).toBeLessThan(500)
    }
    for (const [who, { token, purpose }] of bearers) {
      const { status } = await get(bearing(token), layer)
      const may = route.tokens?.includes(purpose) === true
      const seen = { route: title(service, route), who, may: status !== 403 }
      expect(seen).toEqual({ ...seen, may })
    }
  }
  expect(watchable).toBeGreaterThan(10)
}, 60_000)

it('keeps the bearer of a token of a service to the layers of that service', async () => {
  const { token } = bearers.get('a service, for a primary')!
  for (const l of ['*data', '*acc', '*echo2', 'mine', '']) {
    const { status } = await world.ask('GET', `/_data/x?l=${encodeURIComponent(l)}`, bearing(token))
    expect([l, status]).toEqual([l, 403])
  }
})

describe('a service that runs elsewhere', () => {
  it('is asked for guests only, by any method', async () => {
    for (const method of METHODS) {
      for (const [who, how] of outsiders())
        expectStranger({ method, who }, await world.ask(method, '/_echo/room', how))
      for (const [who, { as }] of guests) {
        const { status, json } = await world.ask(method, '/_echo/room', { as })
        expect([who, status, json]).toEqual([who, 200, { v: 'served', s: 'ok' }])
      }
      for (const [who, { token }] of bearers) {
        const { status } = await world.ask(method, '/_echo/room', bearing(token))
        expect([who, status]).toEqual([who, 403])
      }
    }
  })
})

describe('the API of V2', () => {
  const mount = () =>
    MOUNTS.map((factory) => factory(world.server.context)).find(({ name }) => name === 'v2')!
  /** Each URL that asks for a credential, read off the patterns. */
  const endpoints = () =>
    mount().routes.flatMap(({ methods, pattern, summary }) =>
      summary.endsWith('By `ident` and `secret`.')
        ? /\(\?:(.*)\)/
            .exec(pattern.source)![1]!
            .replaceAll('\\/', '/')
            .split('|')
            .flatMap((at) => methods.map((method) => [method, '/' + at] as const))
        : [],
    )
  const said = async (method: string, at: string, as: string | undefined, headers = {}) => {
    const colon = as?.indexOf(':') ?? 0
    const query = new URLSearchParams(
      as === undefined ? {} : { ident: as.slice(0, colon), secret: as.slice(colon + 1) },
    )
    const { status, json } = await world.ask(method, `${at}?${query.toString()}`, { headers })
    return { status, ...(json as { readonly s: number; readonly e: string | null; readonly d: unknown }) }
  }

  it('refuses every stranger alike, and takes no other credential', async () => {
    expect(endpoints().length).toBeGreaterThan(15)
    for (const [method, at] of endpoints()) {
      const refused = { status: 200, s: 401, e: 'unauthorized', d: null }
      for (const [who, as] of strangers)
        expect({ who, at, ...(await said(method, at, as)) }).toMatchObject({ who, at, ...refused })
      const tokens = [...forgers.values(), ...[...bearers.values()].map(({ token }) => token)]
      for (const token of tokens) {
        expect(await said(method, at, `otto:${token}`)).toMatchObject(refused)
        expect(await said(method, at, undefined, bearing(token).headers)).toMatchObject(refused)
      }
      for (const { as } of guests.values())
        expect(await said(method, at, undefined, { Authorization: basic(as) })).toMatchObject(refused)
    }
  })

  it('lets every guest in', async () => {
    for (const [method, at] of endpoints())
      for (const [who, { as }] of guests) {
        const { s, e } = await said(method, at, as)
        expect({ who, at, s, e }).not.toMatchObject({ s: 401 })
        expect({ who, at, s, e }).not.toMatchObject({ s: 403 })
      }
  })
})

describe('the registry at /v1.0', () => {
  const SAMPLES: readonly (readonly [string, string])[] = [
    ['GET', '/limits'],
    ['GET', '/events'],
    ['GET', '/sessions'],
    ['POST', '/sessions'],
    ['GET', '/sessions/seABCDEFGH'],
    ['PUT', '/sessions/seABCDEFGH'],
    ['POST', '/sessions/seABCDEFGH/heartbeat'],
    ['GET', '/views/overview'],
    ['GET', '/services'],
    ['POST', '/services'],
    ['GET', '/services/nobody-there'],
    ['PUT', '/services/nobody-there'],
    ['DELETE', '/services/nobody-there'],
    ['POST', '/services/nobody-there/heartbeat'],
    ['GET', '/configuration'],
    ['GET', '/configuration/nobody-there'],
    ['PUT', '/configuration/nobody-there'],
    ['DELETE', '/configuration/nobody-there'],
    ['PATCH', '/unknown'],
    ['PROPFIND', '/services'],
  ]
  interface Access {
    readonly token: { readonly id: string; readonly tenant: { readonly id: string } }
  }
  const login = async (as: string): Promise<Answer> => {
    const colon = as.indexOf(':')
    const credentials = { username: as.slice(0, colon), apiKey: as.slice(colon + 1) }
    return world.ask('POST', '/v2.0/tokens', {
      body: { auth: { 'RAX-KSKEY:apiKeyCredentials': credentials } },
    })
  }
  const accessOf = async (as: string): Promise<Access> =>
    ((await login(as)).json as { readonly access: Access }).access
  const call = ([method, at]: readonly [string, string], tenant: string, token?: string, how: Ask = {}) =>
    world.ask(method, `/v1.0/${tenant}${at}`, {
      ...((method === 'PUT' || method === 'POST') && { body: {} }),
      headers: { ...how.headers, ...(token !== undefined && { 'X-Auth-Token': token }) },
    })
  const REFUSED = { type: 'unauthorizedError', code: 401, message: 'forbidden' }

  it('is asked here by every route that it has', () => {
    const mount = MOUNTS.map((factory) => factory(world.server.context)).find(
      ({ name }) => name === 'service-registry',
    )!
    for (const { methods, pattern } of mount.routes)
      expect([
        pattern.source,
        ['/v2.0/tokens', ...SAMPLES.map(([, at]) => `/v1.0/1${at}`)].some((at) => pattern.test(at)) &&
          (methods[0] === '*' || methods[0] === 'POST' || SAMPLES.some(([method]) => method === methods[0])),
      ]).toEqual([pattern.source, true])
  })

  it('gives no stranger a token, and lets none in with another', async () => {
    const elena = await accessOf(guests.get('a primary')!.as)
    const otto = await accessOf(guests.get('another primary')!.as)
    const lily = await accessOf(guests.get('a sub-account')!.as)
    for (const [who, as] of strangers)
      if (as !== undefined) expect([who, (await login(as)).status]).toEqual([who, 401])
    const tokens = [...forgers.values(), ...[...bearers.values()].map(({ token }) => token)]
    for (const sample of SAMPLES) {
      const answers = [
        await call(sample, elena.token.tenant.id),
        await call(sample, elena.token.tenant.id, otto.token.id),
        await call(sample, elena.token.tenant.id, lily.token.id),
        await call(sample, lily.token.tenant.id, elena.token.id),
        await call(sample, elena.token.tenant.id, elena.token.id.slice(0, -1) + '_'),
        ...(await Promise.all(tokens.map((token) => call(sample, elena.token.tenant.id, token)))),
        ...(await Promise.all(
          tokens.map((token) => call(sample, elena.token.tenant.id, undefined, bearing(token))),
        )),
        await call(sample, elena.token.tenant.id, undefined, {
          headers: { Authorization: basic(guests.get('a primary')!.as) },
        }),
      ]
      for (const [i, { status, json }] of answers.entries())
        expect([sample, i, status, json]).toEqual([sample, i, 401, expect.objectContaining(REFUSED)])
    }
  })

  it('lets every guest in, each to what is its own', async () => {
    const tenants = new Map<string, string>()
    for (const [who, { as, bucket }] of guests) {
      const { token } = await accessOf(as)
      expect([who, tenants.get(bucket) ?? token.tenant.id]).toEqual([who, token.tenant.id])
      tenants.set(bucket, token.tenant.id)
      for (const sample of SAMPLES) {
        const { status } = await call(sample, token.tenant.id, token.id)
        expect([who, sample, [401, 403].includes(status) || status >= 500]).toEqual([who, sample, false])
      }
    }
    expect(new Set(tenants.values()).size).toBe(tenants.size)
  })

  it('forgets a token with the account that it was given to', async () => {
    const sys = `$sys:${SYS_SECRET}`
    const { json } = await world.ask('PUT', '/_acc/accounts', {
      as: sys,
      body: { k: 'shortly', v: { email: 'shortly@async.cl' } },
    })
    const { secret } = (json as { readonly v: { readonly secret: string } }).v
    const { token } = await accessOf(`shortly:${secret}`)
    expect((await call(['GET', '/limits'], token.tenant.id, token.id)).status).toBe(200)
    await world.ask('POST', '/_acc/accounts', { as: sys, body: { k: 'shortly', v: { active: false } } })
    for (const sample of SAMPLES)
      expect((await call(sample, token.tenant.id, token.id)).json).toMatchObject(REFUSED)
  })
})

describe('mounts that ask as services do', () => {
  /** Each route, at a URL made of its pattern. */
  const open = () =>
    MOUNTS.map((factory) => factory(world.server.context)).flatMap(({ routes }) =>
      routes
        .filter(({ access }) => access !== 'public')
        .flatMap(({ methods, pattern }) => {
          const at = pattern.source
            .replaceAll('\\/', '/')
            .replaceAll(/^\^|\/\?\$$|\$$|\(\?!.*?\$\)/g, '')
            .replaceAll(/\(\[[^\]]*\]\+\)/g, 'nobody-there')
          expect(at).toMatch(pattern)
          return methods.map((method) => [method, at] as const)
        }),
    )
  // Their errors need not be JSON.
  const call = (method: string, at: string, { as, headers }: Ask) => {
    const credential = as === undefined ? {} : { Authorization: basic(as) }
    const body = method === 'PUT' || method === 'POST' ? {} : undefined
    return send(world.server.port, method, at, body, { ...credential, ...headers })
  }

  it('refuse every stranger', async () => {
    expect(open().length).toBeGreaterThan(20)
    for (const [method, at] of open()) {
      for (const [who, how] of outsiders()) {
        const { status, headers } = await call(method, at, how)
        expect([method, at, who, status]).toEqual([method, at, who, 401])
        expect(headers['www-authenticate']).toMatch(/^Basic /)
      }
      for (const [who, { token }] of bearers) {
        const { status } = await call(method, at, bearing(token))
        expect([method, at, who, status]).toEqual([method, at, who, 403])
      }
    }
  })

  it('let every guest in, each to what is its own', async () => {
    for (const [method, at] of open())
      for (const [who, { as }] of guests) {
        const { status } = await call(method, at, { as })
        const refused = [401, 403].includes(status) || status >= 500
        expect([method, at, who, refused]).toEqual([method, at, who, false])
      }
    for (const { as, bucket } of guests.values())
      await world.ask('PUT', '/app/whose', { as, body: { config: bucket } })
    for (const [who, { as, bucket }] of guests) {
      const { json } = await world.ask('GET', '/app/whose', { as })
      expect([who, (json as { config: string }).config]).toEqual([who, bucket])
    }
  })
})

it('shows everybody the data of the bucket of the credential, and no other', async () => {
  const marks = new Map<string, string[]>()
  for (const [who, { as, bucket }] of guests) {
    await world.ask('PUT', '/_data/marks', { as, body: { k: who, v: bucket } })
    marks.set(bucket, [...(marks.get(bucket) ?? []), who])
  }
  for (const { as, bucket } of guests.values()) {
    const { json } = await world.ask('GET', '/_data/marks', { as })
    expect([...(json as { v: string[] }).v].sort()).toEqual([...marks.get(bucket)!].sort())
  }
})

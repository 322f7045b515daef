import type { Access, Route, Service } from '../services/module'
import { openWorld, SYS_SECRET, type Answer, type World } from './server/world'

/** Every route of every service, asked by everybody: the access that it declares is the access that it has. */

let world: World
/** Credentials that are good, and the bucket in which each acts. */
const guests = new Map<string, { readonly as: string; readonly bucket: string }>()
/** Credentials that are not, and none. */
const strangers = new Map<string, string | undefined>()

beforeAll(async () => {
  world = await openWorld({}, { throttle: { perAddress: 1e6, perAccountAndAddress: 1e6, delayAfter: 1e6 } })
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
})
afterAll(() => world.close())

const SYSTEM = ['the system', 'an administrator of the system']
const HOLDERS = [...SYSTEM, 'a primary', 'an administrator of a primary', 'another primary']
const MAY: Readonly<Record<Exclude<Access, 'public'>, (guest: string) => boolean>> = {
  account: () => true,
  holder: (guest) => HOLDERS.includes(guest),
  system: (guest) => SYSTEM.includes(guest),
}

/** Narrower than the route's rule, decided by the route itself. */
function refusesItself(service: Service, { method, at }: Route, guest: string): boolean {
  return service.name === 'acc' && at === '/self' && method === 'POST' && guest.includes('administrator')
}

/** In a form that changes nothing that the next one needs. */
function ask(service: Service, { method, at }: Route, as: string | undefined): Promise<Answer> {
  const path = `/${service.prefix}${at ?? '/nobody/there'}?k=nobody-there`
  return world.ask(method, path, {
    ...(as !== undefined && { as }),
    ...((method === 'PUT' || method === 'POST') && { body: {} }),
  })
}

const routes = (): (readonly [Service, Route])[] =>
  world.server.services.flatMap((service) => service.routes.map((route) => [service, route] as const))

it('refuses every stranger alike, on every route that is not public', async () => {
  let asked = 0
  for (const [service, route] of routes()) {
    if (route.access === 'public') continue
    for (const [who, as] of strangers) {
      const { status, json, headers } = await ask(service, route, as)
      const seen = {
        route: `${route.method} ${service.prefix}${route.at ?? ''}`,
        who,
        status,
        json: json as unknown,
      }
      expect(seen).toEqual({ ...seen, status: 401, json: { v: 'unauthorized', s: 'error' } })
      expect(headers['www-authenticate']).toMatch(/^Basic /)
      asked++
    }
  }
  expect(asked).toBeGreaterThan(15 * strangers.size)
})

it('lets every guest in where the rule of the route says so, and nowhere else', async () => {
  for (const [service, route] of routes()) {
    if (route.access === 'public') continue
    for (const [who, { as }] of guests) {
      const { status, json } = await ask(service, route, as)
      const may = MAY[route.access](who) && !refusesItself(service, route, who)
      const seen = { route: `${route.method} ${service.prefix}${route.at ?? ''}`, who, may: status !== 403 }
      expect(seen).toEqual({ ...seen, may })
      expect(status).not.toBe(401)
      expect(status).toBeLessThan(500)
      if (!may) expect(json).toMatchObject({ v: 'forbidden', s: 'error' })
    }
  }
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

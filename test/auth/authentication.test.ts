import { printBasicHeader, type StoredLogin } from '../../auth'
import { createKeepers } from '../../auth/keepers'
import { ensureSystemAccount } from '../../auth/system-account'
import { BucketName, Key } from '../../core'
import { CHEAP, makeWorld, tryLogin, type World } from './world'

const elena = BucketName.of('elena')
const lily = BucketName.of('elena', 'lily')
const roomy = { throttle: { perAccountAndAddress: 1e6, perAddress: 1e6, delayAfter: 1e6 } }

let world: World
let secrets: { sys: string; elena: string; lily: string; rose: string; otto: string }

beforeEach(async () => {
  world = await makeWorld()
  secrets = {
    sys: world.systemSecret,
    elena: await world.account('elena'),
    lily: await world.account('elena', 'lily'),
    rose: await world.account('elena', 'rose'),
    otto: await world.account('otto'),
  }
  await world.admin(elena, 'boss', 'elenas#boss')
  await world.admin(lily, 'boss', 'lilys:boss')
  await world.admin(BucketName.system, 'ops', 'operator')
})
afterEach(() => world.close())

describe('the seven forms', () => {
  it('act in the bucket and under the login that the design says', async () => {
    const authentication = world.authentication()
    const login = (user: string, password: string) => tryLogin(authentication, user, password)
    expect(await login('$sys', secrets.sys)).toBe('$sys as $sys')
    expect(await login('elena', secrets.elena)).toBe('$elena as elena')
    expect(await login('elena#lily', secrets.lily)).toBe('$elena)lily as lily')
    expect(await login('elena#lily', '!' + secrets.elena)).toBe('$elena)lily as elena')
    expect(await login('elena', 'boss#elenas#boss')).toBe('$elena as boss')
    expect(await login('elena#lily', '!boss#elenas#boss')).toBe('$elena)lily as boss')
    expect(await login('elena#lily', 'boss#lilys:boss')).toBe('$elena)lily as boss')
    expect(await login('$sys', 'ops#operator')).toBe('$sys as ops')
  })

  it('say how the caller proved itself, in a value that nobody can change', async () => {
    const authentication = world.authentication()
    const principal = await authentication.authenticate(
      { authorization: printBasicHeader({ user: 'elena#lily', password: '!' + secrets.elena }) },
      undefined,
    )
    expect(principal).toEqual({ account: 'elena', sub: 'lily', bucket: lily, login: 'elena', kind: 'proxy' })
    expect(Object.isFrozen(principal)).toBe(true)
  })

  it('refuse every other combination alike', async () => {
    const authentication = world.authentication(roomy)
    const proofs = [
      ...Object.values(secrets),
      ...Object.values(secrets).map((secret) => '!' + secret),
      'boss#elenas#boss',
      '!boss#elenas#boss',
      'boss#lilys:boss',
      '!boss#lilys:boss',
      'ops#operator',
      '!ops#operator',
      'boss#',
      'nobody#elenas#boss',
      'wrong',
      '!wrong',
    ]
    const users = [
      '$sys',
      'elena',
      'otto',
      'lily',
      'nobody',
      'elena#lily',
      'elena#rose',
      'elena#nobody',
      'otto#lily',
      '$sys#elena',
    ]
    const allowed = new Set([
      `$sys:${secrets.sys}`,
      `elena:${secrets.elena}`,
      `otto:${secrets.otto}`,
      `elena#lily:${secrets.lily}`,
      `elena#rose:${secrets.rose}`,
      `elena#lily:!${secrets.elena}`,
      `elena#rose:!${secrets.elena}`,
      'elena:boss#elenas#boss',
      'elena#lily:!boss#elenas#boss',
      'elena#rose:!boss#elenas#boss',
      'elena#lily:boss#lilys:boss',
      '$sys:ops#operator',
    ])
    for (const user of users)
      for (const proof of proofs) {
        const result = await tryLogin(authentication, user, proof)
        expect(`${user}:${proof} ${result === 'unauthorized' ? 'no' : 'yes'}`).toBe(
          `${user}:${proof} ${allowed.has(`${user}:${proof}`) ? 'yes' : 'no'}`,
        )
      }
  })

  it('refuse a call without credential, and with another scheme', async () => {
    const authentication = world.authentication()
    for (const authorization of [undefined, '', 'Bearer x', 'Basic !'])
      await expect(authentication.authenticate({ authorization }, undefined)).rejects.toMatchObject({
        code: 'unauthorized',
      })
  })
})

describe('what was verified', () => {
  const all = async (authentication: ReturnType<World['authentication']>): Promise<string[]> => [
    await tryLogin(authentication, 'elena', secrets.elena),
    await tryLogin(authentication, 'elena#lily', secrets.lily),
    await tryLogin(authentication, 'elena#lily', '!' + secrets.elena),
    await tryLogin(authentication, 'elena', 'boss#elenas#boss'),
    await tryLogin(authentication, 'elena#lily', 'boss#lilys:boss'),
    await tryLogin(authentication, 'elena#lily', '!boss#elenas#boss'),
  ]
  const GOOD = [
    '$elena as elena',
    '$elena)lily as lily',
    '$elena)lily as elena',
    '$elena as boss',
    '$elena)lily as boss',
    '$elena)lily as boss',
  ]
  const NO = 'unauthorized'

  it('is not hashed again, and stops at once when an account above is deactivated', async () => {
    const authentication = world.authentication(roomy)
    expect(await all(authentication)).toEqual(GOOD)
    const match = jest.spyOn(world.keepers.secrets, 'match')
    const check = jest.spyOn(world.keepers.passwords, 'check')
    expect(await all(authentication)).toEqual(GOOD)
    expect(match).not.toHaveBeenCalled()
    expect(check).not.toHaveBeenCalled()

    const active = (on: boolean) => (login: StoredLogin) => ({
      ...login,
      profile: { ...login.profile, active: on },
    })
    await world.change({ account: 'elena', sub: 'lily' }, active(false))
    expect(await all(authentication)).toEqual([GOOD[0], NO, NO, GOOD[3], NO, NO])
    await world.change({ account: 'elena', sub: 'lily' }, active(true))
    expect(await all(authentication)).toEqual(GOOD)
    await world.change({ account: 'elena' }, active(false))
    expect(await all(authentication)).toEqual([NO, NO, NO, NO, NO, NO])
    await world.change({ account: 'elena' }, active(true))
    await world.change({ account: 'elena', admin: 'boss' }, active(false))
    expect(await all(authentication)).toEqual([GOOD[0], GOOD[1], GOOD[2], NO, GOOD[4], NO])
  })

  it('survives a change that has nothing to do with it, without hashing', async () => {
    const authentication = world.authentication(roomy)
    expect(await all(authentication)).toEqual(GOOD)
    const match = jest.spyOn(world.keepers.secrets, 'match')
    for (const whose of [{ account: 'elena' }, { account: 'elena', sub: 'lily' }])
      await world.change(whose, (login) => ({ ...login, profile: { ...login.profile, company: 'woot' } }))
    expect(await all(authentication)).toEqual(GOOD)
    expect(match).not.toHaveBeenCalled()
  })

  it('stops when the secret, the password or the entry is gone, and when a deletion begins', async () => {
    const authentication = world.authentication(roomy)
    expect(await all(authentication)).toEqual(GOOD)
    const fresh = world.keepers.secrets.generate(elena)
    await world.change({ account: 'elena' }, (login) => ({ ...login, proof: { secrets: [fresh.stored] } }))
    expect(await all(authentication)).toEqual([NO, GOOD[1], NO, GOOD[3], GOOD[4], GOOD[5]])
    expect(await tryLogin(authentication, 'elena', fresh.secret)).toBe(GOOD[0])
    await world.admin(elena, 'boss', 'another')
    expect((await all(authentication))[3]).toBe(NO)
    await world.remove({ account: 'elena', sub: 'lily' })
    expect(await all(authentication)).toEqual([NO, NO, NO, NO, NO, NO])
    await world.change({ account: 'elena' }, (login) => ({ ...login, deleting: true }))
    expect(await tryLogin(authentication, 'elena', fresh.secret)).toBe(NO)
  })

  it('does not pass to an account of the same name in a bucket that was made anew', async () => {
    const authentication = world.authentication(roomy)
    expect((await all(authentication))[1]).toBe(GOOD[1])
    await world.remove({ account: 'elena' })
    await world.engine.drop(lily)
    await world.engine.drop(elena)
    await world.account('elena')
    await world.account('elena', 'lily')
    expect(await tryLogin(authentication, 'elena#lily', secrets.lily)).toBe(NO)
  })

  it('holds for a replaced secret as long as the overlap, not longer', async () => {
    const authentication = world.authentication(roomy)
    expect(await tryLogin(authentication, 'elena', secrets.elena)).toBe(GOOD[0])
    const fresh = world.keepers.secrets.generate(elena)
    const until = Date.now() + 300
    await world.change({ account: 'elena' }, ({ profile, proof }) => ({
      profile,
      proof: { secrets: [fresh.stored, { ...proof.secrets![0]!, until }] },
    }))
    const cold = world.authentication(roomy)
    for (const one of [authentication, cold]) {
      expect(await tryLogin(one, 'elena', secrets.elena)).toBe(GOOD[0])
      expect(await tryLogin(one, 'elena', fresh.secret)).toBe(GOOD[0])
    }
    await new Promise((resolve) => setTimeout(resolve, until - Date.now() + 5))
    for (const one of [authentication, cold, world.authentication(roomy)]) {
      expect(await tryLogin(one, 'elena', secrets.elena)).toBe(NO)
      expect(await tryLogin(one, 'elena', fresh.secret)).toBe(GOOD[0])
    }
  })

  it('is read past the cache from time to time', async () => {
    const authentication = world.authentication({ ...roomy, cache: { confirmEvery: 40 } })
    expect(await tryLogin(authentication, 'elena', secrets.elena)).toBe(GOOD[0])
    const consistent: boolean[] = []
    const bucket = world.engine.bucket.bind(world.engine)
    jest.spyOn(world.engine, 'bucket').mockImplementation((name) => {
      const real = bucket(name)
      const get = real.get.bind(real)
      real.get = (address, options) => {
        consistent.push(options?.consistent === true)
        return get(address, options)
      }
      const peek = real.peek.bind(real)
      real.peek = (address) => {
        consistent.push(false)
        return peek(address)
      }
      return real
    })
    expect(await tryLogin(authentication, 'elena', secrets.elena)).toBe(GOOD[0])
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await tryLogin(authentication, 'elena', secrets.elena)).toBe(GOOD[0])
    expect(await tryLogin(authentication, 'elena', secrets.elena)).toBe(GOOD[0])
    expect(consistent).toEqual([false, true, false])
    jest.restoreAllMocks()
  })

  it('is bounded: the least recently used is verified again', async () => {
    const authentication = world.authentication({ ...roomy, cache: { size: 2 } })
    const login = (user: string, secret: string) => tryLogin(authentication, user, secret)
    const match = jest.spyOn(world.keepers.secrets, 'match')
    await login('elena', secrets.elena)
    await login('otto', secrets.otto)
    await login('elena', secrets.elena)
    await login('elena#lily', secrets.lily)
    expect(match).toHaveBeenCalledTimes(3)
    await login('elena', secrets.elena)
    expect(match).toHaveBeenCalledTimes(3)
    await login('otto', secrets.otto)
    expect(match).toHaveBeenCalledTimes(4)
  })

  it('is verified once for requests that arrive together', async () => {
    const authentication = world.authentication()
    const check = jest.spyOn(world.keepers.passwords, 'check')
    const together = await Promise.all(
      Array.from({ length: 50 }, () => tryLogin(authentication, 'elena', 'boss#elenas#boss')),
    )
    expect(new Set(together)).toEqual(new Set(['$elena as boss']))
    expect(check).toHaveBeenCalledTimes(1)
  })
})

describe('guessing', () => {
  it('is refused with a time to wait, before anything is hashed, and does not shut the owner out', async () => {
    const authentication = world.authentication({ throttle: { perAccountAndAddress: 3, delayAfter: 1e6 } })
    const check = jest.spyOn(world.keepers.passwords, 'check')
    for (let i = 0; i < 3; i++)
      expect(await tryLogin(authentication, 'elena', 'boss#guess' + i)).toBe('unauthorized')
    expect(check).toHaveBeenCalledTimes(3)
    expect(await tryLogin(authentication, 'elena', 'boss#guess3')).toBe('too_many_requests')
    // as for the right one: whether it is right is not found out this way
    expect(await tryLogin(authentication, 'elena', 'boss#elenas#boss')).toBe('too_many_requests')
    expect(check).toHaveBeenCalledTimes(3)
    expect(await tryLogin(authentication, 'elena', 'boss#elenas#boss', '192.0.2.2')).toBe('$elena as boss')
    expect(await tryLogin(authentication, 'elena', secrets.elena)).toBe('$elena as elena')
  })

  it('is hashed for accounts that are not there just as for those that are', async () => {
    const authentication = world.authentication(roomy)
    const check = jest.spyOn(world.keepers.passwords, 'check')
    for (const user of ['elena', 'nobody', 'elena#lily', 'elena#nobody', 'nobody#nobody', '$sys'])
      for (const proof of ['guess', 'boss#guess', 'nobody#guess']) {
        check.mockClear()
        expect(await tryLogin(authentication, user, proof)).toBe('unauthorized')
        expect(check).toHaveBeenCalledTimes(1)
      }
  })

  it('does not count where no verdict was reached', async () => {
    const authentication = world.authentication({ throttle: { perAccountAndAddress: 2 } })
    const broken = jest.spyOn(world.engine, 'bucket').mockImplementation(() => {
      throw new Error('the store is away')
    })
    for (let i = 0; i < 5; i++)
      await expect(tryLogin(authentication, 'elena', secrets.elena)).rejects.toThrow('the store is away')
    broken.mockRestore()
    expect(await tryLogin(authentication, 'elena', secrets.elena)).toBe('$elena as elena')
  })
})

it('hashes a password anew at login when its cost is not of today', async () => {
  const dear = createKeepers({ pepper: 'a pepper for the tests, long enough', scrypt: { ...CHEAP, ln: 5 } })
  const authentication = world.authentication({ keepers: dear })
  expect(await tryLogin(authentication, 'elena', 'boss#elenas#boss')).toBe('$elena as boss')
  const address = { ...world.keepers.places.admins, key: Key.parse('boss') }
  const stored = async (): Promise<string> =>
    ((await world.engine.bucket(elena).get(address))!.v as unknown as StoredLogin).proof.password!
  for (let i = 0; i < 100 && !(await stored()).includes('ln=5'); i++)
    await new Promise((resolve) => setTimeout(resolve, 10))
  expect(await stored()).toContain('$scrypt$ln=5,')
  expect(await tryLogin(authentication, 'elena', 'boss#elenas#boss')).toBe('$elena as boss')
  expect(await tryLogin(world.authentication({ keepers: dear }), 'elena', 'boss#elenas#boss')).toBe(
    '$elena as boss',
  )
})

it('makes the bucket of an account whose creation was interrupted', async () => {
  await world.engine.drop(elena)
  const authentication = world.authentication()
  expect(await tryLogin(authentication, 'elena', secrets.elena)).toBe('$elena as elena')
  expect(await world.engine.bucket(elena).layers()).toEqual([])
  // and of nobody else
  await world.engine.drop(BucketName.of('otto'))
  expect(await tryLogin(authentication, 'otto', secrets.elena)).toBe('unauthorized')
  await expect(world.engine.bucket(BucketName.of('otto')).layers()).rejects.toMatchObject({
    code: 'bucket_not_found',
  })
})

describe('the system account', () => {
  it('is made once: its generated secret is told at the first start only', async () => {
    expect(world.systemSecret).toMatch(/^kv4_/)
    expect(await ensureSystemAccount(world.engine, world.keepers)).toEqual({})
    expect(await tryLogin(world.authentication(), '$sys', world.systemSecret)).toBe('$sys as $sys')
  })

  it('takes the secret that the operator gives, a word too, and gives the old one up', async () => {
    const authentication = world.authentication(roomy)
    expect(await tryLogin(authentication, '$sys', world.systemSecret)).toBe('$sys as $sys')
    expect(await ensureSystemAccount(world.engine, world.keepers, { secret: 'secret' })).toEqual({})
    expect(await tryLogin(authentication, '$sys', 'secret')).toBe('$sys as $sys')
    expect(await tryLogin(authentication, '$sys', world.systemSecret)).toBe('unauthorized')
    const address = { ...world.keepers.places.system, key: Key.parse('$sys') }
    const before = await world.engine.bucket(BucketName.system).get(address)
    await ensureSystemAccount(world.engine, world.keepers, { secret: 'secret' })
    expect((await world.engine.bucket(BucketName.system).get(address))!.n).toBe(before!.n)
  })

  it('is one account when several nodes start at once', async () => {
    await world.remove({ account: '$sys' })
    const nodes = await Promise.all(
      Array.from({ length: 5 }, () => ensureSystemAccount(world.engine, world.keepers)),
    )
    const told = nodes.flatMap(({ generated }) => generated ?? [])
    expect(told).toHaveLength(1)
    expect(await tryLogin(world.authentication(), '$sys', told[0]!)).toBe('$sys as $sys')
  })

  it('is not started under another pepper', async () => {
    const others = createKeepers({ pepper: 'not the pepper of this store', scrypt: CHEAP })
    await expect(ensureSystemAccount(world.engine, others)).rejects.toThrow(/pepper/)
    await expect(ensureSystemAccount(world.engine, others, { secret: 'secret' })).rejects.toThrow(/pepper/)
  })
})

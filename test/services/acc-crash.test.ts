import type { Principal } from '../../auth'
import { BucketName, type Bucket, type Engine, type Json } from '../../core'
import { acc } from '../../services/acc'
import { Reply, type Method, type Service } from '../../services/module'
import { makeWorld, tryLogin, type World } from '../auth/world'

const elena = BucketName.of('elena')
const lily = BucketName.of('elena', 'lily')
const roomy = { throttle: { perAccountAndAddress: 1e6, perAddress: 1e6, delayAfter: 1e6 } }
const SYS: Principal = { account: '$sys', bucket: BucketName.system, login: '$sys', kind: 'account' }

class Crash extends Error {}

/** An engine whose process dies at the `steps`-th change, and does nothing any more. */
function mortal(engine: Engine, steps: number): Engine {
  let left = steps
  const change = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (left-- <= 0) throw new Crash()
    return work()
  }
  const bucket = (real: Bucket): Bucket =>
    new Proxy(real, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== 'function') return member
        const call = member.bind(target) as (...args: unknown[]) => Promise<unknown>
        return name === 'put' || name === 'modify' || name === 'remove'
          ? (...args: unknown[]) => change(() => call(...args))
          : call
      },
    })
  return {
    ...engine,
    layers: engine.layers,
    bucket: (name) => bucket(engine.bucket(name)),
    create: (name) => change(() => engine.create(name)),
    drop: (name) => change(() => engine.drop(name)),
  }
}

let world: World
beforeEach(async () => {
  world = await makeWorld()
})
afterEach(() => world.close())

function serviceOn(engine: Engine): Service {
  return acc({ engine, keepers: world.keepers })
}

async function call(
  engine: Engine,
  method: Method,
  { k, body }: { k?: string; body?: unknown },
): Promise<Json> {
  const route = serviceOn(engine).routes.find((one) => one.method === method && one.at === '/accounts')!
  const answer = await route.run({
    method,
    path: '/accounts' as never,
    query: k === undefined ? {} : { k },
    body,
    principal: SYS,
    bucket: engine.bucket(BucketName.system),
    remoteAddress: '127.0.0.1',
    wantsEvents: false,
    signal: new AbortController().signal,
    closing: new AbortController().signal,
    watches: () => undefined,
  })
  return answer instanceof Reply ? answer.value : answer
}

async function buckets(): Promise<string[]> {
  const names: string[] = []
  for await (const name of world.engine.list()) names.push(name)
  return names
}

it('makes no bucket of an account that is deleted while somebody logs in', async () => {
  const secret = await world.account('elena')
  const { secrets } = world.keepers
  const slow = Object.create(secrets, {
    match: {
      async value(...asked: Parameters<typeof secrets.match>) {
        const matched = await secrets.match(...asked)
        expect(await call(world.engine, 'DELETE', { k: 'elena' })).toBe(1)
        return matched
      },
    },
  }) as typeof secrets
  const authentication = world.authentication({ keepers: { ...world.keepers, secrets: slow } })
  expect(await tryLogin(authentication, 'elena', secret)).toBe('unauthorized')
  expect(await buckets()).toEqual(['$sys'])
})

it('finishes a deletion that a crash interrupted anywhere, and lets nobody in meanwhile', async () => {
  const total = 7 // note, mark, two sub-accounts, the bucket, the entry, the note
  for (let steps = 0; steps <= total; steps++) {
    const secrets = [
      await world.account('elena'),
      await world.account('elena', 'lily'),
      await world.account('elena', 'rose'),
    ] as const
    const otto = await world.account('otto')
    const address = { layer: '*data', path: '/p', key: 'k' } as never
    for (const bucket of [elena, lily]) await world.engine.bucket(bucket).put(address, 1, { by: 'x' })
    const authentication = world.authentication(roomy)
    expect(await tryLogin(authentication, 'elena#lily', secrets[1])).toBe('$elena)lily as lily')

    const died = call(mortal(world.engine, steps), 'DELETE', { k: 'elena' })
    if (steps < total) await expect(died).rejects.toBeInstanceOf(Crash)
    else expect(await died).toBe(1)

    const logins = async (): Promise<string[]> => {
      const results: string[] = []
      for (const one of [authentication, world.authentication(roomy)])
        results.push(
          await tryLogin(one, 'elena', secrets[0]),
          await tryLogin(one, 'elena#lily', secrets[1]),
          await tryLogin(one, 'elena#rose', '!' + secrets[0]),
        )
      return results
    }
    const begun = steps >= 2
    expect(new Set(await logins()).has('unauthorized')).toBe(begun)
    if (begun) expect(new Set(await logins())).toEqual(new Set(['unauthorized']))

    // The next start, which may itself be interrupted.
    for (const more of [0, 1, 2])
      await serviceOn(mortal(world.engine, more)).start!().catch((error: unknown) => {
        if (!(error instanceof Crash)) throw error
      })
    await serviceOn(world.engine).start!()
    expect(await buckets()).toEqual(
      begun ? ['$otto', '$sys'] : ['$elena', '$elena)lily', '$elena)rose', '$otto', '$sys'],
    )
    const { items } = await world.engine.bucket(BucketName.system).keys(world.keepers.places.deletions)
    expect(items).toEqual([])
    expect(await tryLogin(authentication, 'otto', otto)).toBe('$otto as otto')
    if (!begun) {
      expect(await tryLogin(authentication, 'elena#lily', secrets[1])).toBe('$elena)lily as lily')
      expect(await call(world.engine, 'DELETE', { k: 'elena' })).toBe(1)
    }
    expect(await buckets()).toEqual(['$otto', '$sys'])
    await expect(call(world.engine, 'DELETE', { k: 'elena' })).rejects.toMatchObject({ code: 'not_found' })
  }
})

it('takes up an interrupted deletion when it is asked for again', async () => {
  for (let steps = 0; steps < 6; steps++) {
    await world.account('elena')
    await world.account('elena', 'lily')
    await expect(call(mortal(world.engine, steps), 'DELETE', { k: 'elena' })).rejects.toBeInstanceOf(Crash)
    const again = await call(world.engine, 'DELETE', { k: 'elena' }).catch((error: unknown) => error)
    // Only the note of the last step was left.
    if (steps === 5) expect(again).toMatchObject({ code: 'not_found' })
    else expect(again).toBe(1)
    await serviceOn(world.engine).start!()
    expect(await buckets()).toEqual(['$sys'])
  }
})

it('does not drop an account that was made anew while an old note was still there', async () => {
  await world.account('elena')
  await expect(call(mortal(world.engine, 4), 'DELETE', { k: 'elena' })).rejects.toBeInstanceOf(Crash)
  expect(await buckets()).toEqual(['$sys'])
  const secret = await world.account('elena')
  await serviceOn(world.engine).start!()
  expect(await tryLogin(world.authentication(), 'elena', secret)).toBe('$elena as elena')
  expect(await buckets()).toEqual(['$elena', '$sys'])
})

it('leaves an interrupted creation as an account that works, or as none', async () => {
  const secret = 'a-secret-that-was-chosen'
  const body = { k: 'elena', v: { email: 'elena@async.cl', secret } }
  for (let steps = 0; steps < 2; steps++) {
    await expect(call(mortal(world.engine, steps), 'PUT', { body })).rejects.toBeInstanceOf(Crash)
    const result = await tryLogin(world.authentication(), 'elena', secret)
    expect(result).toBe(steps === 0 ? 'unauthorized' : '$elena as elena')
    expect(await buckets()).toEqual(steps === 0 ? ['$sys'] : ['$elena', '$sys'])
  }
})

it('gives nobody a bucket with data in it by the choice of a name', async () => {
  const body = { k: 'elena', v: { email: 'elena@async.cl' } }
  await world.engine.create(elena)
  await world.engine.bucket(elena).put({ layer: '*data', path: '/p', key: 'k' } as never, 1, { by: 'x' })
  await expect(call(world.engine, 'PUT', { body })).rejects.toMatchObject({ code: 'username_exists' })
  await world.engine.bucket(elena).remove({ layer: '*data', path: '/p', key: 'k' } as never, { by: 'x' })
  // What is left is history, which would be readable too.
  await call(world.engine, 'PUT', { body })
  const { items } = await world.engine
    .bucket(elena)
    .history({ layer: '*data', path: '/p', key: 'k' } as never)
  expect(items).toEqual([])
})

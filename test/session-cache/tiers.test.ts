import { until } from '../eventually'
import type { BoxProcess, Skewed, TierProcess } from './processes'
import { endProcesses, freePort, kill, startBoxProcess, startTierProcess } from './processes'
import { removeTableRooms, tableRoom } from './table-room'

jest.setTimeout(60_000)

let room: string
beforeEach(() => {
  room = tableRoom()
})
afterEach(async () => {
  await endProcesses()
  removeTableRooms()
})

/** The lru configuration of a box; the first process of a box manages its table. */
function lru(box: string, cache: object = {}, manage_section = true): object {
  return {
    manage_section,
    token_path: box,
    cache: { directory: room, seed: 9849381, touch_ms: 0, ...cache },
  }
}

function line(port: number): object {
  return { auth_path: 'auths', address: '127.0.0.1', port, reconnect_ms: 200 }
}

interface World {
  readonly relay: TierProcess
  readonly port: number
  readonly siblingPort: number
}

async function startRelayAndSibling(cache: object = {}, port = 0, sibling: object = {}): Promise<World> {
  const shared = { directory: room, token_path: './ml_relay.conf', seed: 9849381, ...cache }
  const { writeFileSync } = await import('node:fs')
  writeFileSync(
    `${room}/sibling.conf`,
    JSON.stringify({
      half_edge: true,
      auth_path: 'auths',
      port: 0,
      address: '127.0.0.1',
      cache: { ...shared, am_initializer: false, stop_child: true },
      ...sibling,
    }),
  )
  const relay = startTierProcess(room, 'relay.conf', {
    edge_supported_relay: true,
    auth_path: 'auths',
    port,
    address: '127.0.0.1',
    path_types: {
      auths: {
        relay: { proc_name: ['global-sessions', './sibling.conf'] },
        cache: { ...shared, am_initializer: true },
      },
    },
  })
  const [own, siblings] = await Promise.all([
    relay.said('listens', { tier: 'relay' }),
    relay.said('listens', { tier: 'sibling' }),
  ])
  return { relay, port: own['port'] as number, siblingPort: siblings['port'] as number }
}

async function startRelief(
  name: string,
  port: number,
  kind: string,
  cache: object = {},
  skewed: Skewed = {},
): Promise<TierProcess> {
  const relief = startTierProcess(
    room,
    `${name}.conf`,
    {
      lru: {
        manage_section: true,
        cache: { directory: room, token_path: `./${name}.conf`, seed: 9849381, ...cache },
      },
      message_relay: {
        auth_path: 'auths',
        age_or_replica: kind,
        address: '127.0.0.1',
        port,
        name,
        reconnect_ms: 200,
      },
    },
    skewed,
  )
  await relief.said('connected')
  return relief
}

describe('one box', () => {
  test('four processes share one table, and it survives the death of any of them', async () => {
    const cache = { el_count: 2000, record_size: 200 }
    const manager = await startBoxProcess(lru('box', cache))
    const others = await Promise.all([1, 2, 3].map(() => startBoxProcess(lru('box', cache, false))))
    const all = [manager, ...others]
    await Promise.all(all.map((box, i) => box.set('from-' + i, 'value ' + i)))
    for (const box of all) for (const i of all.keys()) expect(await box.get('from-' + i)).toBe('value ' + i)

    // Killed while it writes, eight times: the lock is free again and nothing is half done.
    for (let round = 0; round < 8; round++) {
      const victim = await startBoxProcess(lru('box', cache, false))
      void victim.call('set_for_ever').catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 10 + Math.random() * 30))
      await kill(victim.child)
      expect(await others[0]!.set('after', 'kill ' + round)).toMatch(/^\d+-\d+$/)
      expect(await others[1]!.get('after')).toBe('kill ' + round)
    }
    await kill(manager.child)
    await others[2]!.set('still', 'here')
    const next = await startBoxProcess(lru('box', cache))
    expect(await next.get('still')).toBe('here')
    expect(await next.get('from-0')).toBe('value 0')
  })

  test('overflows by the least recently used, and refuses what is too large', async () => {
    const cache = { el_count: 100, record_size: 64 }
    const [a, b] = [await startBoxProcess(lru('box', cache)), await startBoxProcess(lru('box', cache, false))]
    await a.call('set_many', 'k', 100)
    expect(await b.get('k0')).toBe('value 0')
    // A read is noted a moment after it happened.
    await new Promise((resolve) => setTimeout(resolve, 200))
    await a.set('new', 'x')
    expect(await b.get('k1')).toBe(false)
    expect(await a.get('k0')).toBe('value 0')
    expect(await a.call('count')).toBe(100)
    await expect(b.set('big', 'x'.repeat(65))).rejects.toThrow('larger than `record_size`')
  })

  test('leaves no file in the working directory', async () => {
    const { readdirSync } = await import('node:fs')
    const before = readdirSync('.')
    const box = await startBoxProcess(lru('box'))
    await box.set('a', 'b')
    expect(readdirSync('.')).toEqual(before)
  })
})

describe('two boxes and a relay', () => {
  let world: World
  let boxes: { a: BoxProcess; a2: BoxProcess; b: BoxProcess }

  async function startBoxes(port: number, cache: object = {}): Promise<typeof boxes> {
    const [a, b] = await Promise.all([
      startBoxProcess(lru('a', cache), line(port)),
      startBoxProcess(lru('b', cache), line(port)),
    ])
    return { a, b, a2: await startBoxProcess(lru('a', cache, false), line(port)) }
  }

  test('a session set here is got there, changed there, destroyed everywhere', async () => {
    world = await startRelayAndSibling()
    boxes = await startBoxes(world.port)
    const { a, a2, b } = boxes
    await b.call('watch', 's1')
    await a.set('s1', 'one }{ }  {')
    expect(await b.get('s1')).toBe('one }{ }  {')
    await a2.set('s2', { user: 'lily', list: [{}, {}] })
    expect(JSON.parse((await b.get('s2')) as string)).toEqual({ user: 'lily', list: [{}, {}] })
    await b.set('s1', 'two')
    await until(async () => (await a2.get('s1')) === 'two', 'the change comes')
    expect(await b.call('notified')).toEqual(['s1'])
    await a.call('destroy', 's1')
    for (const box of [a, a2, b])
      await until(async () => (await box.get('s1')) === false, 'the session is gone')
    expect(await b.get('never')).toBe(false)
  })

  test('the death of the relay: boxes go on locally, reconnect, and catch up', async () => {
    const port = await freePort()
    world = await startRelayAndSibling({}, port)
    boxes = await startBoxes(port)
    const { a, b } = boxes
    await a.set('before', '1')
    expect(await b.get('before')).toBe('1')
    const sibling = (await world.relay.said('listens', { tier: 'sibling' }))['pid'] as number
    await kill(world.relay.child)
    // Its child goes with it.
    await until(async () => !isAlive(sibling), 'the sibling ends')

    await a.set('before', '2')
    await a.set('alone', 'on a')
    expect(await a.get('before')).toBe('2')
    expect(await b.get('before')).toBe('1')
    expect(await b.get('alone')).toBe(false)

    await startRelayAndSibling({}, port)
    await until(async () => (await b.get('before')) === '2', 'b catches up')
    await until(async () => (await b.get('alone')) === 'on a', 'what was set alone arrives')
  })

  test('the death of a sibling: it is started again', async () => {
    world = await startRelayAndSibling()
    const first = (await world.relay.said('listens', { tier: 'sibling' }))['pid'] as number
    const seen = world.relay.log().length
    process.kill(first, 'SIGKILL')
    const again = await world.relay.said('listens', { tier: 'sibling' }, seen)
    expect(again['pid']).not.toBe(first)
    await kill(world.relay.child, 'SIGTERM')
    await until(async () => !isAlive(again['pid'] as number), 'it is stopped with its parent')
  })
})

describe('who was away', () => {
  test('learns what changed and what was destroyed when it is back, also as another process', async () => {
    const world = await startRelayAndSibling({ el_count: 50 }, 0, { port: await freePort() })
    const start = (box: string) => startBoxProcess(lru(box), line(world.port))
    const relief = await startRelief('one', world.siblingPort, 'replicating')
    const ageing = await startRelief('old', world.siblingPort, 'age-out')
    const [a, b] = await Promise.all([start('a'), start('b')])
    for (const key of ['gone', 'changed', 'later']) await a.set(key, 'old')
    // Put out of the relay, so that both kinds of relief servers have them, and found there.
    await a.call('set_many', 'x', 60)
    for (const key of ['gone', 'changed', 'later'])
      await until(async () => (await b.get(key)) === 'old', `b has ${key}`)
    await Promise.all([b, relief, ageing].map(({ child }) => kill(child)))
    await a.call('destroy', 'gone')
    await a.set('changed', 'new')

    const again = await start('b')
    await until(async () => (await again.get('gone')) === false, 'box b learns what was destroyed')
    await until(async () => (await again.get('changed')) === 'new', 'box b learns what changed')
    await startRelief('one', world.siblingPort, 'replicating')
    await startRelief('old', world.siblingPort, 'age-out')

    // Destroyed while there is no sibling to tell the relief servers.
    const sibling = (await world.relay.said('listens', { tier: 'sibling' }))['pid'] as number
    const seen = world.relay.log().length
    process.kill(sibling, 'SIGKILL')
    await world.relay.said('the sibling ended and is started again', {}, seen)
    await a.call('destroy', 'later')
    await world.relay.said('listens', { tier: 'sibling' }, seen)
    await new Promise((resolve) => setTimeout(resolve, 1000))

    // The relay forgets it all.
    await a.call('set_many', 'y', 60)
    const fresh = await start('c')
    expect(await fresh.get('y0')).toBe('value 0')
    expect(await fresh.get('gone')).toBe(false)
    expect(await fresh.get('later')).toBe(false)
    expect(await fresh.get('changed')).toBe('new')
  })
})

describe('clocks that differ by hours', () => {
  const HOUR = 3600_000

  test('lose no session and no change, and every life ends when it should', async () => {
    const world = await startRelayAndSibling({ el_count: 20 })
    await startRelief('one', world.siblingPort, 'replicating', {}, { skewMs: -2 * HOUR })
    const a = await startBoxProcess(lru('a', { el_count: 20 }), line(world.port), { skewMs: HOUR })
    const b = await startBoxProcess(lru('b', { el_count: 20 }), line(world.port), { skewMs: -HOUR })
    // Half a life lies between the clocks several times over.
    await a.call('set', 's', 'one', HOUR / 2)
    await until(async () => (await b.get('s')) === 'one', 'b has what a has set')
    await b.call('set', 's', 'two', HOUR / 2)
    await until(async () => (await a.get('s')) === 'two', 'a has the change of b')
    await a.call('set', 's', 'three', HOUR / 2)
    await until(async () => (await b.get('s')) === 'three', 'b has the change of a')
    await b.call('destroy', 's')
    await until(async () => (await a.get('s')) === false, 'what b destroyed is gone on a')

    await b.call('set', 'short', 'x', 2000)
    await a.call('set', 'long', 'x', HOUR / 2)
    expect(await a.get('short')).toBe('x')
    // Put out of the relay and of both boxes, by b: it is with the relief server, whose clock is wrong too.
    await b.call('set_many', 'k', 60)
    await until(async () => (await a.get('long')) === 'x', 'it is found with the relief server')
    await until(async () => (await a.get('short')) === false, 'its life ends on a')
    expect(await b.get('short')).toBe(false)
  })
})

describe('relief servers', () => {
  test('hold what the box and the relay had no room for; one dies, one joins: nothing is lost', async () => {
    const world = await startRelayAndSibling({ el_count: 50 }, 0, { copies: 2 })
    const reliefs = new Map<string, TierProcess>()
    for (const name of ['one', 'two'])
      reliefs.set(name, await startRelief(name, world.siblingPort, 'replicating'))
    const old = await startRelief('old', world.siblingPort, 'age-out')
    const box = await startBoxProcess(lru('a', { el_count: 20 }), line(world.port))
    await box.call('set_many', 'k', 300)
    const all = async (what: string) => {
      for (let i = 0; i < 300; i++)
        await until(async () => (await box.get('k' + i)) === 'value ' + i, `${what}: k${i} is found`)
    }
    await all('with all servers')
    await kill(reliefs.get('one')!.child)
    await kill(old.child)
    await all('after the death of two')
    await startRelief('three', world.siblingPort, 'replicating')
    await box.call('set_many', 'l', 100)
    await all('after one joined')
    await kill(reliefs.get('two')!.child)
    // What was looked for meanwhile has a copy on the one that joined.
    await all('after the last of the first ones died')
  })

  test('age-out servers take over what nobody used', async () => {
    const world = await startRelayAndSibling({
      aged_out_secs: 1,
      max_evictions: 1000,
      evictions_timeout: 100,
    })
    await startRelief('old', world.siblingPort, 'age-out')
    const box = await startBoxProcess(
      lru('a', { aged_out_secs: 1, max_evictions: 1000, evictions_timeout: 100 }),
      line(world.port),
    )
    await box.call('set_many', 'k', 50)
    await until(async () => (await box.call('count')) === 0, 'all have left the box')
    await new Promise((resolve) => setTimeout(resolve, 1500))
    for (let i = 0; i < 50; i++) expect(await box.get('k' + i)).toBe('value ' + i)
  })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

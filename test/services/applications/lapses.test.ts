import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { BucketName, Layer, Path } from '../../../core'
import { CouchServer } from '../../couchdb/server'
import { ask, openWorld } from '../../server/world'
import type { World } from '../../server/world'
import { PEPPER, SYS, newAccount } from './world'

/** Hosts that are not updated within the time that they say. */

const NOTES = Layer.parse('*srv:lapses')

type Row = readonly [seconds: number, by: string, v: { readonly dead?: boolean; readonly updated_at: number }]

/** An account on some node. */
class Account {
  constructor(
    readonly world: World,
    readonly as: string,
  ) {}

  on(world: World): Account {
    return new Account(world, this.as)
  }

  async put(path: string, k: string, v: object = {}): Promise<number> {
    const body = { k, v: { endpoints: 1, ...v } }
    const { status, json } = await ask(this.world.server.port, 'PUT', `/_srv/${path}`, { as: this.as, body })
    expect(status).toBeLessThan(300)
    return (json.v as { updated_at: number }).updated_at
  }

  async get<V = { dead?: boolean; updated_at: number }>(target: string): Promise<V> {
    const { json } = await ask(this.world.server.port, 'GET', `/_srv/${target}`, { as: this.as })
    return json.v as V
  }

  async rows(path: string, k: string): Promise<readonly Row[]> {
    return this.get<Row[]>(`${path}?k=${k}&time_series=1&consistent=1`)
  }

  /** Once the lapse has been noted. */
  async marked(path: string, k: string): Promise<readonly Row[]> {
    for (let i = 0; i < 200; i++) {
      const rows = await this.rows(path, k)
      if (rows[0]?.[2].dead === true) return rows
      await wait(50)
    }
    throw new Error(`${path} ${k} was not marked`)
  }
}

async function notes(world: World): Promise<readonly string[]> {
  const system = world.server.engine.bucket(BucketName.system)
  return (await system.paths(NOTES, Path.root, 2, { consistent: true })).items
}

/** A note goes a moment after the lapse is a version. */
async function notesGo(world: World): Promise<void> {
  for (let i = 0; i < 100 && (await notes(world)).length > 0; i++) await wait(50)
  expect(await notes(world)).toEqual([])
}

describe('on one node', () => {
  let directory: string
  let world: World
  let elena: Account

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kv4-lapses-'))
    world = await openWorld({ KV4_DATA_DIR: directory, KV4_PEPPER: PEPPER })
    elena = new Account(world, `elena:${await newAccount(world.server.port, 'elena')}`)
  })
  afterEach(async () => {
    await world.close()
    await rm(directory, { recursive: true, force: true })
  })

  test('a reader sees it to the millisecond, noted or not, and no tag vouches for what is not a version', async () => {
    const updated = await elena.put('web', 'h1', { lapses_after: 0.4 })
    const end = updated * 1000 + 400
    let seen = 0
    // A busy machine may need longer for one request than that.
    while (seen === 0 || Date.now() < end + 60) {
      const before = Date.now()
      const { json, headers } = await ask(world.server.port, 'GET', '/_srv/web?k=h1', { as: elena.as })
      const { dead, updated_at } = json.v as { dead?: boolean; updated_at: number }
      if (before >= end) expect([dead, (seen = 1)]).toEqual([true, 1])
      else if (Date.now() < end) expect([dead, headers.etag]).toEqual([undefined, expect.any(String)])
      expect(updated_at).toBe(updated)
    }
    expect(seen).toBe(1)
    const listed = await elena.get<{ dead?: boolean }[]>('web?as=values')
    expect(listed.map(({ dead }) => dead)).toEqual([true])
    // As of before, it was alive.
    expect((await elena.get(`web?k=h1&at=${Math.floor(end) - 50}`)).dead).toBeUndefined()
  })

  test('it becomes a version, once, that keeps updated_at; an update brings it back, and it may lapse again', async () => {
    const updated = await elena.put('web', 'h1', { lapses_after: 0.3 })
    const rows = await elena.marked('web', 'h1')
    expect(rows.map(([, by, { dead, updated_at }]) => [by, dead, updated_at])).toEqual([
      ['$sys', true, updated],
      ['elena', undefined, updated],
    ])
    await notesGo(world)
    await wait(400)
    expect(await elena.rows('web', 'h1')).toHaveLength(2)
    // What was read may be sent back.
    const { dead, ...rest } = await elena.get('web?k=h1')
    expect(dead).toBe(true)
    await elena.put('web', 'h1', { ...rest, dead: true, lapses_after: 0.3 })
    expect((await elena.get('web?k=h1')).dead).toBeUndefined()
    expect((await elena.marked('web', 'h1')).map(([, , v]) => v.dead)).toEqual([
      true,
      undefined,
      true,
      undefined,
    ])
  })

  test('who watches the service is told', async () => {
    const poll = async (query: string) => {
      const { json } = await ask(world.server.port, 'GET', `/_srv/web?${query}`, { as: elena.as })
      return json as { v: { type: string; k: string; by: string; v: { dead?: boolean } }[]; next: string }
    }
    let { next } = await poll('wait=0')
    await elena.put('web', 'h1', { lapses_after: 0.3 })
    await elena.put('elsewhere', 'h1', { lapses_after: 0.3 })
    const told: unknown[] = []
    while (told.length < 2) {
      const page = await poll(`wait=10&since=${next}`)
      told.push(...page.v.map(({ type, k, by, v }) => [type, k, by, v.dead]))
      next = page.next
    }
    expect(told).toEqual([
      ['create', 'h1', 'elena', undefined],
      ['update', 'h1', '$sys', true],
    ])
  })

  test('who updates in time stays, and costs no note each time', async () => {
    const system = world.server.engine.bucket(BucketName.system)
    const cursor = await system.cursor()
    for (let i = 0; i < 25; i++) {
      await elena.put('web', 'h1', { lapses_after: 2 })
      await wait(100)
    }
    expect((await elena.rows('web', 'h1')).map(([, , { dead }]) => dead)).toEqual(Array(25).fill(undefined))
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 200)
    let written = 0
    for await (const event of system.watch({ layer: NOTES }, { since: cursor, signal: stop.signal }))
      if (event.address.key) written++
    expect(written).toBe(1)
  })

  test('a shorter time counts at once, and without one a host stays', async () => {
    await elena.put('web', 'short', { lapses_after: 3_600 })
    await elena.put('web', 'short', { lapses_after: 0.3 })
    await elena.put('web', 'stays', { lapses_after: 0.3 })
    await elena.put('web', 'stays', {})
    await elena.put('web', 'null', { lapses_after: null, dead: true })
    await elena.marked('web', 'short')
    expect((await elena.get('web?k=stays')).dead).toBeUndefined()
    expect(await elena.rows('web', 'stays')).toHaveLength(2)
    expect((await elena.get('web?k=null')).dead).toBeUndefined()
  })

  test('who is dead leads no more', async () => {
    await elena.put('db', 'a', { master: true })
    await elena.put('db', 'b', { master: true, lapses_after: 0.3 })
    expect((await elena.get<{ name: string }>('db?master=1')).name).toBe('b')
    await wait(350)
    expect((await elena.get<{ name: string }>('db?master=1')).name).toBe('a')
  })

  test('what lapsed while nobody ran is noted at the start', async () => {
    await elena.put('web', 'h1', { lapses_after: 0.3 })
    await world.close()
    await wait(400)
    world = await openWorld({ KV4_DATA_DIR: directory, KV4_PEPPER: PEPPER })
    expect(await elena.on(world).marked('web', 'h1')).toHaveLength(2)
    await notesGo(world)
  })

  test('an account that is deleted takes its hosts along, and the others lapse all the same', async () => {
    const otto = new Account(world, `otto:${await newAccount(world.server.port, 'otto')}`)
    await elena.put('web', 'h1', { lapses_after: 0.5 })
    await otto.put('web', 'h1', { lapses_after: 0.6 })
    expect((await ask(world.server.port, 'DELETE', '/_acc/accounts?k=elena', { as: SYS })).status).toBe(200)
    expect(await otto.marked('web', 'h1')).toHaveLength(2)
    await notesGo(world)
  })
})

describe('on two nodes over one CouchDB', () => {
  let couch: CouchServer
  let nodes: World[]
  let elena: Account

  const join = async (name: string): Promise<World> => {
    const world = await openWorld({ KV4_COUCHDB_URL: couch.url, KV4_NODE: name, KV4_PEPPER: PEPPER })
    nodes.push(world)
    return world
  }

  beforeEach(async () => {
    couch = await CouchServer.start()
    nodes = []
    const one = await join('one')
    elena = new Account(one, `elena:${await newAccount(one.server.port, 'elena')}`)
    await join('two')
  }, 30_000)
  afterEach(async () => {
    for (const node of nodes) await node.close()
    await couch.close()
  })

  test('each lapse is one version, though both look', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `h${i}`)
    // The other node hears of half of them by their notes only.
    await Promise.all(
      names.map((name, i) => elena.on(nodes[i % 2]!).put('web', name, { lapses_after: 0.5 + (i % 3) / 10 })),
    )
    for (const name of names) await elena.marked('web', name)
    await wait(2_500)
    for (const name of names) {
      const rows = await elena.rows('web', name)
      expect([name, rows.map(([, by]) => by)]).toEqual([name, ['$sys', 'elena']])
    }
    await notesGo(nodes[0]!)
  }, 60_000)

  test('updates by turns at both nodes keep a host alive', async () => {
    for (let i = 0; i < 16; i++) {
      await elena.on(nodes[i % 2]!).put('web', 'h1', { lapses_after: 3 })
      await wait(300)
    }
    const rows = await elena.rows('web', 'h1')
    expect(rows.filter(([, , { dead }]) => dead)).toEqual([])
    const times = rows.map(([, , { updated_at }]) => updated_at)
    expect(times).toEqual([...times].sort((a, b) => b - a))
    expect(new Set(times).size).toBe(16)
  }, 60_000)

  test('when the node that was told is gone, the other one tells', async () => {
    await elena.put('web', 'h1', { lapses_after: 1 })
    await nodes.shift()!.close()
    const rows = await elena.on(nodes[0]!).marked('web', 'h1')
    expect(rows.map(([, by]) => by)).toEqual(['$sys', 'elena'])
  }, 60_000)
})

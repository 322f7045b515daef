import { setTimeout as wait } from 'node:timers/promises'
import { CouchServer } from '../../couchdb/server'
import { couch } from '../../couchdb/targets'
import { ask, openWorld } from '../../server/world'
import type { World } from '../../server/world'
import { PEPPER, newAccount } from './world'

/** Two sites, each with a CouchDB of its own, that replicate to each other from time to time. */

const SYSTEM = 'kv4_$sys_data'
const DATA = 'kv4_$elena_data'

interface Site {
  readonly couch: CouchServer
  readonly world: World
}

let sites: Site[]
let as: string

interface Replicating {
  sync(other: unknown): Promise<unknown>
  info(): Promise<{ readonly update_seq: number | string }>
}

function database({ couch }: { readonly couch: CouchServer }, name: string): Replicating {
  return couch.database(name) as unknown as Replicating
}

async function open(couch: CouchServer, node: string): Promise<Site> {
  return {
    couch,
    world: await openWorld({ KV4_COUCHDB_URL: couch.url, KV4_NODE: node, KV4_PEPPER: PEPPER }),
  }
}

beforeAll(async () => {
  const here = await open(await CouchServer.start(), 'here')
  as = `elena:${await newAccount(here.world.server.port, 'elena')}`
  const there = await CouchServer.start()
  for (const name of [SYSTEM, DATA]) {
    await couch(there.url, 'PUT', '/' + encodeURIComponent(name))
    await database(here, name).sync(database({ couch: there }, name))
  }
  sites = [here, await open(there, 'there')]
}, 60_000)
afterAll(async () => {
  // A database that is dropped at one server of a process is gone for what replicated from it, too.
  for (const { world } of sites) await world.close()
  for (const site of sites) await site.couch.close()
})

/** Back and forth until neither site has anything new of its own. */
async function replicate(): Promise<void> {
  let before = ''
  for (let quiet = 0; quiet < 3;) {
    await database(sites[0]!, DATA).sync(database(sites[1]!, DATA))
    await wait(250)
    const infos = await Promise.all(sites.map((site) => database(site, DATA).info()))
    const now = JSON.stringify(infos.map(({ update_seq }) => update_seq))
    quiet = now === before ? quiet + 1 : 0
    before = now
  }
}

/** `config` of an application at a site; undefined: there is none. */
async function config(site: number, name: string): Promise<unknown> {
  const target = `/_app?k=${name}&consistent=1`
  const { status, json } = await ask(sites[site]!.world.server.port, 'GET', target, { as })
  return status === 404 ? undefined : (json.v as { config: unknown }).config
}

async function write(site: number, name: string, value: string | undefined): Promise<void> {
  // Two sites that write within one millisecond have no order.
  await wait(4)
  const { port } = sites[site]!.world.server
  const { status } =
    value === undefined
      ? await ask(port, 'DELETE', `/_app?k=${name}`, { as })
      : await ask(port, 'PUT', '/_app', { as, body: { k: name, v: { config: value } } })
  expect(status).toBeLessThan(300)
}

/** Values that an application ever had, at a site. */
async function past(site: number, name: string): Promise<ReadonlySet<unknown>> {
  const target = `/_app?k=${name}&time_series=1`
  const { json } = await ask(sites[site]!.world.server.port, 'GET', target, { as })
  return new Set((json.v as [number, string, { config?: unknown }][]).map(([, , v]) => v.config))
}

test('the newest wins at both, whoever wrote it and however much the other wrote; nothing is lost', async () => {
  // Who writes, in this order, while the sites do not hear each other: 0 or 1; in capitals a removal.
  const stories = [
    '01',
    '10',
    '001',
    '110',
    '0001',
    '1110',
    '0101',
    '1010',
    '0011',
    '1100',
    '00A',
    '0B',
    '1A',
    '01A',
    '10B0',
    '0111000',
  ]
  const name = (i: number): string => `app-${i}`
  for (const i of stories.keys()) await write(0, name(i), 'common')
  await replicate()
  const expected: (string | undefined)[] = []
  const written = stories.map(() => new Set<string>(['common']))
  for (const [i, story] of stories.entries())
    for (const [j, who] of [...story].entries()) {
      const site = who === '0' || who === 'A' ? 0 : 1
      const value = who === 'A' || who === 'B' ? undefined : `${story} ${j}`
      await write(site, name(i), value)
      if (value !== undefined) written[i]!.add(value)
      expected[i] = value
    }
  await replicate()
  for (const site of [0, 1])
    for (const [i, story] of stories.entries()) {
      expect([site, story, await config(site, name(i))]).toEqual([site, story, expected[i]])
      const values = await past(site, name(i))
      expect([story, [...written[i]!].filter((value) => !values.has(value))]).toEqual([story, []])
    }
}, 120_000)

test('who comes back writes over what he has missed, and hosts made on either side meet', async () => {
  await write(1, 'later', 'there')
  await replicate()
  await write(0, 'later', 'here')
  await replicate()
  expect([await config(0, 'later'), await config(1, 'later')]).toEqual(['here', 'here'])
  for (const [i, { world }] of sites.entries())
    await ask(world.server.port, 'PUT', '/_srv/web', {
      as,
      body: { k: `h${i}`, v: { endpoints: i, master: true } },
    })
  await replicate()
  for (const { world } of sites) {
    const hosts = await ask(world.server.port, 'GET', '/_srv/web', { as })
    expect(hosts.json.v).toEqual(['h0', 'h1'])
    const master = await ask(world.server.port, 'GET', '/_srv/web?master=1', { as })
    expect(master.json.v.name).toBe('h1')
  }
}, 60_000)

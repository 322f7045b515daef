import express from 'express'
import session from 'express-session'
import Keyv from 'keyv'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createStorage } from 'unstorage'
import type { Gateway } from '../../client'
import { expressSessionStore } from '../../client/stores/express-session'
import { KeyvStore } from '../../client/stores/keyv'
import { unstorageDriver } from '../../client/stores/unstorage'
import type { Client, Row } from '../client'
import { startPlatform, type Platform } from '../platform'

declare module 'express-session' {
  interface SessionData {
    views?: number
  }
}

let platform: Platform
let gateway: Gateway
let account: Client
beforeAll(async () => {
  platform = await startPlatform()
  const { secret } = (await platform.sys.ok(
    platform.sys.put('/_acc/accounts', { k: 'elena', v: { email: 'elena@async.cl' } }),
  )) as unknown as { secret: string }
  gateway = { url: platform.url, user: 'elena', secret }
  account = platform.as('elena', secret)
})
afterAll(() => platform.close())

/** Keys that are paths, too long, or nothing that a path could have. */
const STRANGE = [
  'a/b',
  'a//b/',
  '.',
  '..',
  '%',
  '%2F',
  'ü 😀',
  'x'.repeat(600),
  'é'.repeat(200),
  'a\u0001b',
  '_schemas',
]

describe('express-session', () => {
  const closers: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closers.splice(0)) await close()
  })
  let rooms = 0

  async function application(maxAge?: number) {
    const prefix = `apps/shop-${++rooms}`
    const store = expressSessionStore(session, { ...gateway, prefix })
    const app = express()
    app.use(
      session({
        secret: 'a secret of the tests',
        resave: false,
        saveUninitialized: false,
        cookie: maxAge === undefined ? {} : { maxAge },
        store,
      }),
    )
    app.get('/count', (request, response) => {
      request.session.views = (request.session.views ?? 0) + 1
      response.json({ views: request.session.views })
    })
    app.get('/look', (request, response) => void response.json({ views: request.session.views ?? null }))
    app.get('/leave', (request, response) => {
      request.session.destroy((error: unknown) => void response.json({ error: error ?? null }))
    })
    const server = await new Promise<Server>((resolve) => {
      const listening = app.listen(0, '127.0.0.1', () => resolve(listening))
    })
    closers.push(async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, store, prefix }
  }

  class Browser {
    cookie = ''
    constructor(readonly url: string) {}
    async visit(path: string): Promise<{ views?: number | null; error?: unknown }> {
      const answer = await fetch(this.url + path, { headers: { cookie: this.cookie } })
      const [set] = answer.headers.getSetCookie()
      if (set !== undefined) this.cookie = set.split(';', 1)[0]!
      return (await answer.json()) as { views?: number | null }
    }
  }

  const asked = <T>(ask: (done: (error?: unknown, result?: T) => void) => void): Promise<T> =>
    new Promise((resolve, reject) =>
      ask((error, result) => {
        if (error instanceof Error) reject(error)
        else resolve(result!)
      }),
    )

  test('keeps sessions apart until they are destroyed', async () => {
    const { url } = await application()
    const [ana, bo] = [new Browser(url), new Browser(url)]
    expect(await ana.visit('/count')).toEqual({ views: 1 })
    expect(await ana.visit('/count')).toEqual({ views: 2 })
    expect(await bo.visit('/count')).toEqual({ views: 1 })
    expect(await ana.visit('/leave')).toEqual({ error: null })
    expect(await ana.visit('/look')).toEqual({ views: null })
    expect(await bo.visit('/look')).toEqual({ views: 1 })
  })

  test('lets a session live as long as its cookie, and use prolongs it without writing it', async () => {
    const { url, store, prefix } = await application(1_500)
    const ana = new Browser(url)
    await ana.visit('/count')
    const [path] = await account.ok(account.get<string[]>(`/_sess/${prefix}?depth=1`))
    for (let i = 0; i < 5; i++) {
      await sleep(500)
      expect(await ana.visit('/look')).toEqual({ views: 1 })
    }
    const rows = await account.ok(account.get<Row[]>(`/_sess/${path}?k=express&time_series=1`))
    expect(rows).toHaveLength(1)
    await sleep(1_700)
    expect(await ana.visit('/look')).toEqual({ views: null })
    expect(await asked<number>((done) => store.length(done))).toBe(0)
  })

  test('tells of all sessions, counts them and clears them', async () => {
    const { store } = await application()
    const put = (id: string, value: object) =>
      asked<void>((done) => store.set(id, { cookie: { originalMaxAge: null }, ...value }, done))
    for (const [i, id] of STRANGE.entries()) await put(id, { views: i })
    expect(await asked<number>((done) => store.length(done))).toBe(STRANGE.length)
    const all = await asked<readonly object[]>((done) => store.all(done))
    const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
    expect(
      (all as readonly { id: string; views: number }[]).map(({ id, views }) => ({ id, views })).sort(byId),
    ).toEqual(STRANGE.map((id, views) => ({ id, views })).sort(byId))
    expect(await asked((done) => store.get('a/b', done))).toMatchObject({ views: 0 })
    expect(await asked((done) => store.get('nobody', done))).toBeNull()
    await asked<void>((done) => store.touch('nobody', {}, done))
    await asked<void>((done) => store.destroy('nobody', done))
    await asked<void>((done) => store.clear(done))
    expect(await asked<number>((done) => store.length(done))).toBe(0)
  })

  test('hands on what the server refuses', async () => {
    const store = expressSessionStore(session, { ...gateway, secret: 'wrong' })
    await expect(asked((done) => store.get('x', done))).rejects.toMatchObject({
      code: 'unauthorized',
      status: 401,
    })
    await expect(asked<void>((done) => store.set('x', {}, done))).rejects.toMatchObject({
      code: 'unauthorized',
    })
  })
})

describe('unstorage', () => {
  test('keeps items of any kind and key, lists and clears them', async () => {
    const driver = unstorageDriver({ ...gateway, prefix: 'un/one' })
    const storage = createStorage({ driver })
    const values = { object: { n: [1, null] }, text: 'text', number: 7, truth: false }
    for (const [key, value] of Object.entries(values)) {
      await storage.setItem(`of:${key}`, value)
      expect(await storage.getItem(`of:${key}`)).toEqual(value)
    }
    await storage.setItemRaw('raw', new Uint8Array([1, 2, 255]))
    expect(Buffer.from((await storage.getItemRaw<Uint8Array>('raw'))!)).toEqual(Buffer.from([1, 2, 255]))
    expect((await storage.getKeys()).sort()).toEqual(['of:number', 'of:object', 'of:text', 'of:truth', 'raw'])
    expect((await storage.getKeys('of')).length).toBe(4)
    expect(await storage.hasItem('of:text')).toBe(true)
    await storage.removeItem('of:text')
    expect(await storage.hasItem('of:text')).toBe(false)
    expect(await storage.getItem('of:text')).toBeNull()
    await driver.clear('of:')
    expect(await storage.getKeys()).toEqual(['raw'])
    await storage.clear()
    expect(await storage.getKeys()).toEqual([])
  })

  test('takes any key as it is', async () => {
    const driver = unstorageDriver({ ...gateway, prefix: 'un/strange' })
    for (const key of STRANGE) await driver.setItem(key, key)
    for (const key of STRANGE) expect(await driver.getItem(key)).toBe(key)
    expect((await driver.getKeys()).sort()).toEqual([...STRANGE].sort())
  })

  test('lets items lapse', async () => {
    const storage = createStorage({ driver: unstorageDriver({ ...gateway, prefix: 'un/ttl', ttl: 0.4 }) })
    await storage.setItem('usual', 1)
    await storage.setItem('longer', 1, { ttl: 60 })
    await sleep(450)
    expect(await storage.getKeys()).toEqual(['longer'])
    expect(await storage.getItem('usual')).toBeNull()
  })
})

describe('Keyv', () => {
  test('keeps values, in namespaces that are cleared alone', async () => {
    const errors: unknown[] = []
    const [users, carts] = ['users', 'carts'].map((namespace) => {
      const keyv = new Keyv({ store: new KeyvStore({ ...gateway, prefix: 'keyv/one' }), namespace })
      keyv.on('error', (error) => errors.push(error))
      return keyv
    }) as [Keyv, Keyv]
    for (const value of [{ n: [1, null] }, 'text', 7, false]) {
      await users.set('ana', value)
      expect(await users.get('ana')).toEqual(value)
    }
    for (const key of STRANGE) await users.set(key, { key })
    expect(await users.get(STRANGE)).toEqual(STRANGE.map((key) => ({ key })))
    await carts.set('ana', 'hers')
    expect(await carts.has('ana')).toBe(true)
    expect(await carts.has('bo')).toBe(false)
    expect(await users.delete('ana')).toBe(true)
    expect(await users.delete('ana')).toBe(false)
    expect(await users.get('ana')).toBeUndefined()
    await users.clear()
    expect(await users.get('a/b')).toBeUndefined()
    expect(await carts.get('ana')).toBe('hers')
    expect(errors).toEqual([])
  })

  test('lets values lapse on the server, too', async () => {
    const store = new KeyvStore({ ...gateway, prefix: 'keyv/ttl' })
    const keyv = new Keyv({ store })
    await keyv.set('short', 1, 300)
    await keyv.set('longer', 1, 60_000)
    await sleep(350)
    expect(await keyv.get('short')).toBeUndefined()
    const kept: string[] = []
    for await (const [key] of store.iterator()) kept.push(key)
    expect(kept).toEqual(['longer'].map((key) => expect.stringContaining(key) as string))
  })
})

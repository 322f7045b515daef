import express from 'express'
import session from 'express-session'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SessionCacheManager, expressStore } from '../../session-cache'
import { removeTableRooms, tableRoom } from './table-room'

declare module 'express-session' {
  interface SessionData {
    views?: number
  }
}

const closers: (() => Promise<unknown>)[] = []
let cache: SessionCacheManager
let room: string

beforeEach(() => {
  room = tableRoom()
  cache = open()
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  removeTableRooms()
})

function open(): SessionCacheManager {
  const made = new SessionCacheManager({
    manage_section: true,
    cache: { directory: room, record_size: 400, sessions_length: 60_000 },
  })
  closers.push(() => made.close())
  return made
}

/** An application with sessions; its URL. */
async function application(maxAge?: number): Promise<string> {
  const app = express()
  app.use(
    session({
      secret: 'a secret of the tests',
      resave: false,
      saveUninitialized: false,
      cookie: maxAge === undefined ? {} : { maxAge },
      store: expressStore(session, cache),
    }),
  )
  app.get('/count', (request, response) => {
    request.session.views = (request.session.views ?? 0) + 1
    response.json({ views: request.session.views })
  })
  app.get('/look', (request, response) => void response.json({ views: request.session.views ?? null }))
  app.get('/big', (request, response) => {
    Object.assign(request.session, { big: 'x'.repeat(1000) })
    request.session.save((error: unknown) => void response.json({ error: String(error) }))
  })
  app.get('/leave', (request, response) => {
    request.session.destroy((error: unknown) => void response.json({ error: error ?? null }))
  })
  app.use(((error: Error, _request, response, _next) => {
    response.status(500).json({ error: error.message })
  }) as express.ErrorRequestHandler)
  const server = await new Promise<Server>((resolve) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve(listening))
  })
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      }),
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

class Browser {
  #cookie: string | undefined
  constructor(private readonly url: string) {}

  async get(path: string, url = this.url): Promise<Record<string, unknown>> {
    const response = await fetch(url + path, {
      ...(this.#cookie === undefined ? {} : { headers: { cookie: this.#cookie } }),
    })
    const cookie = response.headers.get('set-cookie')
    if (cookie !== null) this.#cookie = cookie.split(';')[0]
    return (await response.json()) as Record<string, unknown>
  }

  get id(): string {
    return decodeURIComponent(this.#cookie!.split('=')[1]!).slice(2).split('.')[0]!
  }
}

describe('the store of express-session', () => {
  test('keeps sessions apart, in every process of the box, until they are destroyed', async () => {
    const [url, other] = [await application(), await application()]
    const [lily, elena] = [new Browser(url), new Browser(url)]
    expect(await lily.get('/count')).toEqual({ views: 1 })
    expect(await lily.get('/count', other)).toEqual({ views: 2 })
    expect(await elena.get('/count')).toEqual({ views: 1 })
    expect(await lily.get('/leave')).toEqual({ error: null })
    expect(await lily.get('/look')).toEqual({ views: null })
    expect(await elena.get('/look')).toEqual({ views: 1 })
  })

  test('lets a session live as long as its cookie, which use renews', async () => {
    const url = await application(1500)
    const browser = new Browser(url)
    await browser.get('/count')
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 800))
      expect(await browser.get('/look')).toEqual({ views: 1 })
    }
    const { id } = browser
    await new Promise((resolve) => setTimeout(resolve, 1700))
    expect(await cache.get(id)).toBe(false)
  })

  test('says when a session is too large', async () => {
    const browser = new Browser(await application())
    expect(await browser.get('/big')).toEqual({ error: expect.stringContaining('record_size') as unknown })
  })
})

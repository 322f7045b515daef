import type { Client } from './client'
import { CouchServer } from './couchdb/server'
import { startPlatform, type Platform } from './platform'

/** Where the platform keeps its data in a run of the walkthrough. */
interface Ground {
  start(): Promise<Platform>
  /** The databases, or buckets, that are there, sorted. */
  places(): Promise<readonly string[]>
  stop(): Promise<void>
  readonly expected: {
    readonly atFirst: readonly string[]
    readonly withElena: readonly string[]
    readonly withLily: readonly string[]
  }
}

const SECONDS = expect.any(Number)
const VER = expect.any(String)

/**
 * The walkthrough of the original's notes on accounts, step by step, with what each step printed there. Where clients
 * that came later expect more, that is what we answer (contract §12): accounts and namespaces say their `_ver_`, and the
 * update of an account answers the account.
 */
function walkthrough(name: string, ground: Ground): void {
  describe(`the walkthrough on ${name}`, () => {
    let platform: Platform
    let sys: Client
    let elena: Client
    let elenasSecret: string
    let lilysSecret: string
    beforeAll(async () => {
      platform = await ground.start()
      sys = platform.sys
    })
    afterAll(async () => {
      await platform?.close()
      await ground.stop()
    })
    const inLilysContext = (password: string) => platform.as('elena#lily', password)

    test('the system has its bucket', async () => {
      expect(await ground.places()).toEqual(ground.expected.atFirst)
    })

    test('sys creates a top level account for elena', async () => {
      const { body } = await sys.put<{ secret: string }>('/_acc/accounts', {
        k: 'elena',
        v: { email: 'elena@async.cl', password: 'woot' },
      })
      expect(body).toEqual({
        v: {
          username: 'elena',
          term: 'monthly',
          secret: expect.stringMatching(/^\S{16,}$/),
          plan: 'free',
          password: 'woot',
          last_name: null,
          first_name: null,
          email: 'elena@async.cl',
          customer_id: null,
          created: SECONDS,
          company: null,
          active: true,
          _ver_: VER,
        },
        s: 'ok',
      })
      elenasSecret = body.v.secret
      elena = platform.as('elena', elenasSecret)
      expect(await ground.places()).toEqual(ground.expected.withElena)
    })

    test.each(['k=elena', 'k2=elena@async.cl'])('sys queries for her by %s', async (query) => {
      const { body } = await sys.get(`/_acc/accounts?${query}`)
      expect(body).toEqual({
        v: {
          username: 'elena',
          last_name: null,
          first_name: null,
          email: 'elena@async.cl',
          created: SECONDS,
          company: null,
          active: true,
          _ver_: VER,
        },
        s: 'ok',
      })
      expect(Math.abs(Number(body.v.created) - Date.now() / 1000)).toBeLessThan(120)
    })

    test('elena creates lily, the same way', async () => {
      const { body } = await elena.put<{ secret: string }>('/_acc/accounts', {
        k: 'lily',
        v: { email: 'lily@async.cl', password: 'woot2' },
      })
      expect(body).toEqual({
        v: {
          username: 'lily',
          term: 'monthly',
          secret: expect.stringMatching(/^\S{16,}$/),
          plan: 'free',
          password: 'woot2',
          last_name: null,
          first_name: null,
          email: 'lily@async.cl',
          customer_id: null,
          created: SECONDS,
          company: null,
          active: true,
          _ver_: VER,
        },
        s: 'ok',
      })
      lilysSecret = body.v.secret
    })

    test('elena lists her accounts', async () => {
      expect((await elena.get('/_acc/accounts')).body).toEqual({ v: ['lily'], s: 'ok' })
    })

    const lily = (active: boolean) => ({
      v: {
        username: 'lily',
        last_name: null,
        first_name: null,
        email: 'lily@async.cl',
        created: SECONDS,
        company: null,
        active,
        _ver_: VER,
      },
      s: 'ok',
    })

    test('elena looks at lily', async () => {
      expect((await elena.get('/_acc/accounts?k=lily')).body).toEqual(lily(true))
    })

    test('elena deactivates lily', async () => {
      const { body } = await elena.post('/_acc/accounts', { k: 'lily', v: { active: false } })
      expect(body).toEqual(lily(false))
      expect((await elena.get('/_acc/accounts?k=lily')).body).toEqual(lily(false))
    })

    const unauthorized = { v: 'unauthorized', s: 'error' }

    test('lily alone is unknown at the top level', async () => {
      const { body } = await platform.as('lily', lilysSecret).put('/_ns/a/path/that/lily/created')
      expect(body).toEqual(unauthorized)
    })

    test('lily in the context of elena is not let in while she is not active', async () => {
      const { body } = await inLilysContext(lilysSecret).put('/_ns/a/path/that/lily/created')
      expect(body).toEqual(unauthorized)
    })

    test('elena activates lily, who then creates a path of her own', async () => {
      const { body } = await elena.post('/_acc/accounts', { k: 'lily', v: { active: true } })
      expect(body).toEqual(lily(true))
      const created = await inLilysContext(lilysSecret).put('/_ns/a/path/that/lily/created')
      expect(created.body).toEqual({ v: { _ver_: VER }, s: 'ok' })
      const listed = await inLilysContext(lilysSecret).get('/_ns/?depth=5')
      expect(listed.body).toEqual({ v: ['a/path/that/lily/created'], s: 'ok' })
    })

    test("lily's data is in a database of its own", async () => {
      expect(await ground.places()).toEqual(ground.expected.withLily)
      expect((await elena.get('/_ns/?depth=5')).body).toEqual({ v: [], s: 'ok' })
    })

    test("elena's secret is not lily's", async () => {
      const { body } = await inLilysContext(elenasSecret).put('/_ns/a/path/that/elena/created/for/lily')
      expect(body).toEqual(unauthorized)
    })

    test('elena acts for lily with her own secret behind a !', async () => {
      const { body } = await inLilysContext('!' + elenasSecret).put('/_ns/a/path/that/elena/created/for/lily')
      expect(body).toEqual({ v: { _ver_: VER }, s: 'ok' })
    })

    test('lily finds what both have created', async () => {
      const { body } = await inLilysContext(lilysSecret).get('/_ns/?depth=7')
      expect(body).toEqual({
        v: ['a/path/that/elena/created/for/lily', 'a/path/that/lily/created'],
        s: 'ok',
      })
      expect((await elena.get('/_ns/?depth=7')).body).toEqual({ v: [], s: 'ok' })
      expect((await sys.get('/_ns/?depth=7')).body).toEqual({ v: [], s: 'ok' })
    })
  })
}

function embedded(): Ground {
  let platform: Platform
  return {
    start: async () => (platform = await startPlatform()),
    async places() {
      const names: string[] = []
      for await (const bucket of platform.engine.list()) names.push(bucket)
      return names.sort()
    },
    stop: async () => undefined,
    expected: {
      atFirst: ['$sys'],
      withElena: ['$elena', '$sys'],
      withLily: ['$elena', '$elena)lily', '$sys'],
    },
  }
}

function couch(): Ground {
  let server: CouchServer
  return {
    async start() {
      server = await CouchServer.start({ login: 'admin:password' })
      return startPlatform({ settings: { KV4_COUCHDB_URL: server.url } })
    },
    places: async () => server.databaseNames,
    stop: () => server?.close(),
    expected: {
      atFirst: ['kv4_$sys_data'],
      withElena: ['kv4_$elena_data', 'kv4_$sys_data'],
      withLily: ['kv4_$elena)lily_data', 'kv4_$elena_data', 'kv4_$sys_data'],
    },
  }
}

walkthrough('the embedded store', embedded())
walkthrough("a server of CouchDB's protocol", couch())

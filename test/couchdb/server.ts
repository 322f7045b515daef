import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { json, text } from 'node:stream/consumers'
import expressPouchdb from 'express-pouchdb'
import PouchDB from 'pouchdb'
import memoryAdapter from 'pouchdb-adapter-memory'
import { Refusal, View, type ViewDefinition, type ViewQuery } from './view'

export interface CouchServerOptions {
  /** What the welcome says. Default 3.5.3. */
  readonly version?: string
  /** `user:password`; absent: everybody is an administrator. */
  readonly login?: string
}

interface Database {
  /** Its name in PouchDB, which does not like one to be used again. */
  readonly physical: string
  readonly ready: Promise<void>
  readonly pouch: PouchDB.Database
  readonly views: Map<string, View>
}

let servers = 0

/**
 * A server of CouchDB's protocol, in memory, for the tests: express-pouchdb and PouchDB, with what they lack:
 * `_all_docs/queries`, views (view.ts), a continuous feed that ends with its reader, listing and creating databases
 * without races, credentials, a version.
 */
export class CouchServer {
  readonly #pouch: PouchDB.Static
  readonly #express: http.Server
  readonly #databases = new Map<string, Database>()
  readonly #server: http.Server
  #made = 0
  readonly #open = new Set<() => void>()

  private constructor(private readonly options: CouchServerOptions) {
    // A prefix of its own: databases in memory are the process's.
    this.#pouch = PouchDB.plugin(memoryAdapter).defaults({ adapter: 'memory', prefix: `couch-${++servers}-` })
    this.#express = http.createServer(expressPouchdb(this.#pouch, { mode: 'minimumForPouchDB' }))
    this.#server = http.createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        const { status, error: code } = error instanceof Refusal ? error : { status: 500, error: 'internal' }
        send(response, status, { error: code, reason: (error as Error).message })
      })
    })
  }

  static async start(options: CouchServerOptions = {}): Promise<CouchServer> {
    const server = new CouchServer(options)
    for (const each of [server.#express, server.#server])
      await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve))
    return server
  }

  /** With the credentials, as the adapter takes it. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo
    const [user = '', ...password] = this.options.login?.split(':') ?? []
    const login = `${encodeURIComponent(user)}:${encodeURIComponent(password.join(':'))}@`
    return `http://${login === ':@' ? '' : login}127.0.0.1:${port}`
  }

  /** Behind the protocol, to make what a single server would not. */
  database(name: string): PouchDB.Database {
    return this.#databases.get(name)!.pouch
  }

  get databaseNames(): readonly string[] {
    return [...this.#databases.keys()].sort()
  }

  async close(): Promise<void> {
    for (const end of this.#open) end()
    for (const each of [this.#server, this.#express]) {
      const closed = new Promise((resolve) => each.close(resolve))
      each.closeAllConnections()
      await closed
    }
    for (const { pouch } of this.#databases.values()) await pouch.destroy()
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://localhost')
    this.#authenticate(request)
    const [first = '', ...rest] = url.pathname.slice(1).split('/').map(decodeURIComponent)
    const path = rest.join('/')
    const method = request.method!
    if (first === '')
      return send(response, 200, { couchdb: 'Welcome', version: this.options.version ?? '3.5.3' })
    if (first === '_up') return send(response, 200, { status: 'ok' })
    if (first === '_session')
      return send(response, 200, { ok: true, userCtx: { name: this.#user, roles: ['_admin'] } })
    if (first === '_membership') return send(response, 200, { all_nodes: ['a'], cluster_nodes: ['a'] })
    if (first === '_all_dbs') return send(response, 200, this.#list(url.searchParams))
    if (path === '' && method === 'PUT') return this.#create(first, response)
    const database = this.#databases.get(first)
    if (database === undefined) throw new Refusal(404, 'not_found', 'Database does not exist.')
    if (path === '' && method === 'DELETE') return this.#drop(first, database, response)
    if (path === '_changes' && url.searchParams.get('feed') === 'continuous')
      return this.#follow(database, url.searchParams, response)
    if (method === 'POST' && path === '_all_docs/queries') {
      const { queries } = (await json(request)) as { queries: readonly object[] }
      const results = []
      for (const query of queries) results.push(await database.pouch.allDocs(query))
      return send(response, 200, { results })
    }
    const [, design, view] = /^(_design\/[^/]+)\/_view\/([^/]+)\/queries$/.exec(path) ?? []
    if (method === 'POST' && design !== undefined && view !== undefined) {
      const { queries } = (await json(request)) as { queries: readonly ViewQuery[] }
      const found = await this.#view(database, design, view)
      const results = []
      for (const query of queries) results.push(await found.query(query))
      return send(response, 200, { results })
    }
    await database.ready
    return this.#forward(request, response, `/${database.physical}/${path}${url.search}`)
  }

  async #forward(request: http.IncomingMessage, response: http.ServerResponse, path: string): Promise<void> {
    const { port } = this.#express.address() as AddressInfo
    const body = request.method === 'GET' ? undefined : disguise(await text(request))
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: request.method!,
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      ...(body === undefined ? {} : { body }),
    })
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    response.end(reveal(await answer.text()))
  }

  get #user(): string | null {
    return this.options.login?.split(':')[0] ?? null
  }

  #authenticate({ headers }: http.IncomingMessage): void {
    const { login } = this.options
    if (login === undefined) return
    if (headers.authorization !== 'Basic ' + Buffer.from(login).toString('base64'))
      throw new Refusal(401, 'unauthorized', 'Name or password is incorrect.')
  }

  #list(query: URLSearchParams): readonly string[] {
    const bound = (name: string, otherwise: string) => JSON.parse(query.get(name) ?? otherwise) as string
    const [start, end] = [bound('startkey', '""'), bound('endkey', '"\\uffff"')]
    return this.databaseNames
      .filter((name) => name >= start && name <= end)
      .slice(0, Number(query.get('limit') ?? Infinity))
  }

  async #create(name: string, response: http.ServerResponse): Promise<void> {
    const present = this.#databases.get(name)
    await present?.ready
    if (present !== undefined)
      throw new Refusal(412, 'file_exists', 'The database could not be created, the file already exists.')
    if (!/^[a-z][a-z0-9_$()+/-]*$/.test(name))
      throw new Refusal(400, 'illegal_database_name', `Name: '${name}'. Only lowercase characters …`)
    const physical = `database-${++this.#made}`
    const pouch = new this.#pouch(physical)
    const ready = this.#registered(physical, pouch)
    this.#databases.set(name, { physical, pouch, views: new Map(), ready })
    await ready
    send(response, 201, { ok: true })
  }

  /** express-pouchdb finds a database only after PouchDB has told it of one, which takes a moment. */
  async #registered(physical: string, pouch: PouchDB.Database): Promise<void> {
    await pouch.info()
    while (!(await this.#pouch.allDbs()).includes(physical))
      await new Promise((resolve) => setTimeout(resolve, 1))
  }

  async #drop(name: string, { pouch }: Database, response: http.ServerResponse): Promise<void> {
    this.#databases.delete(name)
    await pouch.destroy()
    send(response, 200, { ok: true })
  }

  async #view({ pouch, views }: Database, design: string, name: string): Promise<View> {
    const { rows } = (await pouch.allDocs({ keys: [design], include_docs: true })) as {
      rows: readonly {
        readonly doc?: { readonly _rev: string; readonly views: Record<string, ViewDefinition> } | null
      }[]
    }
    const doc = rows[0]?.doc
    const definition = doc?.views[name]
    if (!doc || definition === undefined) throw new Refusal(404, 'not_found', 'missing')
    const id = `${doc._rev} ${name}`
    if (!views.has(id)) views.set(id, new View(pouch, definition))
    return views.get(id)!
  }

  #follow({ pouch }: Database, query: URLSearchParams, response: http.ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' })
    const heartbeat = setInterval(() => response.write('\n'), Number(query.get('heartbeat')))
    const changes = pouch.changes({
      since: Number(query.get('since')),
      include_docs: query.get('include_docs') === 'true',
      live: true,
      conflicts: query.get('conflicts') === 'true',
      style: query.get('style') === 'all_docs' ? 'all_docs' : 'main_only',
    })
    const end = () => {
      this.#open.delete(end)
      clearInterval(heartbeat)
      changes.cancel()
      response.end()
    }
    this.#open.add(end)
    changes.on('change', (row) => response.write(reveal(JSON.stringify(row)) + '\n'))
    changes.on('complete', end)
    changes.on('error', end)
    response.on('close', end)
  }
}

function send(response: http.ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(reveal(JSON.stringify(body)))
}

// PouchDB loses properties of this name when it clones a document.
function disguise(json: string): string {
  return json.replaceAll('"__proto__"', '"\\u0001__proto__"')
}

function reveal(json: string): string {
  return json.replaceAll('"\\u0001__proto__"', '"__proto__"')
}

import nano from 'nano'
import { translated, unavailable } from './couch-error'

/** Where CouchDB is, with the credentials taken out of the URL. */
export interface CouchEndpoint {
  /** No credentials, no trailing slash. */
  readonly url: string
  /** The `Authorization` header; absent: none is sent. */
  readonly authorization?: string
}

export interface CouchRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** From `BucketName.database`. Absent: the server itself. */
  readonly database?: string
  /** A constant of the adapter's: nothing that a user chose may stand here. */
  readonly path?: string
  readonly query?: Readonly<Record<string, string | number | boolean>>
  readonly body?: object
}

export interface CouchAnswer<Body> {
  readonly status: number
  readonly body: Body
}

// nano's typings lack what its request takes.
interface NanoRequest {
  readonly method: string
  readonly db?: string
  readonly path?: string
  readonly qs?: object
  readonly body?: string
  readonly dontStringify: true
  readonly signal: AbortSignal
}
interface NanoLogEntry {
  readonly retval?: unknown
  readonly headers?: { readonly statusCode?: number }
}

/**
 * One request, one answer, through nano. Connections are kept alive by fetch.
 *
 * nano gives a body without its status, and 201 is not 202 here: its log hook is called with both, just before.
 */
export class CouchClient {
  readonly #request: (request: NanoRequest) => Promise<unknown>
  /** Documents may have several copies that do not agree at every moment. Set once, when the server is checked. */
  clustered = false
  readonly #statuses = new WeakMap<object, number>()

  constructor(
    readonly endpoint: CouchEndpoint,
    readonly timeoutMs: number,
  ) {
    const server = nano({
      url: endpoint.url,
      // parseUrl would take the last part of a URL with a path for a database.
      parseUrl: false,
      ...(endpoint.authorization === undefined ? {} : { headers: { Authorization: endpoint.authorization } }),
      log: (entry: unknown) => {
        const { retval, headers } = entry as NanoLogEntry
        if (typeof retval === 'object' && retval !== null && headers?.statusCode !== undefined)
          this.#statuses.set(retval, headers.statusCode)
      },
    } as nano.Configuration)
    this.#request = (request) => server.request(request)
  }

  /** @throws store_unavailable, bucket_not_found, CouchError (see translated) */
  async send<Body>(request: CouchRequest): Promise<CouchAnswer<Body>> {
    let body: unknown
    try {
      body = await this.#request({
        method: request.method ?? 'GET',
        ...(request.database === undefined ? {} : { db: request.database }),
        ...(request.path === undefined ? {} : { path: request.path }),
        ...(request.query === undefined ? {} : { qs: request.query }),
        // nano would stringify with a replacer that is called for every property.
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        dontStringify: true,
        signal: AbortSignal.timeout(this.timeoutMs),
      })
    } catch (failure) {
      throw translated(failure)
    }
    // nano resolves with an empty text when the body of an answer was cut or is not JSON.
    if (typeof body !== 'object' || body === null) throw unavailable('the answer of CouchDB was cut short')
    return { status: this.#statuses.get(body) ?? 0, body: body as Body }
  }
}

/** What most answers have in `v`: an object that says its version. */
export interface Versioned {
  readonly _ver_: string
  readonly [name: string]: unknown
}

/** A row of a time series. */
export type Row = readonly [seconds: number, login: string, value: unknown, key?: string]

/** One answer of the platform; `V` is what the test expects in `v`. */
export interface Answer<V = Versioned> {
  readonly status: number
  readonly headers: Headers
  readonly body: { readonly v: V; readonly s: string; readonly next?: string; readonly d?: unknown }
}

export interface CallOptions {
  /** Sent as JSON; text is sent as it is. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** The platform as one login sees it, over HTTP. */
export class Client {
  constructor(
    readonly url: string,
    readonly user: string,
    readonly password: string,
  ) {}

  /** The same platform as somebody else sees it. */
  as(user: string, password: string): Client {
    return new Client(this.url, user, password)
  }

  async call<V = Versioned>(
    method: string,
    target: string,
    { body, headers = {} }: CallOptions = {},
  ): Promise<Answer<V>> {
    const response = await fetch(this.url + target, {
      method,
      headers: {
        Authorization: 'Basic ' + Buffer.from(`${this.user}:${this.password}`).toString('base64'),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    // Not Modified has none.
    const envelope = (text === '' ? undefined : JSON.parse(text)) as Answer<V>['body']
    return { status: response.status, headers: response.headers, body: envelope }
  }

  get<V = Versioned>(target: string, headers: CallOptions['headers'] = {}): Promise<Answer<V>> {
    return this.call('GET', target, { headers })
  }

  put<V = Versioned>(
    target: string,
    body?: unknown,
    headers: CallOptions['headers'] = {},
  ): Promise<Answer<V>> {
    return this.call('PUT', target, { body, headers })
  }

  post<V = Versioned>(
    target: string,
    body?: unknown,
    headers: CallOptions['headers'] = {},
  ): Promise<Answer<V>> {
    return this.call('POST', target, { body, headers })
  }

  delete<V = number>(target: string, headers: CallOptions['headers'] = {}): Promise<Answer<V>> {
    return this.call('DELETE', target, { headers })
  }

  /** The `v` of an answer that must be good. */
  async ok<V>(answer: Promise<Answer<V>>): Promise<V> {
    const { status, body } = await answer
    if (body.s !== 'ok' || (status !== 200 && status !== 201))
      throw new Error(`expected a good answer, got ${status} ${JSON.stringify(body)}`)
    return body.v
  }

  /** Status and code of an answer that must be an error: `404 not_found`. */
  async error(answer: Promise<Answer<unknown>>): Promise<string> {
    const { status, body } = await answer
    if (body.s !== 'error') throw new Error(`expected an error, got ${status} ${JSON.stringify(body)}`)
    return `${status} ${String(body.v)}`
  }
}

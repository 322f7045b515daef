import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { Key } from '../../../core'
import type { Bucket, Json } from '../../../core'
import { PLACES } from '../../../services/registry/places'
import { basic, ask, openWorld, SYS_SECRET } from '../../server/world'
import type { Answer, World } from '../../server/world'

export const SYS = `$sys:${SYS_SECRET}`

/** What a client of the registry gets. */
export interface Reply {
  readonly status: number
  readonly headers: Answer['headers']
  readonly text: string
  // Tests look into it as they like.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly json: any
}

export interface Sent {
  /** As JSON; a string or bytes as they are. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** An account that speaks as the published clients do: a token, the tenant in the path, no Content-Type unless it says so. */
export class RegistryClient {
  token = ''
  tenant = ''

  constructor(
    readonly port: number,
    readonly user: string,
    readonly secret: string,
  ) {}

  get as(): string {
    return `${this.user}:${this.secret}`
  }

  async login(path = '/v2.0/tokens'): Promise<Reply> {
    const body = { auth: { 'RAX-KSKEY:apiKeyCredentials': { username: this.user, apiKey: this.secret } } }
    const reply = await ask(this.port, 'POST', path, { body })
    if (reply.status === 200) {
      this.token = reply.json.access.token.id
      this.tenant = reply.json.access.token.tenant.id
    }
    return reply
  }

  async call(method: string, path: string, { body, headers }: Sent = {}): Promise<Reply> {
    const bytes =
      body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
        ? body
        : Buffer.from(JSON.stringify(body))
    return sendBare(this.port, method, `/v1.0/${this.tenant}${path}`, bytes, {
      'X-Auth-Token': this.token,
      ...headers,
    })
  }

  get(path: string, headers?: Sent['headers']): Promise<Reply> {
    return this.call('GET', path, headers === undefined ? {} : { headers })
  }

  post(path: string, body?: unknown): Promise<Reply> {
    return this.call('POST', path, { body })
  }

  put(path: string, body?: unknown): Promise<Reply> {
    return this.call('PUT', path, { body })
  }

  delete(path: string): Promise<Reply> {
    return this.call('DELETE', path)
  }

  /** By the platform's own routes. */
  native(method: string, path: string, body?: unknown): Promise<Answer> {
    return ask(this.port, method, path, { as: this.as, ...(body !== undefined && { body }) })
  }
}

/** Without a Content-Type, as python sends. */
async function sendBare(
  port: number,
  method: string,
  path: string,
  body: string | Buffer | undefined,
  headers: Record<string, string>,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        agent: false,
        headers: {
          ...headers,
          ...(body !== undefined && { 'Content-Length': String(Buffer.byteLength(body)) }),
        },
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            text,
            json: text === '' ? undefined : JSON.parse(text),
          }),
        )
        response.on('error', reject)
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

/** An event as it is told in a stream. */
export interface Event {
  readonly id: string
  readonly type: string
  readonly payload: Record<string, unknown>
}

/** A stream of events as the platform's own routes send it. */
export function openStream(
  client: RegistryClient,
  path: string,
  lastEventId?: string,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port: client.port,
        path,
        agent: false,
        headers: {
          Accept: 'text/event-stream',
          Authorization: basic(client.as),
          ...(lastEventId !== undefined && { 'Last-Event-ID': lastEventId }),
        },
      },
      resolve,
    )
    sent.on('error', reject)
    sent.end()
  })
}

/** So many events, then the connection ends. */
export async function take(response: IncomingMessage, count: number): Promise<Event[]> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk as string
    const events = [...text.matchAll(/^id: (.*)\nevent: (.*)\ndata: (.*)\n\n/gm)]
    if (events.length >= count) {
      response.destroy()
      return events.map(([, id, type, data]) => {
        const event = JSON.parse(data!) as Event
        expect([event.id, event.type]).toEqual([id, type])
        return event
      })
    }
  }
  throw new Error('the stream ended: ' + text)
}

/** Of a service or a session as it is stored. */
export type Change = readonly [
  kind: 'services' | 'sessions',
  id: string,
  change: Readonly<Record<string, unknown>>,
]

/** As another node would have written it. */
export async function editLease(bucket: Bucket, ...[kind, id, change]: Change): Promise<void> {
  await bucket.modify(
    { ...PLACES[kind], key: Key.parse(id) },
    (current) => ({ ...(current!.v as object), ...change }) as Json,
    { by: '$sys' },
  )
}

/** A primary account of a running server. */
export async function newAccount(port: number, name: string): Promise<RegistryClient> {
  const body = { k: name, v: { email: `${name}@example.com` } }
  const { status, json } = await ask(port, 'PUT', '/_acc/accounts', { as: SYS, body })
  if (status !== 201) throw new Error(`no account: ${status} ${JSON.stringify(json)}`)
  return new RegistryClient(port, name, json.v.secret as string)
}

/** A primary account with a token of its own. */
export async function loggedIn(port: number, name: string): Promise<RegistryClient> {
  const client = await newAccount(port, name)
  await client.login()
  return client
}

/** The fields that python indexes, and what they say. */
export function fault(
  reply: Reply,
): readonly [status: number, type: string, message: string, details: unknown] {
  const { type, code, message, details, txnId, ...rest } = reply.json
  expect(code).toBe(reply.status)
  expect(txnId).toMatch(/^\.rh-.{4}\.h-.+\.ts-\d{13}\.v-/)
  expect(rest).toEqual({})
  return [reply.status, type, message, details]
}

export { openWorld }
export type { World }

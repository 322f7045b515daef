import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SYS_SECRET, ask, basic, openWorld } from '../../server/world'
import type { Answer, Ask, World } from '../../server/world'

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  // Tests look into it as they like.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly json: any
}

/** A server whose mount acts for `elena` where a client has no credential. */
export interface NesoiWorld {
  readonly world: World
  readonly port: number
  /** `elena:secret` */
  readonly elena: string
  /** As an unmodified client: no credential, no Content-Type. */
  nesoi(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>
  /** By the platform's own routes, as elena unless it says otherwise. */
  native(method: string, path: string, how?: Ask): Promise<Answer>
  close(): Promise<void>
}

export const SYS = `$sys:${SYS_SECRET}`
export const PEPPER = 'a pepper that all nodes have, long enough'

/** Text and bytes are sent as they are, anything else as JSON. */
export function send(
  port: number,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const bytes =
    body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        agent: false,
        headers: {
          ...headers,
          ...(bytes !== undefined && { 'Content-Length': String(Buffer.byteLength(bytes)) }),
        },
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('end', () => {
          const isJson = response.headers['content-type'] === 'application/json' && text !== ''
          const json: unknown = isJson ? JSON.parse(text) : undefined
          resolve({ status: response.statusCode!, headers: response.headers, text, json })
        })
        response.on('error', reject)
      },
    )
    sent.on('error', reject)
    sent.end(bytes)
  })
}

/** The secret of a new primary account. */
export async function newAccount(port: number, name: string, as = SYS): Promise<string> {
  const body = { k: name, v: { email: `${name}@example.com` } }
  const { status, json } = await ask(port, 'PUT', '/_acc/accounts', { as, body })
  if (status !== 201) throw new Error(`no account: ${status} ${JSON.stringify(json)}`)
  return json.v.secret as string
}

export { basic }

export async function openNesoi(env: Readonly<Record<string, string>> = {}): Promise<NesoiWorld> {
  const directory = await mkdtemp(join(tmpdir(), 'kv4-nesoi-'))
  const settings = {
    KV4_DATA_DIR: directory,
    KV4_PEPPER: PEPPER,
    KV4_HOOKS_ALLOW: '127.0.0.0/8',
    KV4_HOOKS_RETRIES_MS: '100,200,400',
    ...env,
  }
  // The account has to be there for its secret to be known.
  const first = await openWorld(settings)
  const elena = `elena:${await newAccount(first.server.port, 'elena')}`
  await first.close()
  const world = await openWorld({ ...settings, KV4_MOUNT_LOGINS: `nesoi=${elena}` })
  const { port } = world.server
  return {
    world,
    port,
    elena,
    nesoi: (method, path, body, headers) => send(port, method, path, body, headers),
    native: (method, path, how) => ask(port, method, path, { as: elena, ...how }),
    async close() {
      await world.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

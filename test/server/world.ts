import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { printBasicHeader } from '../../auth'
import { readConfig } from '../../server/config'
import { createLog } from '../../server/log'
import { startServer } from '../../server/start'
import type { RunningServer, StartOptions } from '../../server/start'

export const SYS_SECRET = 'canary-sys-secret-0123456789'
export const CHEAP_SCRYPT = { ln: 4, r: 1, p: 1 } as const

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  // Tests look into it as they like.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly json: any
}

export interface Ask {
  /** `user:secret`; absent: no credential. */
  readonly as?: string
  /** A string or bytes as they are; anything else as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** A server of the real parts on a fresh directory, and ways to talk to it. */
export interface World {
  readonly server: RunningServer
  readonly directory: string
  /** Everything logged so far. */
  readonly logged: () => string
  ask(method: string, path: string, options?: Ask): Promise<Answer>
  /** Bytes as they are, on a connection of their own; what comes back until it ends. */
  raw(bytes: string | Buffer): Promise<string>
  close(): Promise<void>
}

export async function openWorld(
  env: Readonly<Record<string, string>> = {},
  options: StartOptions = {},
): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'kv4-server-'))
  const config = readConfig({
    KV4_PORT: '0',
    KV4_DATA_DIR: directory,
    KV4_SYS_SECRET: SYS_SECRET,
    KV4_LOG_LEVEL: 'trace',
    ...env,
  })
  const lines: string[] = []
  const log = createLog(
    config,
    new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk))
        done()
      },
    }),
  )
  const server = await startServer(config, { log, scrypt: CHEAP_SCRYPT, ...options })
  return {
    server,
    directory,
    logged: () => lines.join(''),
    ask: (method, path, how) => ask(server.port, method, path, how),
    raw: (bytes) => raw(server.port, bytes),
    async close() {
      await server.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export function basic(as: string): string {
  const colon = as.indexOf(':')
  return printBasicHeader({ user: as.slice(0, colon), password: as.slice(colon + 1) })
}

export function ask(
  port: number,
  method: string,
  path: string,
  { as, body, headers }: Ask = {},
): Promise<Answer> {
  const bytes =
    body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        agent: false,
        headers: {
          ...(as === undefined ? {} : { Authorization: basic(as) }),
          ...(bytes === undefined
            ? {}
            : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(bytes) }),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            text,
            json: text === '' ? undefined : JSON.parse(text),
          })
        })
        response.on('error', reject)
      },
    )
    request.on('error', reject)
    request.end(bytes)
  })
}

function raw(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString('latin1')))
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
}

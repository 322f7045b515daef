import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LoadRequest } from './load'
import { startPinned } from './pinned-process'
import type { PinnedProcess } from './pinned-process'

const SYS_SECRET = 'bench-secret-of-sys-0123456789'
// On a CouchDB that is measured more than once, the accounts of the last run were made under it, too.
const PEPPER = 'bench-pepper-0123456789abcdefghijklmnopqrstuvwxyz'

/** A server with one account that has a value, and the headers of that account. */
export interface Tenant extends PinnedProcess {
  readonly headers: Readonly<Record<string, string>>
  /** Bytes of the answer to `GET /_data/bench?k=warm`. */
  readonly answerBytes: number
}

/** About 200 bytes as they are sent, in the form that real clients send. */
export const VALUE = {
  first_name: 'Lily',
  last_name: 'Adams',
  email: 'lily@example.com',
  active: true,
  visits: [1, 2, 3, 4, 5],
  note: 'x'.repeat(80),
}

export const KEYS = 1000

export async function startTenant(env: Readonly<Record<string, string>> = {}): Promise<Tenant> {
  const directory = mkdtempSync(join(tmpdir(), 'kv4-bench-'))
  const server = await startPinned(join(__dirname, 'processes/kv4.js'), [], {
    KV4_PORT: '0',
    KV4_DATA_DIR: directory,
    KV4_SYS_SECRET: SYS_SECRET,
    KV4_PEPPER: PEPPER,
    KV4_LOG_LEVEL: 'warn',
    ...env,
  })
  const account = 'bench' + process.pid.toString(36)
  const sys = authorization('$sys', SYS_SECRET)
  const url = `http://127.0.0.1:${server.port}`
  await call('DELETE', `${url}/_acc/accounts?k=${account}`, sys, undefined, true)
  const made = await call('PUT', `${url}/_acc/accounts`, sys, {
    k: account,
    v: { email: account + '@example.com' },
  })
  const headers = authorization(account, (made as { v: { secret: string } }).v.secret)
  await call('PUT', `${url}/_data/bench`, headers, { k: 'warm', v: VALUE })
  const warm = await call('GET', `${url}/_data/bench?k=warm`, headers)
  return {
    ...server,
    headers,
    answerBytes: Buffer.byteLength(JSON.stringify(warm)),
    async stop() {
      await call('DELETE', `${url}/_acc/accounts?k=${account}`, sys)
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export function warmGet(headers: Tenant['headers']): LoadRequest {
  return { method: 'GET', path: '/_data/bench?k=warm', headers }
}

/** Puts to keys that are scattered over the path. */
export function puts(headers: Tenant['headers'], method = 'PUT', keys = KEYS): LoadRequest[] {
  return Array.from({ length: keys }, (_, i) => ({
    method,
    path: '/_data/bench',
    headers,
    // 389 is prime to 1,000: neighbours in time are no neighbours in order.
    body: JSON.stringify({ k: `key-${String((i * 389) % keys).padStart(5, '0')}`, v: VALUE }),
  }))
}

function authorization(user: string, secret: string): { readonly Authorization: string } {
  return { Authorization: 'Basic ' + Buffer.from(`${user}:${secret}`).toString('base64') }
}

async function call(
  method: string,
  url: string,
  headers: Readonly<Record<string, string>>,
  body?: unknown,
  mayFail = false,
): Promise<unknown> {
  const response = await fetch(url, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok && !mayFail) throw new Error(`${method} ${url}: ${response.status} ${text}`)
  return JSON.parse(text)
}

import { isKv4Error } from '../../errors'
import type { CouchClient, CouchEndpoint } from './couch-client'
import { CouchError } from './couch-error'
import type { CouchLog } from './log'

/** Why the adapter cannot start, in one sentence for the operator: no stack, no password. */
export class CouchSetupError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'CouchSetupError'
    this.stack = `${this.name}: ${message}`
  }
}

const SUPPORTED: Release = [3, 0, 0]
/** The first without the four CVEs of 2026-10-20. */
const PATCHED: Release = [3, 5, 3]

type Release = readonly [number, number, number]

function isBelow(a: Release, b: Release): boolean {
  for (const i of [0, 1, 2] as const) if (a[i] !== b[i]) return a[i] < b[i]
  return false
}

/** Takes `http://user:password@host:5984/` apart. @throws CouchSetupError */
export function parseEndpoint(text: string): CouchEndpoint {
  const url = URL.canParse(text) ? new URL(text) : undefined
  // The rest of a password with such a character in it; most passwords before it are no port either.
  if (/^https?:\/\/[^/?#]*[/?#].*@/i.test(text))
    throw new CouchSetupError(
      'The user or password in the URL of CouchDB has characters that must be %-escaped ' +
        '(`/` is %2F, `?` is %3F, `#` is %23, `@` is %40)',
    )
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new CouchSetupError(
      'The URL of CouchDB is not understood: it looks like http://user:password@127.0.0.1:5984',
    )
  let login: string
  try {
    login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  } catch {
    throw new CouchSetupError('The user or password in the URL of CouchDB has a bad %-escape')
  }
  if (url.search !== '' || url.hash !== '')
    throw new CouchSetupError('The URL of CouchDB may have no query and no fragment')
  const plain = url.origin + url.pathname.replace(/\/+$/, '')
  return login === ':'
    ? { url: plain }
    : { url: plain, authorization: 'Basic ' + Buffer.from(login).toString('base64') }
}

interface Welcome {
  readonly couchdb?: string
  readonly version?: string
}
interface Session {
  readonly userCtx?: { readonly name: string | null; readonly roles: readonly string[] }
}

interface Membership {
  readonly cluster_nodes: readonly string[]
}

function noCouch(url: string): CouchSetupError {
  const { pathname } = new URL(url)
  return new CouchSetupError(
    pathname === '/'
      ? `What answers at ${url} is not CouchDB`
      : `There is no CouchDB at ${url}: leave ${pathname} out, unless a proxy in front of CouchDB wants it`,
  )
}

async function ask<Body>(client: CouchClient, path: string): Promise<Body> {
  const { url, authorization } = client.endpoint
  try {
    return (await client.send<Body>({ path })).body
  } catch (error) {
    if (isKv4Error(error, 'store_unavailable')) {
      const detail = error.detail ?? ''
      throw new CouchSetupError(
        detail.includes('credentials')
          ? authorization === undefined
            ? `CouchDB at ${url} wants a user and password, and its URL has none: http://user:password@…`
            : `CouchDB at ${url} refuses the user and password of its URL`
          : `CouchDB at ${url} does not answer: ${detail}`,
      )
    }
    if (isNotFound(error)) throw noCouch(url)
    if (error instanceof CouchError || isKv4Error(error))
      throw new CouchSetupError(`What answers at ${url} is not CouchDB, or not set up: ${error.message}`)
    throw error
  }
}

/** CouchDB takes the path of a URL for a database that it does not have; others say 404 in their own words. */
function isNotFound(error: unknown): boolean {
  return isKv4Error(error, 'bucket_not_found') || (error instanceof CouchError && error.status === 404)
}

/** Looks whether the server is one that the adapter can work with, and whether it is a cluster. @throws CouchSetupError */
export async function checkServer(client: CouchClient, log: CouchLog): Promise<void> {
  const { url } = client.endpoint
  const { couchdb, version = '' } = await ask<Welcome>(client, '')
  const release = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) as unknown as Release | undefined
  if (couchdb === undefined || release === undefined) throw noCouch(url)
  if (isBelow(release, SUPPORTED))
    throw new CouchSetupError(`CouchDB at ${url} is version ${version}; 3.0.0 or later is needed`)
  if (isBelow(release, PATCHED))
    log.warn(
      { version, wanted: PATCHED.join('.') },
      `CouchDB ${version} has known security faults (CVEs of 2026-10-20): update to ${PATCHED.join('.')} or later`,
    )

  const { userCtx } = await ask<Session>(client, '_session')
  if (!userCtx?.roles.includes('_admin'))
    throw new CouchSetupError(
      userCtx?.name
        ? `The user ${userCtx.name} is no administrator of CouchDB at ${url}: databases cannot be created`
        : `CouchDB at ${url} needs the user and password of an administrator in its URL`,
    )
  if (!Array.isArray(await ask<unknown>(client, '_all_dbs?limit=1')))
    throw new CouchSetupError(`CouchDB at ${url} is not set up: it cannot list its databases`)
  client.clustered = (await ask<Membership>(client, '_membership')).cluster_nodes.length > 1
}

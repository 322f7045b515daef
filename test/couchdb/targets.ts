import { BucketName } from '../../core'
import { CouchServer } from './server'

/** A CouchDB to test against, and how to let go of it. */
export interface Target {
  readonly url: string
  stop(): Promise<void>
}

const real = process.env['KV4_TEST_COUCHDB_URL']

/** The protocol server, and the CouchDB that KV4_TEST_COUCHDB_URL names. */
export const TARGETS: readonly (readonly [name: string, start: () => Promise<Target>])[] = [
  [
    'a protocol server',
    async () => {
      const server = await CouchServer.start()
      return { url: server.url, stop: () => server.close() }
    },
  ],
  ...(real === undefined
    ? []
    : [['KV4_TEST_COUCHDB_URL', async () => ({ url: real, stop: async () => undefined })] as const]),
]

let buckets = 0

/** A name that no other run uses. */
export function randomBucket(): BucketName {
  return BucketName.of(`test-${process.pid}-${Math.random().toString(36).slice(2)}`, `b${++buckets}`)
}

/** A request past the adapter. */
export async function couch<Body>(
  target: string,
  method: string,
  path: string,
  body?: object,
): Promise<Body> {
  const url = new URL(target)
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  const answer = await fetch(url.origin + path, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(login === ':' ? {} : { authorization: 'Basic ' + Buffer.from(login).toString('base64') }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return (await answer.json()) as Body
}

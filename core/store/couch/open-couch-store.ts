import { randomBytes } from 'node:crypto'
import { isKv4Error } from '../../errors'
import { BucketName } from '../../kv4/bucket-name'
import type { BucketStore, Store } from '../store'
import { CouchBucket } from './couch-bucket'
import { CouchClient } from './couch-client'
import { CouchDatabase } from './couch-database'
import { CouchError } from './couch-error'
import type { HeadsBudget } from './known-heads'
import { type CouchLog, SILENT } from './log'
import { checkServer, parseEndpoint } from './server-check'

export interface CouchOptions {
  /** `http://user:password@host:5984`, of an administrator; a path in front of CouchDB is allowed. */
  readonly url: string
  /** This node, in the nonces of its writes. */
  readonly node: string
  /** Shards of a new database. Default 1: the latest version of a key is found 2.5 times faster than with 8. */
  readonly q?: number
  /** How long a write whose answer was lost is followed up before it fails with `store_unavailable`. Default 1,000 ms. */
  readonly graceMs?: number
  /** Of one request. Default 30,000 ms. */
  readonly timeoutMs?: number
  readonly log?: CouchLog
}

const DATABASES_A_PAGE = 500

/**
 * The store over CouchDB. Looks first whether the server is there and fit.
 * @throws CouchSetupError with a message for the operator
 */
export async function openCouchStore(options: CouchOptions): Promise<Store> {
  const { url, node, q = 1, graceMs = 1000, timeoutMs = 30_000, log = SILENT } = options
  const client = new CouchClient(parseEndpoint(url), timeoutMs)
  await checkServer(client, log)
  return new CouchStore(client, node, q, graceMs, log)
}

class CouchStore implements Store {
  readonly features = { name: 'couch', ordered: false, exclusive: false } as const
  readonly #open = new Set<CouchBucket>()
  readonly #heads: HeadsBudget = { characters: 0 }

  constructor(
    private readonly client: CouchClient,
    private readonly node: string,
    private readonly q: number,
    private readonly graceMs: number,
    private readonly log: CouchLog,
  ) {}

  async create(bucket: BucketName): Promise<boolean> {
    const database = new CouchDatabase(this.client, bucket)
    const made = await this.#put(database)
    // Also where the database was there: its creation may have stopped half way.
    await database.ensureDesign()
    return made
  }

  async #put(database: CouchDatabase): Promise<boolean> {
    try {
      await database.send({ method: 'PUT', query: { q: this.q } })
      return true
    } catch (error) {
      if (error instanceof CouchError && error.status === 412) return false
      throw error
    }
  }

  async open(bucket: BucketName): Promise<BucketStore> {
    const database = new CouchDatabase(this.client, bucket)
    await database.ensureDesign()
    const writer = `${this.node}.${randomBytes(9).toString('base64url')}.`
    const open = new CouchBucket(database, writer, this.graceMs, this.log, this.#heads, () =>
      this.#open.delete(open),
    )
    this.#open.add(open)
    return open
  }

  async drop(bucket: BucketName): Promise<boolean> {
    try {
      await new CouchDatabase(this.client, bucket).send({ method: 'DELETE' })
      return true
    } catch (error) {
      if (isKv4Error(error, 'bucket_not_found') || (error instanceof CouchError && error.status === 404))
        return false
      throw error
    }
  }

  /**
   * CouchDB's order is of `kv4_<name>_data`, ours of the name, and a name can come long before another that it begins
   * with: the names, and nothing else, are held to be sorted.
   */
  async *list(): AsyncIterable<BucketName> {
    const found: BucketName[] = []
    let startkey = 'kv4_$'
    for (;;) {
      const { body } = await this.client.send<readonly string[]>({
        path: '_all_dbs',
        query: { startkey, endkey: 'kv4_$~', limit: DATABASES_A_PAGE, inclusive_end: true },
      })
      for (const database of body) {
        const bucket = BucketName.fromDatabase(database)
        if (bucket !== undefined) found.push(bucket)
      }
      if (body.length < DATABASES_A_PAGE) break
      startkey = body.at(-1)! + '!'
    }
    yield* found.sort()
  }

  async ping(): Promise<void> {
    await this.client.send({ path: '_up' })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((bucket) => bucket.close()))
  }
}

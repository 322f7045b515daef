import { BucketName } from '../../kv4/bucket-name'
import type { CouchClient, CouchRequest } from './couch-client'
import { CouchError, unavailable } from './couch-error'
import { DesignDocument, type ViewName } from './design-document'
import type { StoredDocument } from './documents'

/** A query of `_all_docs`. Keys are document ids. */
export interface DocsQuery {
  readonly startkey?: string
  readonly endkey?: string
  readonly keys?: readonly string[]
  readonly descending?: boolean
  readonly limit?: number
  readonly include_docs?: boolean
}

export interface DocsRow<Document = StoredDocument> {
  /** Absent for a key that is not there. */
  readonly id?: string
  readonly key: string
  readonly value?: { readonly rev: string; readonly deleted?: boolean }
  /** null when the document is deleted. */
  readonly doc?: Document | null
  readonly error?: string
}

export type ViewKey = readonly (string | number)[]

export interface ViewQuery {
  readonly startkey: ViewKey
  readonly endkey: ViewKey
  readonly descending?: true
  readonly limit?: number
  readonly reduce: boolean
  readonly group_level?: number
}

export interface ViewRow<Value> {
  readonly key: ViewKey
  readonly value: Value
}

/** What `_bulk_docs` says of one document. */
export interface BulkResult {
  readonly id: string
  readonly ok?: true
  readonly rev?: string
  /** Stored, but by fewer copies than a quorum. */
  readonly accepted?: true
  readonly error?: string
  readonly reason?: string
}

export interface BulkAnswer {
  /** 201, or 202 when not every document reached its quorum. */
  readonly status: number
  readonly results: readonly BulkResult[]
}

interface Rows<Row> {
  readonly rows?: readonly Row[]
  readonly error?: string
  readonly reason?: string
}

interface BulkGetAnswer {
  readonly results: readonly {
    readonly id: string
    readonly docs: readonly { readonly ok?: StoredDocument; readonly error?: { readonly error?: string } }[]
  }[]
}

/** The requests that the adapter makes of one bucket's database. Ids and keys travel in bodies. */
export class CouchDatabase {
  readonly name: string

  constructor(
    readonly client: CouchClient,
    readonly bucket: BucketName,
  ) {
    this.name = BucketName.database(bucket)
  }

  async send<Body>(request: Omit<CouchRequest, 'database'>): Promise<Body> {
    return (await this.client.send<Body>({ ...request, database: this.name })).body
  }

  /** The rows of each query, in the order asked. */
  async queryDocs<Document = StoredDocument>(
    queries: readonly DocsQuery[],
  ): Promise<readonly (readonly DocsRow<Document>[])[]> {
    if (queries.length === 0) return []
    const { results } = await this.send<{ readonly results: readonly Rows<DocsRow<Document>>[] }>({
      method: 'POST',
      path: '_all_docs/queries',
      body: { queries },
    })
    return rowsOf(results, queries.length)
  }

  /**
   * The documents of these ids, in the order asked. `conflicts`: with the branches that lost. In a cluster each is read as
   * a GET of its own would be: what a quorum of copies agrees on, without a wait for one that hangs. (`_bulk_get` waits
   * for every copy when a document is not there.)
   */
  async docs<Document = StoredDocument>(
    ids: readonly string[],
    conflicts = false,
  ): Promise<readonly DocsRow<Document>[]> {
    if (ids.length === 0) return []
    const { rows } = await this.send<{ readonly rows: readonly DocsRow<Document>[] }>({
      method: 'POST',
      path: '_all_docs',
      query: conflicts ? { include_docs: true, conflicts } : { include_docs: true },
      body: { keys: ids },
    })
    if (rows.length !== ids.length) throw unavailable('CouchDB answered fewer documents than were asked for')
    const failed = rows.find(({ error }) => error !== undefined && error !== 'not_found')
    if (failed !== undefined) throw unavailable(`CouchDB failed to read a document: ${failed.error}`)
    return rows
  }

  /** The rows of each query. Makes the design document again when somebody removed it. */
  async queryView<Value>(
    view: ViewName,
    queries: readonly ViewQuery[],
  ): Promise<readonly (readonly ViewRow<Value>[])[]> {
    const ask = (): Promise<{ readonly results: readonly Rows<ViewRow<Value>>[] }> =>
      this.send({ method: 'POST', path: DesignDocument.queries(view), body: { queries } })
    let answer
    try {
      answer = await ask()
    } catch (error) {
      if (!(error instanceof CouchError && error.status === 404)) throw error
      await this.ensureDesign()
      answer = await ask()
    }
    return rowsOf(answer.results, queries.length)
  }

  /**
   * `asIs`: the documents carry their revisions and are stored under them, whatever is there; the answer then names
   * only those that failed.
   */
  async bulk(documents: readonly StoredDocument[], asIs = false): Promise<BulkAnswer> {
    if (documents.length === 0) return { status: 201, results: [] }
    const { status, body } = await this.client.send<readonly BulkResult[]>({
      method: 'POST',
      database: this.name,
      path: '_bulk_docs',
      body: asIs ? { new_edits: false, docs: documents } : { docs: documents },
    })
    if (!Array.isArray(body) || (!asIs && body.length !== documents.length))
      throw unavailable('CouchDB answered for another number of documents than were sent')
    return { status, results: body as readonly BulkResult[] }
  }

  /** Certain revisions, deleted ones too, in the order asked; undefined: not there. */
  async revisions<Document = StoredDocument>(
    wanted: readonly { readonly id: string; readonly rev: string }[],
  ): Promise<readonly (Document | undefined)[]> {
    if (wanted.length === 0) return []
    const { results } = await this.send<BulkGetAnswer>({
      method: 'POST',
      path: '_bulk_get',
      body: { docs: wanted },
    })
    // By name, not by place: several revisions of one document may be answered together, whatever stood between them.
    const found = new Map<string, StoredDocument>()
    const missing = new Set<string>()
    for (const { id, docs } of results)
      for (const { ok, error } of docs)
        if (ok !== undefined) found.set(`${ok._id} ${ok._rev}`, ok)
        else if (error?.error === 'not_found') missing.add(id)
        else throw unavailable(`CouchDB failed to read a revision: ${error?.error}`)
    return wanted.map(({ id, rev }) => {
      const document = found.get(`${id} ${rev}`)
      if (document === undefined && !missing.has(id))
        throw unavailable('CouchDB answered without a revision that was asked for')
      return document as Document | undefined
    })
  }

  /** Whether more than half of the copies of every shard are up now. */
  async hasQuorum(): Promise<boolean> {
    if (!this.client.clustered) return true
    const [{ shards }, { body }] = await Promise.all([
      this.send<{ readonly shards: Readonly<Record<string, readonly string[]>> }>({ path: '_shards' }),
      this.client.send<{ readonly all_nodes: readonly string[] }>({ path: '_membership' }),
    ])
    const up = new Set(body.all_nodes)
    return Object.values(shards).every(
      (copies) => 2 * copies.filter((node) => up.has(node)).length > copies.length,
    )
  }

  /** Makes the design document, or makes it right again. @throws bucket_not_found */
  async ensureDesign(): Promise<void> {
    for (;;) {
      const [row] = await this.docs<StoredDocument & Record<string, unknown>>([DesignDocument.id])
      const doc = row?.doc ?? undefined
      if (doc !== undefined && DesignDocument.isIntact(doc)) return
      const rev = doc?._rev
      const document = { _id: DesignDocument.id, ...(rev === undefined ? {} : { _rev: rev }) }
      const { results } = await this.bulk([{ ...document, ...DesignDocument.content }])
      const result = results[0]
      if (result?.ok) return
      // Another node was faster: look at what it wrote.
      if (result?.error !== 'conflict')
        throw unavailable(`the design document was refused: ${result?.error} ${result?.reason}`)
    }
  }
}

function rowsOf<Row>(results: readonly Rows<Row>[], expected: number): readonly (readonly Row[])[] {
  if (results.length !== expected) throw unavailable('CouchDB answered another number of queries')
  return results.map(({ rows, error, reason }) => {
    if (rows === undefined) throw unavailable(`CouchDB failed a query: ${error} ${reason}`)
    return rows
  })
}

import type { CouchDatabase, DocsQuery, DocsRow } from './couch-database'

interface Waiting {
  readonly queries: readonly DocsQuery[]
  readonly resolve: (rows: readonly (readonly DocsRow<unknown>[])[]) => void
  readonly reject: (error: unknown) => void
}

// Beyond this CouchDB's answer takes so long that those who wait for one row would wait for all.
const MOST_QUERIES = 256

/**
 * Cold reads that arrive while a request is under way go together in the next one. One request is in flight; an idle
 * queue adds no delay.
 */
export class ReadQueue {
  #waiting: Waiting[] = []
  #busy = false

  constructor(private readonly database: CouchDatabase) {}

  /** As `queryDocs`. */
  read<Document>(queries: readonly DocsQuery[]): Promise<readonly (readonly DocsRow<Document>[])[]> {
    if (queries.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      this.#waiting.push({ queries, resolve: resolve as Waiting['resolve'], reject })
      if (!this.#busy) void this.#drain()
    })
  }

  async #drain(): Promise<void> {
    this.#busy = true
    // Callers of the same tick go together.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const taken: Waiting[] = []
      let count = 0
      while (
        this.#waiting.length > 0 &&
        (count === 0 || count + this.#waiting[0]!.queries.length <= MOST_QUERIES)
      )
        count += taken[taken.push(this.#waiting.shift()!) - 1]!.queries.length
      try {
        const rows = await this.database.queryDocs<unknown>(taken.flatMap(({ queries }) => queries))
        let at = 0
        for (const { queries, resolve } of taken) resolve(rows.slice(at, (at += queries.length)))
      } catch (error) {
        for (const { reject } of taken) reject(error)
      }
    }
    this.#busy = false
  }
}

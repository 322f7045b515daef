import { isKv4Error } from '../../errors'
import type { CouchDatabase } from './couch-database'
import { Component } from './component'
import type { CouchLog } from './log'

/** Documents from which on the views are asked to take them in when nobody writes for a moment … */
const LULL_AT = 1_000
const LULL_MS = 500
/** … and after which they are asked in any case. */
const CATCH_UP_AT = 15_000
/** Documents beyond which writing waits for them: what a small machine indexes within the time of one request. */
const HOLD_AT = 20_000

export interface IndexPaceOptions {
  /** Tests make them small. */
  readonly lullAt?: number
  readonly catchUpAt?: number
  readonly holdAt?: number
}

/**
 * Keeps writing from running away from the views. CouchDB stores about twice as fast as it indexes, and a query of a view
 * waits until all that was stored before it is indexed: after an import of a million every listing would fail for minutes.
 * So the views are asked in between, which brings them up to date, and who writes on waits while they are far behind. To
 * index costs CouchDB about as much as to store: it is left for a lull where there is one.
 *
 *     documents not known to be indexed
 *       0 ──────► 1,000 ── catch up in a lull ──► 15,000 ── catch up ──► 20,000 ── and wait for it
 */
export class IndexPace {
  readonly #lullAt: number
  readonly #catchUpAt: number
  readonly #holdAt: number
  #behind = 0
  #catching: Promise<void> | undefined
  #lull: NodeJS.Timeout | undefined

  constructor(
    private readonly database: Pick<CouchDatabase, 'queryView' | 'bucket'>,
    private readonly log: CouchLog,
    { lullAt = LULL_AT, catchUpAt = CATCH_UP_AT, holdAt = HOLD_AT }: IndexPaceOptions = {},
  ) {
    this.#lullAt = lullAt
    this.#catchUpAt = catchUpAt
    this.#holdAt = holdAt
  }

  /** Before a batch. Where CouchDB does not get on it waits for one request at most: writes are never stopped for good. */
  async ready(): Promise<void> {
    if (this.#behind >= this.#holdAt) await (this.#catching ??= this.#catchUp())
  }

  /** After a batch. */
  wrote(documents: number): void {
    this.#behind += documents
    if (this.#behind >= this.#catchUpAt) this.#catching ??= this.#catchUp()
    else if (this.#behind < this.#lullAt) return
    else if (this.#lull !== undefined) this.#lull.refresh()
    else
      this.#lull = setTimeout(() => {
        this.#lull = undefined
        if (this.#behind >= this.#lullAt) this.#catching ??= this.#catchUp()
      }, LULL_MS).unref()
  }

  /** Nothing is asked for any more. */
  stop(): void {
    clearTimeout(this.#lull)
  }

  /** Never rejects. */
  async #catchUp(): Promise<void> {
    const asked = this.#behind
    try {
      // One row of one view: both are in one index, and are brought up to date together.
      const range = { startkey: ['v'], endkey: ['v', Component.last] }
      await this.database.queryView('keys', [{ ...range, limit: 1, reduce: false }])
      this.#behind -= asked
    } catch (error) {
      if (isKv4Error(error, 'bucket_not_found')) this.#behind = 0
      else this.log.warn({ bucket: this.database.bucket, err: error }, 'CouchDB is behind with its views')
    } finally {
      this.#catching = undefined
    }
  }
}

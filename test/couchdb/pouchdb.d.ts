// The parts of these packages that the protocol server uses; none of them brings types.
declare module 'pouchdb' {
  namespace PouchDB {
    interface Row {
      readonly id: string
      readonly seq: number
      readonly deleted?: boolean
      readonly doc: Readonly<Record<string, unknown>> & { readonly _id: string }
    }
    interface Changes {
      on(event: 'change', listener: (row: Row) => void): this
      on(event: 'error' | 'complete', listener: (result: unknown) => void): this
      cancel(): void
    }
    interface Database {
      info(): Promise<{ readonly update_seq: number }>
      allDocs(query: object): Promise<{ readonly rows: readonly object[] }>
      bulkDocs(docs: readonly object[], options?: { new_edits: boolean }): Promise<readonly object[]>
      changes(options: { since: number; include_docs: true; live?: false }): Promise<{
        readonly results: readonly Row[]
        readonly last_seq: number
      }>
      changes(options: {
        since: number
        include_docs: boolean
        live: true
        conflicts: boolean
        style: 'all_docs' | 'main_only'
      }): Changes
      destroy(): Promise<unknown>
      close(): Promise<unknown>
    }
    interface Static {
      new (name: string): Database
      defaults(options: object): Static
      /** Added by express-pouchdb. */
      allDbs(): Promise<readonly string[]>
      plugin(plugin: object): Static
    }
  }
  const PouchDB: PouchDB.Static
  export = PouchDB
}

declare module 'pouchdb-adapter-memory' {
  const plugin: object
  export = plugin
}

declare module 'express-pouchdb' {
  import type { RequestListener } from 'node:http'
  import type PouchDB from 'pouchdb'
  function expressPouchdb(pouchdb: PouchDB.Static, options: { mode: string }): RequestListener
  export = expressPouchdb
}

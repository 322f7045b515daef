import { existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Store } from '../../core'
import { openCouchStore } from '../../core/store/couch/open-couch-store'
import { openEmbeddedStore } from '../../core/store/embedded'
import { withoutCredentials } from '../../server/config'
import { usage } from '../failure'

/** Where a store is: a data directory of the embedded one, or a CouchDB. */
export type StoreLocation =
  { readonly kind: 'embedded'; readonly directory: string } | { readonly kind: 'couch'; readonly url: string }

export const StoreLocation = {
  /** A directory, an http(s) URL, or `couchdb` for the URL in KV4_COUCHDB_URL. @throws CliFailure */
  parse(text: string, env: NodeJS.ProcessEnv = process.env): StoreLocation {
    if (text === '') throw usage('a store is a directory, a URL, or couchdb')
    if (text === 'couchdb') {
      const url = env['KV4_COUCHDB_URL']
      if (url === undefined || url === '')
        throw usage('couchdb stands for the URL in KV4_COUCHDB_URL, which is not set')
      return { kind: 'couch', url }
    }
    return /^https?:\/\//i.test(text)
      ? { kind: 'couch', url: text }
      : { kind: 'embedded', directory: resolve(text) }
  },

  /** Fit for a terminal: without the password. */
  print(location: StoreLocation): string {
    return location.kind === 'embedded' ? location.directory : withoutCredentials(location.url)
  },

  /** `create`: false where only what is there makes sense. @throws CliFailure, CouchSetupError */
  async open(location: StoreLocation, options: { readonly create: boolean }): Promise<Store> {
    if (location.kind === 'couch') return openCouchStore({ url: location.url, node: 'kv4-migrate' })
    const directory = join(location.directory, 'store')
    if (!options.create && !existsSync(directory))
      throw usage(`${location.directory} is not a data directory of KV4`)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    return openEmbeddedStore({
      directory,
      onFatal(error) {
        // Nothing that was not acknowledged counts: the next run with --resume writes it again.
        process.stderr.write(`kv4: the store in ${location.directory} failed: ${error.message}\n`)
        process.exit(1)
      },
    })
  },
}

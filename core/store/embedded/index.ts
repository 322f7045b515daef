/** The embedded store: LMDB in a data directory of one process. The only importer of lmdb. */
export { DataDirectoryError } from './data-directory-error'
export type { DataDirectoryCode } from './data-directory-error'
export { EmbeddedStore, FORMAT_VERSION, openEmbeddedStore } from './embedded-store'
export type { EmbeddedOptions } from './embedded-store'
export { checkInvariants } from './invariants'

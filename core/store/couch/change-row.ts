import type { Change } from '../store'
import {
  type SampleDocument,
  type StoredDocument,
  type VersionDocument,
  sampleOf,
  versionOf,
} from './documents'
import { type DocumentKind, Ids } from './ids'

/** A row of `_changes`; the last line of a continuous feed has `last_seq` alone. */
export interface ChangeRow {
  readonly seq: string | number
  readonly id: string
  readonly deleted?: boolean
  /** The revision that won; with `style=all_docs` those of the other branches, deleted ones too, behind it. */
  readonly changes: readonly { readonly rev: string }[]
  /** With `include_docs`. */
  readonly doc?: StoredDocument | null
}

/** Whether the document of a row says more than the row: what it is a change to, or branches that are to be mended. */
export function needsDocument(row: ChangeRow): boolean {
  if (row.changes.length > 1) return true
  switch (row.id[0] as DocumentKind) {
    case 'v':
    case 's':
      return row.deleted !== true
    case 'c':
      return true
    default:
      return false
  }
}

/** undefined: not a change of the bucket's data (design documents, what pruning writes and deletes). */
export function changeOf(row: ChangeRow): Change | undefined {
  const parsed = Ids.parse(row.id)
  const { doc } = row
  if (parsed === undefined || !doc) return undefined
  const { kind, address } = parsed
  switch (kind) {
    case 'v':
      return row.deleted
        ? undefined
        : { kind: 'versioned', address, version: versionOf(doc as VersionDocument) }
    case 'c':
      // The tombstone of a losing branch has no body.
      return (doc as Partial<VersionDocument>).n === undefined
        ? undefined
        : { kind: 'current', address, version: versionOf(doc as VersionDocument) }
    case 's':
      return row.deleted
        ? undefined
        : { kind: 'series', address, sample: sampleOf(parsed.sample!, doc as SampleDocument) }
    case 'b':
    case 'r':
      return undefined
  }
}

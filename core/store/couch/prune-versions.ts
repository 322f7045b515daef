import type { Address } from '../../kv4/address'
import type { CouchDatabase } from './couch-database'
import { type BaseDocument, type VersionDocument, tombstone } from './documents'
import { Ids } from './ids'

const MOST_AT_ONCE = 500

/**
 * Forgets the versions below one that stays.
 *
 * The view counts live keys by adding +1 for each `create` and -1 for each `delete`. When a `create` is forgotten and
 * its key is live, the count has to stay: a document of its own, the base (`b!`), then carries the +1. Whether the key
 * was live before the oldest version that is kept shows in that version alone: only a `create` follows on nothing.
 * The versions themselves are never written again, so the feed tells each once and in order.
 *
 *   before:  v1 create +1   v2 update   v3 update   v4 delete -1
 *   prune below 3:  base(3) +1          v3 update   v4 delete -1
 *
 * Base and deletions go in one request, the base first. A crash can leave them done in part: then a deleted key may
 * still be counted as live in its path's number until the next pruning of it, which derives the base from what is
 * there and deletes what is left. Two nodes that prune at once end in the same way: the one whose base is refused
 * looks again.
 */
export async function pruneVersions(
  database: CouchDatabase,
  address: Address,
  keepFrom: number,
): Promise<number> {
  let forgotten = 0
  const { start, end } = Ids.versions(address)
  for (;;) {
    const [latest, oldest, bases] = await database.queryDocs([
      { startkey: end, endkey: start, descending: true, limit: 1 },
      { startkey: start, endkey: end, limit: MOST_AT_ONCE + 1 },
      { keys: [Ids.base(address)], include_docs: true },
    ])
    const last = latest![0]
    if (last === undefined) return forgotten
    const below = Math.min(keepFrom, numberOf(last.id!))
    const doomed = oldest!.slice(0, MOST_AT_ONCE).filter(({ id }) => numberOf(id!) < below)
    const kept = oldest![doomed.length]?.id ?? last.id!
    const base = bases![0]?.doc as BaseDocument | null | undefined
    const n = numberOf(kept)
    if (doomed.length === 0 && (n === 1 || base?.n === n)) return forgotten

    const [row] = await database.docs<VersionDocument>([kept])
    // Another node has pruned meanwhile.
    if (!row?.doc) continue
    const document: BaseDocument = {
      _id: Ids.base(address),
      ...(base ? { _rev: base._rev! } : {}),
      n,
      live: row.doc.op !== 'create',
    }
    const { results } = await database.bulk([
      document,
      ...doomed.map(({ id, value }) => tombstone(id!, value!.rev)),
    ])
    forgotten += results.slice(1).filter(({ rev, error }) => rev !== undefined && error === undefined).length
  }
}

function numberOf(id: string): number {
  return Ids.parse(id)!.number!
}

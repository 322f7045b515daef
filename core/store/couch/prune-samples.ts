import type { Address } from '../../kv4/address'
import { sumOf } from '../aggregate'
import type { Aggregate } from '../store'
import type { CouchDatabase, DocsRow } from './couch-database'
import { type MinuteDocument, type SampleDocument, type StoredDocument, tombstone } from './documents'
import { Ids } from './ids'
import type { Series } from './series'
import { tally } from './tally'

const MINUTE_MS = 60_000
const MOST_AT_ONCE = 500

/**
 * Forgets samples and keeps what they add up to: each minute has a document (`r!`) that the view counts in their place.
 *
 *   1  the minute names the samples that it takes, with their sum   they count by themselves
 *   2  the minute counts the sum and the samples are deleted        one request, the minute first
 *   3  the minute forgets their names
 *
 * Each step writes over the revision that it read, so one of two nodes that prune at once gives way. Who finds a
 * minute after a crash finishes it: `taking` goes on with step 2, samples in `took` are deleted without being counted
 * again. Nothing is lost or counted twice, but for the moment within step 2 where CouchDB does it in part.
 */
export async function pruneSamples(
  database: CouchDatabase,
  series: Series,
  address: Address,
  before: number,
  limit: number,
): Promise<number> {
  let forgotten = 0
  while (forgotten < limit) {
    const wanted = Math.min(limit - forgotten, MOST_AT_ONCE)
    const rows = await series.rows(address, { to: before - 1, order: 'oldest', limit: wanted })
    if (rows.length === 0) break
    const deleted = await forget(database, address, rows)
    forgotten += deleted
    // Nothing: another node is at it.
    if (rows.length < wanted || deleted === 0) break
  }
  return forgotten
}

async function forget(
  database: CouchDatabase,
  address: Address,
  rows: readonly DocsRow<SampleDocument>[],
): Promise<number> {
  const byMinute = new Map<number, DocsRow<SampleDocument>[]>()
  for (const row of rows) {
    const minute = Math.floor(row.doc!.at / MINUTE_MS) * MINUTE_MS
    byMinute.set(minute, [...(byMinute.get(minute) ?? []), row])
  }
  const ids = [...byMinute.keys()].map((minute) => Ids.minute(address, minute))
  const present = await database.docs<MinuteDocument>(ids)

  const taking = await write(
    database,
    [...byMinute].map(([at, samples], i) => take(ids[i]!, at, present[i]?.doc ?? undefined, samples)),
  )
  const revs = new Map(rows.map(({ id, value }) => [id!, value!.rev]))
  const doomed = taking.flatMap((minute) => [...(minute.taking?.ids ?? []), ...(minute.took ?? [])])
  // A sample that was named before a crash need not be among the rows of this call.
  const others = doomed.filter((id) => !revs.has(id))
  for (const { id, value } of await database.docs(others))
    if (id && value && !value.deleted) revs.set(id, value.rev)
  const deletions = doomed.flatMap((id) => (revs.has(id) ? [tombstone(id, revs.get(id)!)] : []))

  const counted: MinuteDocument[] = taking.map(({ _id, _rev, at, sum, taking: taken, took }) => ({
    _id,
    ...(_rev === undefined ? {} : { _rev }),
    at,
    ...(taken === undefined ? (sum === undefined ? {} : { sum }) : { sum: sumOf(sum, taken.sum) }),
    took: [...(taken?.ids ?? []), ...(took ?? [])],
  }))
  const { results } = await database.bulk([...counted, ...deletions])
  const refused = new Set(results.filter(({ error }) => error !== undefined).map(({ id }) => id))

  const clean = counted.flatMap((minute, i): MinuteDocument[] => {
    const rev = results[i]!.rev
    if (rev === undefined || minute.took!.some((id) => refused.has(id))) return []
    return [{ _id: minute._id, _rev: rev, at: minute.at, ...(minute.sum ? { sum: minute.sum } : {}) }]
  })
  await database.bulk(clean)
  return deletions.filter(({ _id }) => !refused.has(_id)).length
}

/** Step 1 for one minute; one that a crash left on the way is first brought to its end. */
function take(
  id: string,
  at: number,
  present: MinuteDocument | undefined,
  samples: readonly DocsRow<SampleDocument>[],
): MinuteDocument {
  const sum: { sum?: Aggregate } = present?.sum === undefined ? {} : { sum: present.sum }
  const rev = present?._rev === undefined ? {} : { _rev: present._rev }
  if (present?.taking !== undefined) return present
  const took = new Set(present?.took)
  const fresh = samples.filter((row) => !took.has(row.id!))
  const total = fresh.reduce<Aggregate | undefined>((all, { doc }) => sumOf(all, tally(doc!.v)), undefined)
  return {
    _id: id,
    ...rev,
    at,
    ...sum,
    ...(total === undefined ? {} : { taking: { ids: fresh.map((row) => row.id!), sum: total } }),
    ...(took.size === 0 ? {} : { took: [...took] }),
  }
}

/** The documents that were written, with their new revisions. */
async function write<Document extends StoredDocument>(
  database: CouchDatabase,
  documents: readonly Document[],
): Promise<readonly Document[]> {
  const { results } = await database.bulk(documents)
  return documents.flatMap((document, i) => {
    const rev = results[i]!.rev
    return rev === undefined || results[i]!.error !== undefined ? [] : [{ ...document, _rev: rev }]
  })
}

import { z } from 'zod'
import { Kv4Error, VersionTag } from '../../../core'
import type { Address, Json, Version } from '../../../core'
import { headerCondition, writeCondition, writeUnder } from '../../condition'
import { writtenReply } from '../../entry-reply'
import { Reply, type ServiceRequest } from '../../module'
import { VALUES_LIMIT, NAMES_LIMIT, pageOptions, PAGING } from '../../paging'
import { Flag } from '../../parameters'
import { boundedListing } from '../../bounded-listing'
import { keySeries, pathSeries } from '../../time-series'
import { splitVer, withVer } from '../../ver'
import { Instant, valueSize, type Place } from '../../../core'
import { asked, documentOf, seenAt, type Document, type Kind } from '../document'
import type { Documents } from '../documents'
import { parseName } from '../places'

/** `{k, v}`, as everywhere. */
export const EntryBody = z
  .object({ k: z.unknown().describe('string: the name'), v: z.unknown().describe('object: the description') })
  .partial()
  .nullish()
type EntryBody = z.output<typeof EntryBody>

const UpdatedAt = z
  .string()
  .regex(/^\d{1,11}(\.\d{1,3})?$/)
  .transform((text) => Math.round(Number(text) * 1000))
  .describe('unix seconds')

export const WriteQuery = z.object({ updated_at: UpdatedAt.optional() })
export const RemoveQuery = z.object({ k: z.string().optional(), updated_at: UpdatedAt.optional() })

export const ReadQuery = z.object({
  ...PAGING,
  k: z.string().optional(),
  as: z.enum(['values']).optional(),
  at: z.string().optional(),
  time_series: Flag.optional(),
  gs: z.string().optional(),
  ge: z.string().optional(),
})
export type ReadQuery = z.output<typeof ReadQuery>

/** @throws key_missing, bad_key */
export function nameIn(k: unknown): string {
  if (k === undefined || k === null) throw new Kv4Error('key_missing')
  if (typeof k !== 'string') throw new Kv4Error('bad_key', { fields: { reason: 'not a string' } })
  return parseName(k)
}

/** @throws value_missing, bad_request, version_conflict, precondition_failed, _ver_missing */
export async function write(
  documents: Documents,
  kind: Kind,
  address: Address,
  request: ServiceRequest<z.output<typeof WriteQuery>, EntryBody>,
  requireVer: boolean,
): Promise<Reply> {
  const { bucket, principal, query, body } = request
  if (body?.v === undefined) throw new Kv4Error('value_missing')
  const { value, ver } = splitVer(body.v as Json)
  const description = asked(kind, address.key, value)
  const version = await writeUnder(
    writeCondition(request, ver, requireVer),
    (expect) =>
      documents.put(bucket, address, description, {
        by: principal.login,
        ...(expect !== undefined && { expect }),
        ...(query.updated_at !== undefined && { asOf: query.updated_at }),
      }),
    async () => (await bucket.get(address, { consistent: true })) === undefined,
  )
  return writtenReply(version)
}

/** @throws not_found, precondition_failed, version_conflict */
export async function remove(
  documents: Documents,
  address: Address,
  request: ServiceRequest<z.output<typeof RemoveQuery>>,
): Promise<Json> {
  const { bucket, principal, query, ifNoneMatch } = request
  if (ifNoneMatch !== undefined)
    throw new Kv4Error('bad_request', { fields: { reason: 'If-None-Match does not go with DELETE' } })
  const condition = headerCondition(request)
  const { updated_at: asOf } = query
  const removed = await writeUnder(
    condition ?? { failure: 'version_conflict', orAbsent: false },
    (expect) =>
      documents.remove(bucket, address, {
        by: principal.login,
        ...(expect !== undefined && { expect }),
        ...(asOf !== undefined && { asOf }),
      }),
    async () => false,
  )
  if (!removed) throw new Kv4Error('not_found')
  return 1
}

/** One description, as it is or was. @throws not_found, bad_range */
export async function readOne(
  { bucket, query }: ServiceRequest<ReadQuery>,
  address: Address,
): Promise<Json | Reply> {
  refuse(query, 'as')
  if (query.time_series === true) {
    refuse(query, 'at')
    return keySeries(bucket, address, query)
  }
  refuse(query, 'gs')
  refuse(query, 'ge')
  const instant = query.at === undefined ? undefined : Instant.parse(query.at)
  const version = await bucket.get(address, {
    ...(instant !== undefined && { at: instant }),
    ...(query.consistent === true && { consistent: true }),
  })
  if (version === undefined) throw new Kv4Error('not_found')
  return shown(version, instant ?? Date.now())
}

/** The names at a place; `as=values`: the descriptions; `time_series=1`: what happened to all of them. */
export async function readAll(
  { bucket, query }: ServiceRequest<ReadQuery>,
  place: Place,
): Promise<Json | Reply> {
  refuse(query, 'at')
  if (query.time_series === true) {
    refuse(query, 'as')
    return pathSeries(bucket, place, query)
  }
  refuse(query, 'gs')
  refuse(query, 'ge')
  if (query.as === undefined) {
    const { items, next } = await bucket.keys(place, pageOptions(query, NAMES_LIMIT, parseName))
    return next === undefined ? items : new Reply(items, { next })
  }
  const { items, next } = await boundedListing(
    (page) => bucket.entries(place, page),
    pageOptions(query, VALUES_LIMIT, parseName),
    ({ version }) => valueSize(version.v),
  )
  const now = Date.now()
  const values = items.map(({ version }) => seen(version, now))
  return next === undefined ? values : new Reply(values, { next })
}

/** With its version, unless what it says has changed by the mere passing of time and that is not a version yet. */
export function shown(version: Version, now: number): Reply {
  const stored = documentOf(version)
  const value = seen(version, now)
  return new Reply(value, seenAt(stored, now) === stored ? { tag: VersionTag.of(version) } : {})
}

function seen(version: Version, now: number): Json {
  const v: Document = seenAt(documentOf(version), now)
  return withVer({ n: version.n, v })
}

/** A parameter that would be without effect is a misunderstanding. */
function refuse(query: ReadQuery, parameter: 'at' | 'as' | 'gs' | 'ge'): void {
  if (query[parameter] !== undefined)
    throw new Kv4Error('bad_request', { fields: { parameter, reason: 'does not go with the others' } })
}

import { z } from 'zod'
import { Key, Kv4Error, VersionTag, valueSize } from '../../core'
import type { Bucket, Json, Path } from '../../core'
import { boundedListing } from '../bounded-listing'
import { HOOK_LAYERS, statePath } from '../hook'
import type { StoredHook } from '../hook'
import type { HookBook } from '../hook-book'
import { Reply, route, type Route } from '../module'
import { PAGING, VALUES_LIMIT, pageOptions, type PagingQuery } from '../paging'
import { Depth } from '../parameters'
import { DEAD } from './actions'
import type { Letter } from './letters'
import { shownHook, shownWithStatus } from './shown-hook'

const Query = z.object({
  ...PAGING,
  ...DEAD,
  k: z.string().optional(),
  as: z.enum(['values']).optional(),
  depth: Depth.optional(),
})

export function read(book: HookBook): Route {
  return route({
    method: 'GET',
    access: 'account',
    summary:
      'The hook `k` with its `status`: last result, next try, backlog; `dead`: its dead letters. Without `k` the names of those at the path; `as=values` what they are, down to `depth`.',
    input: { query: Query },
    async run({ bucket, path, query }) {
      if (query.k !== undefined) {
        const address = { path, name: Key.parse(query.k) }
        const stored = await book.get(bucket, address, { consistent: query.consistent ?? false })
        if (stored === undefined) throw new Kv4Error('not_found')
        if (query.dead === true) return deadLetters(bucket, stored, query)
        return new Reply(await shownWithStatus(book, bucket, stored), { tag: VersionTag.of(stored.version) })
      }
      if (query.dead === true) throw new Kv4Error('key_missing')
      return list(book, bucket, path, query)
    },
  })
}

async function list(
  book: HookBook,
  bucket: Bucket,
  path: Path,
  { as, depth, consistent = false }: z.output<typeof Query>,
): Promise<Json> {
  if (depth !== undefined && as === undefined)
    throw new Kv4Error('bad_request', { fields: { parameter: 'depth', reason: 'goes with as=values' } })
  const of = { path, ...(depth !== undefined && { depth }) }
  const hooks = await book.list(bucket, of, { consistent })
  return as === undefined ? hooks.map(({ address }) => address.name) : hooks.map(shownHook)
}

/** The oldest first. */
async function deadLetters(bucket: Bucket, { hook }: StoredHook, query: PagingQuery): Promise<Json | Reply> {
  const { items, next } = await boundedListing(
    (page) => bucket.entries({ layer: HOOK_LAYERS.dead, path: statePath(hook.id) }, page),
    pageOptions(query, VALUES_LIMIT, (text) => Key.parse(text)),
    ({ version }) => valueSize(version.v),
  )
  const letters = items.map(({ version }) => shownLetter(version.v as unknown as Letter))
  return next === undefined ? letters : new Reply(letters, { next })
}

function shownLetter({ id, at, tries, last, message: { body } }: Letter): Json {
  return { id, at, tries, ...(last !== undefined && { last: { ...last } }), body }
}

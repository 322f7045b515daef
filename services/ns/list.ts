import { z } from 'zod'
import { Path } from '../../core'
import { Reply, route } from '../module'
import { NAMES_LIMIT, PAGING, pageOptions } from '../paging'
import { Depth } from '../parameters'
import { NAMESPACES } from '../namespace'

/**
 * GET: contract §3. Namespaces that were created at or below the path, not the ancestors that they imply; whole paths
 * without a leading slash. Order: segment by segment in byte order, so that `/` sorts before every other character and
 * a namespace stands right before what is below it.
 */
export const list = route({
  method: 'GET',
  access: 'account',
  summary: 'Namespaces at or below the path, at most `depth` segments below; paged by `limit` and `after`.',
  input: { query: z.object({ ...PAGING, depth: Depth.optional() }) },
  watch: () => ({ layer: NAMESPACES, key: null }),
  async run({ bucket, path, query }) {
    const page = pageOptions(query, NAMES_LIMIT, (text) => Path.parse(text))
    const { items, next } = await bucket.paths(NAMESPACES, path, query.depth, page)
    const names = items.map(withoutSlash)
    return next === undefined ? names : new Reply(names, { next: withoutSlash(next) })
  },
})

function withoutSlash(path: Path): string {
  return path.slice(1)
}

import { z } from 'zod'
import { BucketName, Key, Kv4Error, addressIn } from '../../core'
import type { Bucket } from '../../core'
import { HOOK_LAYERS, statePath } from '../hook'
import type { HookBook } from '../hook-book'
import { route, type Route } from '../module'
import { DEAD } from './actions'
import type { Letter } from './letters'

const { account: BY } = BucketName.owner(BucketName.system)
const PAGE = 500

export function remove(book: HookBook): Route {
  return route({
    method: 'DELETE',
    access: 'account',
    summary:
      'Removes the hook `k`, and what it has not delivered: 1. With `dead` its dead letters alone (or the one with `id`): how many.',
    input: { query: z.object({ ...DEAD, k: z.string().optional(), id: z.string().optional() }) },
    async run({ bucket, path, principal, query }) {
      if (query.k === undefined) throw new Kv4Error('key_missing')
      const address = { path, name: Key.parse(query.k) }
      if (query.dead === true) {
        const stored = await book.get(bucket, address, { consistent: true })
        if (stored === undefined) throw new Kv4Error('not_found')
        return removeDead(bucket, stored.hook.id, query.id)
      }
      if (!(await book.remove(bucket, address, { by: principal.login }))) throw new Kv4Error('not_found')
      return 1
    },
  })
}

async function removeDead(bucket: Bucket, hook: string, id: string | undefined): Promise<number> {
  const place = { layer: HOOK_LAYERS.dead, path: statePath(hook) }
  if (id === undefined) return bucket.removeUnder(place.layer, place.path, { by: BY, depth: 0 })
  let after: Key | undefined
  do {
    const page = await bucket.entries(place, {
      consistent: true,
      limit: PAGE,
      ...(after !== undefined && { after }),
    })
    for (const { key, version } of page.items)
      if ((version.v as unknown as Letter).id === id)
        return (await bucket.remove(addressIn(place, key), { by: BY })) === undefined ? 0 : 1
    after = page.next
  } while (after !== undefined)
  return 0
}

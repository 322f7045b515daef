import { Kv4Error } from '../../core'
import { route } from '../module'
import { NAMESPACES } from '../namespace'

/** DELETE: contract §3. At the root it removes the whole tree. What other services keep at the paths stays. */
export const remove = route({
  method: 'DELETE',
  access: 'account',
  summary: 'Removes the namespace and all below it; answers how many.',
  async run({ bucket, path, principal }) {
    const removed = await bucket.removeUnder(NAMESPACES, path, { by: principal.login })
    if (removed === 0) throw new Kv4Error('not_found')
    return removed
  },
})

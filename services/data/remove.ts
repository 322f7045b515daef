import { z } from 'zod'
import {
  Kv4Error,
  isKv4Error,
  type Address,
  type Bucket,
  type Expectation,
  type Place,
  type WriteOptions,
  addressIn,
} from '../../core'
import { route, type ServiceRequest } from '../module'
import { headerCondition } from '../condition'
import { dataLayer } from './layer'
import { SELECTORS, Selector } from './selector'

/** DELETE: contract §4.1. The keys at the path itself; what is below it stays. */
export const remove = route({
  method: 'DELETE',
  access: 'account',
  tokens: ['service'],
  summary: 'Removes the entry `k` (or `k2`, `k3`, `k4`): 1. Without one, all entries at the path: how many.',
  input: { query: z.object({ ...SELECTORS, l: z.string().optional() }) },
  async run(request) {
    const { bucket, path, principal, query } = request
    const by = principal.login
    const place = { layer: dataLayer(query.l, principal), path }
    const selector = Selector.parse(query)
    const expect = expectation(request)
    if (selector === undefined) {
      if (expect !== undefined)
        throw new Kv4Error('bad_request', { fields: { reason: 'If-Match needs a key' } })
      return bucket.removeUnder(place.layer, path, { by, depth: 0 })
    }
    const removed = await removeOne(bucket, place, selector, by, expect)
    if (!removed) throw new Kv4Error(expect === undefined ? 'not_found' : 'precondition_failed')
    return 1
  },
})

function expectation(request: ServiceRequest): Expectation | undefined {
  if (request.ifNoneMatch !== undefined)
    throw new Kv4Error('bad_request', { fields: { reason: 'If-None-Match does not go with DELETE' } })
  return headerCondition(request)?.expect
}

async function removeOne(
  bucket: Bucket,
  place: Place,
  selector: Selector,
  by: string,
  expect: Expectation | undefined,
): Promise<boolean> {
  if (selector.kind === 'key')
    return removeKey(bucket, addressIn(place, selector.key), { by, ...(expect !== undefined && { expect }) })
  for (;;) {
    const entry = await Selector.entry(selector, bucket, place, { consistent: true })
    if (entry === undefined) return false
    const { n } = entry.version
    if (typeof expect === 'object' && expect.n !== n) return false
    // Only as it was found: meanwhile the secondary key may have passed to another entry.
    if (await removeKey(bucket, addressIn(place, entry.key), { by, expect: { n } })) return true
  }
}

/** false: nothing live, or not as expected. */
async function removeKey(bucket: Bucket, address: Address, options: WriteOptions): Promise<boolean> {
  try {
    return (await bucket.remove(address, options)) !== undefined
  } catch (error) {
    if (isKv4Error(error, 'version_conflict')) return false
    throw error
  }
}

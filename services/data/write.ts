import { z } from 'zod'
import {
  Kv4Error,
  VersionTag,
  isKv4Error,
  type Address,
  type Bucket,
  type Json,
  type PutOptions,
  type Version,
} from '../../core'
import { Reply, route, type Route } from '../module'
import { splitVer, withVer } from '../ver'
import { writeCondition, type Condition } from '../condition'
import { EntryBody, newEntry } from './entry-body'
import { dataLayer } from './layer'

const Query = z.object({ l: z.string().optional(), ttl: z.string().optional() })

/** PUT and POST: contract §4.1 to §4.3. Both create or replace, since clients use either for both. */
export function write(method: 'PUT' | 'POST', requireVer: boolean): Route {
  return route({
    method,
    access: 'account',
    tokens: ['service'],
    summary: 'Creates or replaces the entry `k`; answers what is stored, an object with its `_ver_`.',
    input: { query: Query, body: EntryBody },
    async run(request) {
      const { bucket, path, principal, query } = request
      const { key, value: sent, ...options } = newEntry(request.body, query)
      const { value, ver } = splitVer(sent)
      const condition = writeCondition(request, ver, requireVer)
      const address = { layer: dataLayer(query.l, principal), path, key }
      const version = await put(bucket, address, value, { ...options, by: principal.login }, condition)
      return new Reply(withVer(version), { tag: VersionTag.of(version), created: version.op === 'create' })
    },
  })
}

async function put(
  bucket: Bucket,
  address: Address,
  value: Json,
  options: Omit<PutOptions, 'expect'>,
  { expect, failure, orAbsent }: Condition,
): Promise<Version> {
  if (expect === undefined) return bucket.put(address, value, options)
  try {
    return await bucket.put(address, value, { ...options, expect })
  } catch (error) {
    if (!isKv4Error(error, 'version_conflict')) throw error
    if (!orAbsent || (await bucket.get(address, { consistent: true })) !== undefined)
      throw new Kv4Error(failure, { cause: error })
  }
  return put(bucket, address, value, options, { expect: 'absent', failure, orAbsent: false })
}

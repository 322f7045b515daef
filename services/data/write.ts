import { z } from 'zod'
import { writeCondition, writeUnder } from '../condition'
import { writtenReply } from '../entry-reply'
import { route, type Route } from '../module'
import { splitVer } from '../ver'
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
      const { key, value: sent, keys, ttl } = newEntry(request.body, query)
      const { value, ver } = splitVer(sent)
      const condition = writeCondition(request, ver, requireVer)
      const address = { layer: dataLayer(query.l, principal), path, key }
      const version = await writeUnder(
        condition,
        (expect) => bucket.put(address, value, { by: principal.login, expect, keys, ttl }),
        async () => (await bucket.get(address, { consistent: true })) === undefined,
      )
      return writtenReply(version)
    },
  })
}

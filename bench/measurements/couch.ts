import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { compare } from '../compare'
import { median } from '../measurement'
import type { BenchContext, Measurement } from '../measurement'
import { MEASURED_CORE, NODE_FLAGS, pinned } from '../pinned-process'
import { puts, startTenant, warmGet } from '../tenant'

const CALLERS = 100

async function others(
  job: 'put' | 'get' | 'bulk',
  { couchdbUrl, seconds, rounds }: BenchContext,
): Promise<number> {
  const rates: number[] = []
  for (let round = 0; round < rounds; round++) {
    const args = [
      ...NODE_FLAGS,
      join(__dirname, '../processes/nano-load.js'),
      couchdbUrl!,
      job,
      String(CALLERS),
      String(seconds),
    ]
    const [command, all] = pinned(MEASURED_CORE, process.execPath, args)
    rates.push(Number((await promisify(execFile)(command, all)).stdout))
  }
  return median(rates)
}

export const couch: Measurement = {
  name: 'couch',
  title: `On CouchDB, ${CALLERS} connections: PUT and warm GET against nano and a bare script on the same server`,
  needsCouchdb: true,
  async run(context) {
    const tenant = await startTenant({ KV4_COUCHDB_URL: context.couchdbUrl! })
    try {
      const rows = await compare(
        [
          { what: 'kv4 PUT', target: tenant, requests: puts(tenant.headers) },
          { what: 'kv4 warm GET', target: tenant, requests: [warmGet(tenant.headers)] },
        ],
        context,
        CALLERS,
      )
      const put = rows.get('kv4 PUT')!
      return [
        { what: 'nano, a PUT each', value: await others('put', context), unit: '/s' },
        { what: 'bare script, _bulk_docs of 100', value: await others('bulk', context), unit: '/s' },
        { what: 'nano, a GET each', value: await others('get', context), unit: '/s' },
        { ...put, against: 'nano, a PUT each', target: { atLeast: 2 } },
        { ...put, what: 'the same PUT', against: 'bare script, _bulk_docs of 100', target: { atLeast: 0.7 } },
        { ...rows.get('kv4 warm GET')!, against: 'nano, a GET each', target: { atLeast: 10 } },
      ]
    } finally {
      await tenant.stop()
    }
  },
}

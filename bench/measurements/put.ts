import { join } from 'node:path'
import { compare } from '../compare'
import type { Measurement } from '../measurement'
import { startPinned } from '../pinned-process'
import { puts, startTenant } from '../tenant'

export const put: Measurement = {
  name: 'put',
  title: 'Durable PUT on the embedded store, 32 connections, 1,000 keys',
  async run(context) {
    const tenant = await startTenant()
    const bare = await startPinned(join(__dirname, '../processes/bare.js'), [String(tenant.answerBytes)])
    try {
      const rows = await compare(
        [
          { what: 'bare node:http POST', target: bare, requests: puts(tenant.headers, 'POST') },
          { what: 'kv4 PUT', target: tenant, requests: puts(tenant.headers) },
        ],
        context,
        32,
      )
      return [
        rows.get('bare node:http POST')!,
        { ...rows.get('kv4 PUT')!, against: 'bare node:http POST', target: { atLeast: 0.25 } },
      ]
    } finally {
      await bare.stop()
      await tenant.stop()
    }
  },
}

import { join } from 'node:path'
import { compare } from '../compare'
import type { Measurement } from '../measurement'
import { startPinned } from '../pinned-process'
import { startTenant, warmGet } from '../tenant'

export const get: Measurement = {
  name: 'get',
  title: 'Cached authenticated GET through the whole stack, 32 connections',
  async run(context) {
    const tenant = await startTenant()
    const bare = await startPinned(join(__dirname, '../processes/bare.js'), [String(tenant.answerBytes)])
    try {
      const request = warmGet(tenant.headers)
      const rows = await compare(
        [
          { what: 'bare node:http GET', target: bare, requests: [request] },
          { what: 'kv4 GET', target: tenant, requests: [request] },
        ],
        context,
        32,
      )
      return [
        rows.get('bare node:http GET')!,
        { ...rows.get('kv4 GET')!, against: 'bare node:http GET', target: { atLeast: 0.45 } },
      ]
    } finally {
      await bare.stop()
      await tenant.stop()
    }
  },
}

import { join } from 'node:path'
import { compare } from '../compare'
import type { Measurement } from '../measurement'
import { startPinned } from '../pinned-process'
import { puts, startTenant, warmGet } from '../tenant'

export const mixed: Measurement = {
  name: 'mixed',
  title: 'Nine cached GETs to one durable PUT on the embedded store, 32 connections',
  async run(context) {
    const tenant = await startTenant()
    const bare = await startPinned(join(__dirname, '../processes/bare.js'), [String(tenant.answerBytes)])
    const mix = (method: string) =>
      puts(tenant.headers, method).flatMap((write) => [
        write,
        ...Array.from({ length: 9 }, () => warmGet(tenant.headers)),
      ])
    try {
      const rows = await compare(
        [
          { what: 'bare node:http mixed', target: bare, requests: mix('POST') },
          { what: 'kv4 mixed', target: tenant, requests: mix('PUT') },
        ],
        context,
        32,
      )
      return [
        rows.get('bare node:http mixed')!,
        { ...rows.get('kv4 mixed')!, against: 'bare node:http mixed' },
      ]
    } finally {
      await bare.stop()
      await tenant.stop()
    }
  },
}

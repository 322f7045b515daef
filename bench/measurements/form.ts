import { join } from 'node:path'
import { compare } from '../compare'
import type { Measurement } from '../measurement'
import { startPinned } from '../pinned-process'
import type { PinnedProcess } from '../pinned-process'

const FORMS = {
  bare: 'bare node:http',
  app: 'Express app as it comes',
  prototypes: 'Express app on a server with its prototypes',
  router: 'Express router on node:http (ours)',
} as const

export const form: Measurement = {
  name: 'form',
  title: 'Express and passport in their forms, the same small job, 32 connections',
  async run(context) {
    const request = {
      method: 'GET',
      path: '/_data/a?k=b',
      headers: { Authorization: 'Basic ' + Buffer.from('elena:secret').toString('base64') },
    }
    const started: PinnedProcess[] = []
    try {
      const sides = []
      for (const [name, what] of Object.entries(FORMS)) {
        const target = await startPinned(join(__dirname, '../processes/forms.js'), [name])
        started.push(target)
        sides.push({ what, target, requests: [request] })
      }
      const rows = await compare(sides, context, 32)
      return [...rows.values()].map((row) =>
        row.what === FORMS.bare ? row : { ...row, against: FORMS.bare },
      )
    } finally {
      for (const target of started) await target.stop()
    }
  },
}

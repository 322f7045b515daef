import { parseStrictJson } from '../../server/strict-json'
import type { Measurement } from '../measurement'
import { VALUE } from '../tenant'

const BODIES = {
  'a small object': { k: 'key', v: VALUE },
  'a list of 60 objects': { k: 'key', v: Array.from({ length: 60 }, (_, i) => ({ ...VALUE, i })) },
  'one text of 20 kB': { k: 'key', v: 'x'.repeat(20_000) },
}

/** CPU, in ns per byte. */
function cost(bytes: Buffer, parse: () => unknown): number {
  const times = Math.ceil(5e7 / bytes.length)
  for (let i = 0; i < times / 5; i++) parse()
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) parse()
  const { user, system } = process.cpuUsage(before)
  return ((user + system) * 1000) / times / bytes.length
}

export const json: Measurement = {
  name: 'json',
  title: 'Reading a body: strict against JSON.parse alone',
  async run() {
    return Object.entries(BODIES).flatMap(([what, value]) => {
      const bytes = Buffer.from(JSON.stringify(value))
      const plain = `JSON.parse of ${what}`
      return [
        { what: plain, value: cost(bytes, () => JSON.parse(bytes.toString('utf8'))), unit: 'ns/byte' },
        {
          what: `strict reading of ${what}`,
          value: cost(bytes, () => parseStrictJson(bytes)),
          unit: 'ns/byte',
          against: plain,
        },
      ]
    })
  },
}

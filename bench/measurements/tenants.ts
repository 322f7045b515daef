import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Measurement } from '../measurement'

const TENANTS = 10_000

interface Report {
  readonly open: number
  readonly residentKb: number
  readonly heapKb: number
  readonly openMs: number
}

export const tenants: Measurement = {
  name: 'tenants',
  title: `${TENANTS.toLocaleString('en')} tenants open in one data directory`,
  async run() {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--expose-gc',
      join(__dirname, '../processes/tenants.js'),
      String(TENANTS),
    ])
    const { open, residentKb, heapKb, openMs } = JSON.parse(stdout) as Report
    if (open < TENANTS) throw new Error(`only ${open} were open`)
    return [
      { what: 'resident memory per open tenant', value: residentKb, unit: 'KB', target: { atMost: 100 } },
      { what: 'of it heap', value: heapKb, unit: 'KB' },
      { what: 'opening one, with its first write', value: openMs, unit: 'ms' },
    ]
  },
}

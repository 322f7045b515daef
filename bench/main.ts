import { parseArgs } from 'node:util'
import { cpus } from 'node:os'
import { DRIVER } from './load'
import { MEASUREMENTS } from './measurements'
import type { BenchContext, Row } from './measurement'
import { leaveMeasuredCore } from './pinned-process'

const HELP = `npm run bench -- [names] [--seconds 4] [--rounds 3] [--couchdb URL]

Measures on one core, drives from the others, and prints ratios of the same run. Names:
${MEASUREMENTS.map(({ name, title }) => `  ${name.padEnd(8)} ${title}`).join('\n')}
Without names: all of them. Those of CouchDB need --couchdb or KV4_TEST_COUCHDB_URL.`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '3' },
      couchdb: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(HELP)
    return
  }
  const unknown = positionals.filter((name) => !MEASUREMENTS.some((one) => one.name === name))
  if (unknown.length > 0) throw new Error(`no measurement is called ${unknown.join(', ')}\n\n${HELP}`)
  const couchdbUrl = values.couchdb ?? process.env['KV4_TEST_COUCHDB_URL']
  const context: BenchContext = {
    seconds: Number(values.seconds),
    rounds: Number(values.rounds),
    ...(couchdbUrl === undefined ? {} : { couchdbUrl }),
  }

  leaveMeasuredCore()
  console.log(
    `node ${process.version}, ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}, driven by ${DRIVER}\n`,
  )
  console.log('| what | value | CPU µs | ratio | ratio of CPU | target | |')
  console.log('|---|---:|---:|---:|---:|---:|---|')
  let missed = 0
  for (const measurement of MEASUREMENTS) {
    const { name, title, needsCouchdb } = measurement
    if (positionals.length > 0 ? !positionals.includes(name) : false) continue
    console.log(`| **${title}** | | | | | | |`)
    if (needsCouchdb === true && couchdbUrl === undefined) {
      console.log('| skipped: no CouchDB was named | | | | | | |')
      continue
    }
    const rows = await measurement.run(context)
    for (const row of rows) if (!print(row, rows)) missed++
  }
  if (missed > 0) console.log(`\n${missed} below target`)
}

/** false: it has a target and misses it. */
function print(row: Row, rows: readonly Row[]): boolean {
  const other = rows.find(({ what }) => what === row.against)
  const ratio = other === undefined ? undefined : row.value / other.value
  const cpuRatio =
    other?.cpuMicros === undefined || row.cpuMicros === undefined
      ? undefined
      : other.cpuMicros / row.cpuMicros
  const reached = ratio ?? row.value
  const { target } = row
  const met =
    target === undefined || ('atLeast' in target ? reached >= target.atLeast : reached <= target.atMost)
  const wanted =
    target === undefined ? '' : 'atLeast' in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`
  const cells = [
    row.what,
    `${digits(row.value)} ${row.unit}`,
    row.cpuMicros === undefined ? '' : digits(row.cpuMicros),
    ratio === undefined ? '' : ratio.toFixed(2),
    cpuRatio === undefined ? '' : cpuRatio.toFixed(2),
    wanted,
    target === undefined ? '' : met ? 'met' : 'MISSED',
  ]
  console.log(`| ${cells.join(' | ')} |`)
  return met
}

function digits(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})

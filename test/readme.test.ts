import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { catalogued } from '../docs/generate/catalogued'
import { startPlatform } from './platform'

const SECRET = 'a-secret-for-the-walkthrough'
const readme = readFileSync(join(__dirname, '..', 'README.md'), 'utf8')

function block(after: string, language: string): string {
  const from = readme.indexOf(after)
  const start = readme.indexOf('```' + language + '\n', from) + language.length + 4
  return readme.slice(start, readme.indexOf('```', start))
}

function run(script: string, env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const shell = spawn('bash', ['--norc', '-c', script], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let out = ''
    shell.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    shell.stderr.on('data', (chunk: Buffer) => (out += chunk.toString()))
    shell.on('error', reject)
    shell.on('close', () => resolve(out))
  })
}

test('the walkthrough of the README, pasted, prints what the README says', async () => {
  const platform = await startPlatform({ settings: { KV4_SYS_SECRET: SECRET } })
  try {
    const printed = await run(block('<!-- walkthrough', 'sh'), {
      SYS: SECRET,
      KV4: platform.url,
    })
    const timeless = (text: string) => text.replace(/\[\d{10},/g, '[time,')
    expect(timeless(printed)).toBe(timeless(block('It prints', 'text')))
  } finally {
    await platform.close()
  }
})

test('every service, and what each mount answers, stands in the tables of the README', () => {
  const rows = readme.split('\n').filter((line) => line.startsWith('| '))
  const { services, mounts } = catalogued()
  for (const { prefix } of services)
    expect([prefix, rows.filter((row) => row.startsWith(`| [\`${prefix}\`](docs/`)).length]).toEqual([
      prefix,
      1,
    ])
  for (const { name, segments } of mounts)
    expect([name, rows.some((row) => segments.some((one) => row.includes(`\`/${one}`)))]).toEqual([
      name,
      true,
    ])
})

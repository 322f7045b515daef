import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { SETTING_NAMES, flagOf } from '../../server/settings'
import { until } from '../eventually'
import { Kv4 } from './kv4'

let kv4: Kv4
beforeEach(async () => {
  kv4 = await Kv4.make()
})
afterEach(() => kv4.remove())

test('what was built can be run as it lies there, as npx does', () => {
  const main = join(__dirname, '../../dist/cli/main.js')
  expect(execFileSync(main, ['--help'], { encoding: 'utf8' })).toMatch(/^Usage: kv4 /)
})

test('serve makes the secret of $sys, serves, and drains at SIGTERM', async () => {
  const server = kv4.start(['serve', '--port', '0', '--data-dir', 'mine'])
  try {
    const url = await until(() => /"url":"([^"]+)"/.exec(server.stdout())?.[1])
    const secret = await until(() => /^ {2}(kv4_\S+)$/m.exec(server.stderr())?.[1])
    expect(existsSync(kv4.file('mine/store'))).toBe(true)
    const { code, stdout } = await kv4.run(['get', '/_ds'], { KV4_URL: url, KV4_USER: `$sys:${secret}` })
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ s: 'ok' })
    server.child.kill('SIGTERM')
    expect((await server.ended).code).toBe(0)
    expect(server.stdout()).not.toContain(secret)
  } finally {
    server.child.kill('SIGKILL')
    await server.ended
  }
})

test.each([
  [['--prot', '1'], {}, 'Did you mean --port'],
  [['--port', 'x'], {}, 'KV4_PORT "x" is not a whole number'],
  [['--port', '1', '--port', '2'], {}, 'It is given twice'],
  [['surplus'], {}, 'too many arguments'],
  [[], { KV4_PROT: '1' }, 'KV4_PROT is not a setting'],
  [['--sys-secret', '!canary'], {}, 'KV4_SYS_SECRET is not '],
] as [string[], Record<string, string>, string][])(
  'serve %j with %j is refused with 2 before anything is opened',
  async (args, env, message) => {
    const { code, stdout, stderr } = await kv4.run(['serve', ...args], env)
    expect(stderr).toContain(message)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).not.toContain('canary')
    expect(existsSync(kv4.file('data'))).toBe(false)
  },
)

test('config shows every setting in force, a flag before the environment, and no secret', async () => {
  const env = {
    KV4_PORT: '1',
    KV4_CACHE_MB: '7',
    KV4_SYS_SECRET: 'canary-canary-canary',
    KV4_PEPPER: 'canary'.repeat(8),
    KV4_COUCHDB_URL: 'http://admin:canary@127.0.0.1:5984',
  }
  const { code, stdout } = await kv4.run(['config', '--json', '--port', '2'], env)
  expect(code).toBe(0)
  const settings = JSON.parse(stdout) as Record<string, string>
  expect(Object.keys(settings)).toEqual(SETTING_NAMES)
  expect(settings).toMatchObject({
    KV4_PORT: '2',
    KV4_CACHE_MB: '7',
    KV4_SYS_SECRET: '(set)',
    KV4_COUCHDB_URL: 'http://127.0.0.1:5984/',
  })
  expect(stdout).not.toContain('canary')
  expect((await kv4.run(['config'], env)).stdout).not.toContain('canary')
})

test('serve has a flag for every setting', async () => {
  const { stdout } = await kv4.run(['serve', '--help'])
  for (const name of SETTING_NAMES) expect(stdout).toContain(flagOf(name) + ' <value>')
})

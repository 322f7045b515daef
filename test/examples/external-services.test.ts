import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { CATALOGUE } from '../../core'
import { makeAccount, startOpenPlatform } from '../server/external/world'

/** docs/external-services.md: its program runs and does what the page says. */

const ROOT = join(__dirname, '../..')
const text = readFileSync(join(ROOT, 'docs/external-services.md'), 'utf8')

test('the program of the page is a service, of 30 lines or so', async () => {
  const [, code] = /<!-- poll\.js -->\n\n```js\n([^]*?)\n```/.exec(text)!
  expect(code!.split('\n').length).toBeLessThanOrEqual(36)

  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const { port } = free.address() as AddressInfo
  free.close()
  await once(free, 'close')

  const platform = await startOpenPlatform()
  const { sys } = platform
  const elena = platform.as('elena', await makeAccount(sys, 'elena'))
  const lily = platform.as('elena#lily', await makeAccount(elena, 'lily'))
  const room = mkdtempSync(join(tmpdir(), 'kv4-poll-'))
  writeFileSync(
    join(room, 'poll.js'),
    code!.replace('kv4/service', join(ROOT, 'service/index.ts')).replaceAll('4020', String(port)),
  )
  const program = spawn(
    process.execPath,
    ['-r', join(ROOT, 'scripts/typescript.js'), join(room, 'poll.js')],
    {
      env: {
        PATH: process.env['PATH'],
        PLATFORM: platform.url,
        HOST_TOKEN: await sys.ok(sys.put<string>('/_host/runtime/hosts/token?prefix=_poll')),
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  try {
    const until = Date.now() + 10_000
    while ((await sys.get('/_poll/x')).status !== 200 && Date.now() < until) await wait(50)
    expect(await elena.ok(elena.put('/_poll/lunch'))).toBe(1)
    expect(await elena.ok(elena.put('/_poll/lunch'))).toBe(1)
    expect(await lily.ok(lily.put('/_poll/lunch/on monday'.replace(' ', '%20')))).toBe(1)
    expect(await elena.ok(elena.get<string[]>('/_ds'))).toContain('*poll')
    const direct = await fetch(`http://127.0.0.1:${port}/_poll/lunch`, { method: 'PUT' })
    expect(await direct.json()).toEqual({ v: 'unauthorized', s: 'error' })

    const gone = once(program, 'exit')
    program.kill('SIGTERM')
    await gone
    expect(await elena.error(elena.put('/_poll/lunch'))).toBe('404 not_found')
  } finally {
    program.kill('SIGKILL')
    await platform.close()
    rmSync(room, { recursive: true, force: true })
  }
})

test('the page names errors that there are', () => {
  for (const code of ['service_failed', 'service_unavailable', 'not_found']) {
    expect(text).toContain('`' + code + '`')
    expect(Object.keys(CATALOGUE)).toContain(code)
  }
})

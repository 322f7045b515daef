import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { SESSION_CACHE_ERRORS } from '../../session-cache'
import { endProcesses, freePort, startTierProcess } from './processes'
import { removeTableRooms, tableRoom } from './table-room'

const ROOT = join(__dirname, '../..')
const text = readFileSync(join(ROOT, 'docs/session-cache.md'), 'utf8')

afterEach(async () => {
  await endProcesses()
  removeTableRooms()
})

/** The block of code behind the line that names the file. */
function block(name: string): string {
  const line = text.indexOf(`\n${name}`)
  const found = /\n```(?:json|js)\n([^]*?)\n```/.exec(text.slice(line))
  if (line < 0 || found === null) throw new Error(`the document has no ${name}`)
  return found[1]!
}

describe('the document', () => {
  test('has an example of two boxes that works', async () => {
    const room = tableRoom()
    const [front, back] = [await freePort(), await freePort()]
    const here = (code: string) =>
      code
        .replaceAll('7878', String(front))
        .replaceAll('7880', String(back))
        .replaceAll('/dev/shm', room)
        .replace('kv4/session-cache', join(ROOT, 'session-cache/index.ts'))
    writeFileSync(join(room, 'sibling.conf'), here(block('sibling.conf')))
    const relay = startTierProcess(room, 'relay.conf', JSON.parse(here(block('relay.conf'))))
    await relay.said('listens', { tier: 'sibling' })
    const relief = startTierProcess(room, 'relief.conf', JSON.parse(here(block('relief.conf'))))
    await relief.said('connected')
    writeFileSync(join(room, 'box.js'), here(block('box.js')))
    const box = (...args: string[]) =>
      promisify(execFile)(
        process.execPath,
        ['-r', join(ROOT, 'scripts/typescript.js'), join(room, 'box.js'), ...args],
        { cwd: room },
      )
    await box('a', 'set')
    expect((await box('b', 'get')).stdout).toBe('{"cart":["apples"]}\n')
  })

  test('names every error', () => {
    for (const code of Object.keys(SESSION_CACHE_ERRORS)) expect(text).toContain('`' + code + '`')
  })
})

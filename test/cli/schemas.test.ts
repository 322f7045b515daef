import { writeFile } from 'node:fs/promises'
import { type Platform, startPlatform } from '../platform'
import { Kv4 } from './kv4'

const PET = 'type: object\nproperties:\n  name: {type: string, min: 1}\n'

let platform: Platform
let kv4: Kv4
let env: Record<string, string>

beforeAll(async () => {
  platform = await startPlatform()
  kv4 = await Kv4.make()
  env = { KV4_URL: platform.url, KV4_USER: `${platform.sys.user}:${platform.sys.password}` }
})
afterAll(async () => {
  await kv4?.remove()
  await platform?.close()
})

test('schemas are declared from a file or standard input, shown as they were, remembered and removed', async () => {
  const run = (args: readonly string[], stdin?: string) => kv4.run(['schemas', ...args], env, stdin)
  const ok = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(args)
    expect([code, stderr]).toEqual([0, ''])
    return stdout
  }
  await writeFile(kv4.file('pet.yaml'), PET)
  await ok('set', 'team.pet.v1', 'pet.yaml')
  expect(await ok('get', 'team.pet.v1')).toBe(PET)
  expect((await run(['set', 'team.pet.v1', '-'], 'type: object\n')).code).toBe(0)
  expect(await ok()).toBe('SCHEMA\nteam.pet.v1\n')
  expect(await ok('list', '--json')).toBe('["team.pet.v1"]\n')
  await ok('remove', 'team.pet.v1')
  const past = (await ok('history', 'team.pet.v1')).trimEnd().split('\n')
  expect(past).toHaveLength(4)
  expect(past[1]).toMatch(/ \$sys +\(removed\)$/)
  expect(past[3]).toContain('min: 1')

  const bad = await run(['set', 'team.pet.v1', '-'], 'type: string\nmin: no\n')
  expect([bad.code, bad.stdout]).toEqual([1, ''])
  expect(bad.stderr).toContain('path: /min')
  const missing = await run(['set', 'team.pet.v1', 'nothing.yaml'])
  expect([missing.code, missing.stdout]).toEqual([2, ''])
})

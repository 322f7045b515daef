import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from '../../client'
import { until } from '../../eventually'
import { startPlatform, type Platform } from '../../platform'
import { SchemaDirectory } from '../../../services/sess/schema/schema-directory'

const INTEGER = 'type: object\nproperties:\n  n: {type: integer}\n'
const TEXT = 'type: object\nproperties:\n  n: {type: string}\n'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kv4-schemas-'))
})
afterEach(() => rm(directory, { recursive: true }))

const write = (name: string, text: string) => writeFile(join(directory, name), text)

describe('of a server', () => {
  let platform: Platform
  let api: Client
  beforeEach(async () => {
    await write('team.a.v1.yaml', INTEGER)
    platform = await startPlatform({ settings: { KV4_SCHEMAS_DIR: directory } })
    api = platform.sys
  })
  afterEach(() => platform.close())

  const put = async (k: string, n: unknown) => (await api.put('/_sess/x', { k, v: { n } })).status < 300

  test('schemas hold for all accounts, as the files are at the moment', async () => {
    expect(await put('team.a.v1', 'text')).toBe(false)
    expect(await put('team.a.v1', 1)).toBe(true)
    expect(await api.ok(api.get('/_sess/_schemas?k=team.a.v1'))).toBe(INTEGER)
    await write('new', TEXT)
    await rename(join(directory, 'new'), join(directory, 'team.a.v1.yaml'))
    await until(() => put('team.a.v1', 'text'))
    expect(await put('team.a.v1', 1)).toBe(false)
    await rm(join(directory, 'team.a.v1.yaml'))
    await until(() => put('team.a.v1', 1))
    expect(await api.error(api.get('/_sess/_schemas?k=team.a.v1'))).toBe('404 not_found')
  })

  test('an account’s own schema of the same name counts before the file, and may refer to files', async () => {
    await api.ok(api.put('/_sess/_schemas', { k: 'team.a.v1', v: TEXT }))
    expect(await put('team.a.v1', 'text')).toBe(true)
    await api.ok(api.delete('/_sess/_schemas?k=team.a.v1'))
    expect(await put('team.a.v1', 'text')).toBe(false)
    const v = { type: 'object', properties: { n: { type: 'team.a.v1' } } }
    await api.ok(api.put('/_sess/_schemas', { k: 'team.b.v1', v }))
    expect(await put('team.b.v1', { n: 1 })).toBe(true)
    expect(await put('team.b.v1', { n: 'text' })).toBe(false)
  })

  test('an account’s own schema stays where the file behind it would make a circle', async () => {
    await write('team.c.v1.yaml', INTEGER)
    await write('team.d.v1.yaml', 'type: object\nproperties:\n  n: {type: team.c.v1, optional: true}\n')
    await until(async () => (await api.get('/_sess/_schemas?k=team.d.v1')).status === 200)
    await api.ok(api.put('/_sess/_schemas', { k: 'team.d.v1', v: 'type: object' }))
    await api.ok(api.put('/_sess/_schemas', { k: 'team.c.v1', v: 'type: team.d.v1' }))
    expect(await api.error(api.delete('/_sess/_schemas?k=team.d.v1'))).toBe('400 bad_schema')
    await api.ok(api.put('/_sess/x', { k: 'team.c.v1', v: {} }))
  })
})

describe('by itself', () => {
  const problems: string[] = []
  let read: SchemaDirectory
  beforeEach(() => {
    problems.length = 0
    read = new SchemaDirectory(directory, ({ message }) => problems.push(message))
  })

  test('a file that cannot be used is told once, and what was read before stays', async () => {
    await write('team.a.v1.yaml', INTEGER)
    await write('team.b.v1.yml', 'type: no such type!')
    await read.look()
    expect(read.get('team.b.v1')).toBeUndefined()
    expect(problems).toEqual([
      `schemas in ${directory}: team.b.v1.yml cannot be used: /type: neither a type nor the name of a schema`,
    ])
    const before = read.get('team.a.v1')
    expect(before?.source).toBe(INTEGER)
    await write('team.a.v1.yaml', 'type: [')
    await read.look()
    await read.look()
    expect(read.get('team.a.v1')).toBe(before)
    expect(problems).toHaveLength(2)
    await write('team.a.v1.yaml', TEXT + '\n')
    await read.look()
    expect(read.get('team.a.v1')?.source).toBe(TEXT + '\n')
  })

  test('files that make a circle, or refer to nothing, count as they did before', async () => {
    const to = (name: string) => `type: object\nproperties:\n  next: {type: ${name}, optional: true}\n`
    await write('a.yaml', to('b'))
    await write('b.json', '{"type": "object"}')
    await write('c.yaml', to('nobody'))
    await read.look()
    expect(['a', 'b', 'c'].map((name) => read.get(name) !== undefined)).toEqual([true, true, false])
    expect(problems).toEqual([expect.stringContaining('there is no schema nobody')])
    await write('b.json', '{"type": "object", "properties": {"a": {"type": "a"}}}')
    await read.look()
    expect(read.get('b')?.source).toBe('{"type": "object"}')
    expect(problems.at(-1)).toContain('the references make a circle: b → a → b')
  })

  test('takes no names but those of namespaces, no files but those of its kinds, and none that is too long', async () => {
    await write('a b.yaml', INTEGER)
    await write('README.md', 'not a schema')
    await write('long.yaml', INTEGER + '#'.repeat(33 * 1024))
    await write('binary.yaml', '\u0000')
    await writeFile(join(directory, 'latin.yaml'), Buffer.from([0x74, 0xff, 0xfe]))
    await read.look()
    expect(problems).toHaveLength(4)
    for (const file of ['a b.yaml', 'long.yaml', 'binary.yaml', 'latin.yaml'])
      expect(problems.some((problem) => problem.includes(`: ${file} cannot be used`))).toBe(true)
  })

  test('a directory that is not there is told once, and used as soon as it is', async () => {
    const later = join(directory, 'later')
    const absent = new SchemaDirectory(later, ({ message }) => problems.push(message))
    await absent.look()
    await absent.look()
    expect(problems).toEqual([expect.stringContaining('the directory cannot be used')])
    await rename(await mkdtemp(join(directory, 'x')), later)
    await writeFile(join(later, 'a.yaml'), INTEGER)
    await absent.look()
    expect(absent.get('a')).toBeDefined()
  })
})

import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { removeTableRooms, tableRoom } from './table-room'

const ROOT = join(__dirname, '../..')

afterEach(removeTableRooms)

/** `kv4 relay <file>`; ended by SIGTERM as soon as it says that it listens. */
async function relay(file: string): Promise<{ code: number | null; output: string; errors: string }> {
  const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.js'), 'relay', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk) => {
    output += String(chunk)
    if (output.includes('"msg":"listens"')) child.kill('SIGTERM')
  })
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, output, errors }
}

describe('kv4 relay', () => {
  test('runs the tier of a file, and ends cleanly at SIGTERM', async () => {
    const room = tableRoom()
    const file = join(room, 'relay.conf')
    writeFileSync(
      file,
      JSON.stringify({
        edge_supported_relay: true,
        address: '127.0.0.1',
        port: 0,
        path_types: { auths: { cache: { directory: room } } },
      }),
    )
    const { code, output, errors } = await relay(file)
    expect(output).toContain('"tier":"relay"')
    expect({ code, errors }).toEqual({ code: 0, errors: '' })
  })

  test.each([
    ['{"edge_supported_relay":true,"path_types":{}}', 'path_types lacks "auths"'],
    ['{"half_edge":true,"port":"many"}', 'port: '],
    ['{', 'JSON'],
    ['{"half_edge":true,"address":"0.0.0.0"}', 'This address can be reached from other machines'],
    [
      '{"edge_supported_relay":true,"port":0,"path_types":{"auths":{"relay":{"proc_name":["rm","x"]}}}}',
      'relay.proc_name',
    ],
    [
      '{"edge_supported_relay":true,"port":0,"path_types":{"auths":{"relay":{"proc_name":["kv4","wrong.conf"]}}}}',
      'is not for a sibling',
    ],
    [
      '{"edge_supported_relay":true,"port":0,"path_types":{"auths":{"relay":{"proc_name":["kv4","nowhere.conf"]}}}}',
      'nowhere.conf',
    ],
  ])('says in a line what is wrong with %s', async (configuration, message) => {
    const room = tableRoom()
    const file = join(room, 'wrong.conf')
    writeFileSync(
      file,
      configuration.startsWith('{"')
        ? JSON.stringify(withDirectory(JSON.parse(configuration) as Record<string, unknown>, room))
        : configuration,
    )
    const { code, errors } = await relay(file)
    expect(code).toBe(2)
    expect(errors).toContain(message)
    expect(errors.trim().split('\n')).toHaveLength(1)
  })
})

/** So that no test leaves a table behind. */
function withDirectory(configuration: Record<string, unknown>, directory: string): unknown {
  const { auths } = (configuration['path_types'] ?? {}) as { auths?: object }
  if (auths !== undefined)
    return { ...configuration, path_types: { auths: { ...auths, cache: { directory } } } }
  return configuration['half_edge'] === true ? { ...configuration, cache: { directory } } : configuration
}

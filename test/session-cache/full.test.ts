import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { removeTableRooms, tableRoom } from './table-room'

jest.setTimeout(60_000)

const ROOT = join(__dirname, '../..')
const NAMESPACE = process.getuid?.() === 0 ? ['-m'] : ['-rm']
const MAY_MOUNT =
  spawnSync('unshare', [...NAMESPACE, 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' })
    .status === 0

afterEach(() => removeTableRooms())

describe(`a full memory file system${MAY_MOUNT ? '' : ' [skipped: nothing can be mounted here]'}`, () => {
  const test_ = MAY_MOUNT ? test : test.skip

  test_(
    'is a clear error; nothing is torn, what is there is read, the relay passes on what it cannot keep',
    async () => {
      const room = tableRoom()
      const small = join(room, 'small')
      const large = join(room, 'large')
      for (const directory of [small, large]) mkdirSync(directory)
      const script = 'mount -t tmpfs -o size=3m tmpfs "$1" && exec "$3" -r "$4" "$5" "$1" "$2"'
      const { stdout } = await promisify(execFile)('unshare', [
        ...NAMESPACE,
        ...['sh', '-c', script, 'sh', small, large, process.execPath],
        ...[join(ROOT, 'scripts/typescript.js'), join(__dirname, 'full-process.ts')],
      ])
      const found = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, Record<string, unknown>>
      expect(found['passed']).toEqual({
        filled: true,
        kept: 'x'.repeat(2000),
        beyond: 'x'.repeat(2000),
        changed: 'changed while the relay is full',
      })
      const { n } = found['atFirst'] as { n: number }
      expect(n).toBeGreaterThan(100)
      expect(found['atFirst']).toEqual({ refused: 'table_failed', n, torn: 0, lost: null, count: n })
      expect(found).toMatchObject({ fill: 'ENOSPC', opened: 'table_failed', again: 'done', read: 'y' })
    },
  )
})

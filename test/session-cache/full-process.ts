import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SessionCacheManager, startTier } from '../../session-cache'
import { SharedTable } from '../../session-cache/shared-table'

// In a small file system of its own, argv[2]; argv[3] has room. Fills it, and says in JSON what happened.
const [small, large] = process.argv.slice(2) as [string, string]
const VALUE = 'x'.repeat(2000)
const shape = { recordSize: 10_000, capacity: 100_000, sessionsLength: 0, agedOut: 0 }

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'done'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

async function main(): Promise<void> {
  // The table of a relay, and of two boxes elsewhere.
  const file = join(large, 'relay.conf')
  const cache = { directory: small, record_size: 10_000, el_count: 100_000 }
  writeFileSync(
    file,
    JSON.stringify({
      edge_supported_relay: true,
      port: 0,
      address: '127.0.0.1',
      path_types: { auths: { cache } },
    }),
  )
  const warnings: string[] = []
  const relay = await startTier(file, (level, message, fields) => {
    if (level === 'warn') warnings.push(`${message} ${JSON.stringify(fields)}`)
  })
  const line = { auth_path: 'auths', address: '127.0.0.1', port: relay.port! }
  const box = (name: string) =>
    new SessionCacheManager(
      { manage_section: true, token_path: name, cache: { ...cache, directory: large } },
      line,
    )
  const [a, b] = [box('a'), box('b')]
  await b.set('first', 'of b')
  let sets = 0
  while (warnings.length === 0 && sets < 5000) await a.set(`k${sets++}`, VALUE)
  await a.set('k0', 'changed while the relay is full')
  await a.set('beyond', VALUE)
  await new Promise((resolve) => setTimeout(resolve, 200))
  const passed = {
    filled: warnings.length > 0 && warnings.every((warning) => warning.includes('full')),
    kept: await b.get('k1'),
    beyond: await b.get('beyond'),
    changed: await b.get('k0'),
  }
  await a.close()
  await b.close()
  await relay.close()

  // A table that nobody has told of anything.
  const directory = join(small, 'table')
  const { mkdirSync, readdirSync, rmSync } = await import('node:fs')
  for (const name of readdirSync(small)) rmSync(join(small, name), { recursive: true })
  mkdirSync(directory)
  const table = new SharedTable(directory, { shape })
  let n = 0
  let refused = 'done'
  while (refused === 'done' && n < 5000) refused = codeOf(() => table.set(`k${n++}`, VALUE))
  n--
  let torn = 0
  for (let i = 0; i < n; i++) if (table.session(`k${i}`)?.value !== VALUE) torn++
  const atFirst = { refused, n, torn, lost: table.get(`k${n}`) ?? null, count: table.count }
  writeFileSync(join(small, 'more'), '')
  const fill = codeOf(() => {
    for (;;) writeFileSync(join(small, 'more'), Buffer.alloc(4096), { flag: 'a' })
  })
  mkdirSync(join(small, 'next'))
  const opened = codeOf(() => new SharedTable(join(small, 'next'), { shape }))
  // Room again.
  rmSync(join(small, 'more'))
  const again = codeOf(() => table.set('again', 'y'))
  const read = table.get('again') ?? null
  await table.close()
  process.stdout.write(JSON.stringify({ passed, atFirst, fill, opened, again, read }) + '\n')
}

void main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(String((error as Error).stack))
    process.exit(1)
  },
)

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BucketName, Key, Layer, Path, createEngine } from '../../core'
import { openEmbeddedStore } from '../../core/store/embedded'

/** Makes that many tenants in one data directory, opens each by a write and a read, and says what an open one takes. */
async function main(): Promise<void> {
  const tenants = Number(process.argv[2])
  const directory = mkdtempSync(join(tmpdir(), 'kv4-bench-tenants-'))
  const store = await openEmbeddedStore({
    directory,
    onFatal: (error) => {
      throw error
    },
  })
  const engine = createEngine({ store, maxOpenBuckets: tenants + 1 })
  const address = { layer: Layer.parse('*data'), path: Path.parse('/bench'), key: Key.parse('key') }
  const names = Array.from({ length: tenants }, (_, i) => BucketName.of('tenant-' + i))
  const each = async (run: (name: BucketName) => Promise<unknown>) => {
    for (let i = 0; i < tenants; i += 100) await Promise.all(names.slice(i, i + 100).map(run))
  }
  await each((name) => engine.create(name))
  // What the heap of the first hundred costs is not a tenant's.
  await Promise.all(names.slice(0, 100).map((name) => engine.bucket(name).get(address)))
  gc!()
  const before = process.memoryUsage()
  const start = performance.now()
  await each(async (name) => {
    await engine.bucket(name).put(address, { some: 'value' }, { by: 'bench' })
    await engine.bucket(name).get(address)
  })
  const opened = performance.now() - start
  gc!()
  const after = process.memoryUsage()
  process.stdout.write(
    JSON.stringify({
      open: engine.openBuckets,
      residentKb: (after.rss - before.rss) / 1024 / tenants,
      heapKb: (after.heapUsed + after.external - before.heapUsed - before.external) / 1024 / tenants,
      openMs: opened / tenants,
    }),
  )
  await engine.close()
  rmSync(directory, { recursive: true, force: true })
}

void main()

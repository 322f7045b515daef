import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BucketName, Key, Layer, Path, createEngine } from '../../core'
import type { Address } from '../../core'
import { openEmbeddedStore } from '../../core/store/embedded'
import type { Measurement } from '../measurement'
import { median } from '../measurement'
import { VALUE } from '../tenant'

const FEW = 10
const MANY = 1_000_000
const READS = 20_000
const AT_ONCE = 500

const address = (key: string): Address => ({
  layer: Layer.parse('*data'),
  path: Path.parse('/bench'),
  key: Key.parse(key),
})

export const latest: Measurement = {
  name: 'latest',
  title: `Latest version past the cache, of a key with ${FEW} and with ${MANY.toLocaleString('en')} versions`,
  async run({ rounds }) {
    const directory = mkdtempSync(join(tmpdir(), 'kv4-bench-latest-'))
    const store = await openEmbeddedStore({
      directory,
      onFatal: (error) => {
        throw error
      },
    })
    const engine = createEngine({ store })
    try {
      const name = BucketName.of('bench')
      await engine.create(name)
      const bucket = engine.bucket(name)
      const write = async (key: string, versions: number) => {
        for (let done = 0; done < versions; done += AT_ONCE)
          await Promise.all(
            Array.from({ length: Math.min(AT_ONCE, versions - done) }, () =>
              bucket.put(address(key), VALUE, { by: 'bench' }),
            ),
          )
      }
      await write('few', FEW)
      await write('many', MANY)
      const read = async (key: string) => {
        const start = performance.now()
        for (let i = 0; i < READS; i++) await bucket.get(address(key), { consistent: true })
        return ((performance.now() - start) * 1000) / READS
      }
      await read('few')
      const times: Record<'few' | 'many', number[]> = { few: [], many: [] }
      for (let round = 0; round < rounds * 3; round++)
        for (const key of ['few', 'many'] as const) times[key].push(await read(key))
      const what = (n: number) => `latest of ${n.toLocaleString('en')} versions`
      return [
        { what: what(FEW), value: median(times.few), unit: 'µs' },
        {
          what: what(MANY),
          value: median(times.many),
          unit: 'µs',
          against: what(FEW),
          target: { atMost: 1.2 },
        },
      ]
    } finally {
      await engine.close()
      rmSync(directory, { recursive: true, force: true })
    }
  },
}

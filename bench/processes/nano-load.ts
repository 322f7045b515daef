import { randomBytes } from 'node:crypto'
import nano from 'nano'
import { Key, Layer, Path } from '../../core'
import { documentOf } from '../../core/store/couch/documents'
import { VALUE } from '../tenant'

/**
 * What others do with the same CouchDB: `put` and `get` through nano, each its own request, `callers` at once; `bulk`
 * the versions in `_bulk_docs` of 100, one request in flight. The documents are those that kv4 writes for the same puts,
 * byte for byte but for the nonce. Prints how many per second.
 */
async function main(): Promise<void> {
  const [url, job, callers, seconds] = process.argv.slice(2) as [
    string,
    'put' | 'get' | 'bulk',
    string,
    string,
  ]
  const server = nano(url)
  const name = 'kv4-bench-' + randomBytes(6).toString('hex')
  await server.request({ db: name, method: 'PUT', qs: { q: 1 } })
  const db = server.use<object>(name)
  const keys = 1000
  const place = { layer: Layer.parse('*data'), path: Path.parse('/bench') }
  const writer = `bench.${randomBytes(9).toString('base64url')}.`
  const document = (i: number) => {
    const key = Key.parse(`key-${String((i * 389) % keys).padStart(5, '0')}`)
    const n = Math.floor(i / keys) + 1
    const op = n === 1 ? ('create' as const) : ('update' as const)
    const version = { n, at: Date.now(), by: 'bench', op, v: VALUE }
    const write = { kind: 'versioned' as const, address: { ...place, key }, version, renews: false }
    return documentOf(write, writer + i.toString(36))
  }
  let next = 0
  let done = 0
  try {
    if (job === 'get') await db.bulk({ docs: Array.from({ length: keys }, (_, i) => document(i)) })
    const caller = async (end: number) => {
      while (performance.now() < end) {
        if (job === 'put') {
          const made = document(next++)
          await db.insert(made, made._id)
          done++
        } else if (job === 'get') {
          await db.get(document(next++ % keys)._id)
          done++
        } else {
          const docs = Array.from({ length: 100 }, () => document(next++))
          docs.sort((a, b) => (a._id < b._id ? -1 : 1))
          await db.bulk({ docs })
          done += docs.length
        }
      }
    }
    const run = async (seconds: number) => {
      const end = performance.now() + seconds * 1000
      await Promise.all(Array.from({ length: job === 'bulk' ? 1 : Number(callers) }, () => caller(end)))
    }
    // As for the other side, whose rounds begin like this, too (load.ts).
    await run(Number(seconds) / 2)
    done = 0
    const start = performance.now()
    await run(Number(seconds))
    process.stdout.write(String((done * 1000) / (performance.now() - start)))
  } finally {
    await server.db.destroy(name)
  }
}

void main()

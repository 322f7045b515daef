import { randomBytes } from 'node:crypto'
import nano from 'nano'
import { VALUE } from '../tenant'

/**
 * What others do with the same CouchDB: `put` and `get` through nano, each its own request, `callers` at once; `bulk`
 * the versions in `_bulk_docs` of 100, one request in flight. Prints how many per second.
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
  // The ids that an append-only store writes: key and number, scattered over the keys.
  const id = (i: number) =>
    `key-${String((i * 389) % keys).padStart(5, '0')}|${String(Math.floor(i / keys)).padStart(12, '0')}`
  const document = (i: number) => ({ _id: id(i), at: Date.now(), by: 'bench', op: 'create', v: VALUE })
  let next = 0
  let done = 0
  try {
    if (job === 'get') await db.bulk({ docs: Array.from({ length: keys }, (_, i) => document(i)) })
    const end = performance.now() + Number(seconds) * 1000
    const start = performance.now()
    const caller = async () => {
      while (performance.now() < end) {
        if (job === 'put') {
          const made = document(next++)
          await db.insert(made, made._id)
          done++
        } else if (job === 'get') {
          await db.get(id(next++ % keys))
          done++
        } else {
          const docs = Array.from({ length: 100 }, () => document(next++))
          docs.sort((a, b) => (a._id < b._id ? -1 : 1))
          await db.bulk({ docs })
          done += docs.length
        }
      }
    }
    await Promise.all(Array.from({ length: job === 'bulk' ? 1 : Number(callers) }, caller))
    process.stdout.write(String((done * 1000) / (performance.now() - start)))
  } finally {
    await server.db.destroy(name)
  }
}

void main()

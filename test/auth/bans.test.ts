import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBans, type Bans } from '../../auth'
import { BucketName, Key, Path, createEngine, type Bucket, type RunningEngine } from '../../core'
import { openEmbeddedStore } from '../../core/store/embedded'
import type { BucketStore, Store } from '../../core/store/store'

const READS: readonly (string | symbol)[] = ['paths', 'keys', 'heads'] satisfies (keyof BucketStore)[]

const name = BucketName.of('elena')
const denied = '203.0.113.9'

let directory: string
let engine: RunningEngine
let bucket: Bucket
let bans: Bans
let reads = 0

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kv4-bans-'))
  const fail = (error: unknown): never => {
    throw error
  }
  engine = createEngine({ store: counted(await openEmbeddedStore({ directory, onFatal: fail })) })
  bans = createBans(engine)
  for (const layer of bans.layers) engine.layers.declare(layer)
  await engine.create(name)
  bucket = engine.bucket(name)
})

afterEach(async () => {
  await engine.close()
  await rm(directory, { recursive: true, force: true })
})

function counted<Target extends Store | BucketStore>(real: Target): Target {
  return new Proxy(real, {
    get(target, member) {
      if (READS.includes(member)) reads++
      const value = Reflect.get(target, member, target) as unknown
      if (typeof value !== 'function') return value
      const method = value.bind(target) as (...args: unknown[]) => unknown
      return member === 'open'
        ? async (...args: unknown[]) => counted((await method(...args)) as BucketStore)
        : method
    },
  })
}

async function deny(path: string): Promise<void> {
  const address = { layer: bans.layer, path: Path.parse(path), key: Key.parse(denied) }
  await bucket.put(address, {}, { by: 'elena' })
}

async function check(path: string): Promise<'admitted' | 'denied'> {
  return bans.check(name, Path.parse(path), denied).then(
    () => 'admitted',
    () => 'denied',
  )
}

// 1,001: one more than an account may have, which two bans at once can reach.
test.each([150, 1_001])('bans at %d paths are read once, until there is another', async (count) => {
  await Promise.all(Array.from({ length: count }, (_, i) => deny(`/rooms/${i}`)))
  expect(await check(`/rooms/${count - 1}`)).toBe('denied')
  reads = 0
  for (let i = 0; i < 5; i++) {
    expect(await check(`/rooms/${i}/below`)).toBe('denied')
    expect(await check(`/rooms/${count}`)).toBe('admitted')
  }
  expect(reads).toBe(0)

  await deny(`/rooms/${count}`)
  expect(await check(`/rooms/${count}`)).toBe('denied')
  expect(reads).toBeGreaterThan(count)
})

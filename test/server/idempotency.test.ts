import { randomUUID } from 'node:crypto'
import { Client, type Versioned } from '../client'
import { FaultProxy } from '../couchdb/fault-proxy'
import { Kv4Error } from '../../core'
import type { BucketStore } from '../../core/store/store'
import { PROTOCOL_SERVER, startNodes } from '../campaign/nodes'
import { startPlatform, type Platform } from '../platform'

let platform: Platform
let elena: Client
beforeAll(async () => {
  platform = await startPlatform()
  const { secret } = await platform.sys.ok(
    platform.sys.put<{ secret: string }>('/_acc/accounts', { k: 'elena', v: { email: 'elena@async.cl' } }),
  )
  elena = platform.as('elena', secret)
})
afterAll(() => platform.close())

const keyed = (key: string = randomUUID()) => ({ 'Idempotency-Key': key })
const rows = (key: string) => elena.ok(elena.get<unknown[]>(`/_data/i?k=${key}&time_series=1`))

test('a request that comes again gets its answer again, and is carried out once', async () => {
  const key = keyed()
  const first = await elena.put('/_data/i', { k: 'put', v: { a: 1 } }, key)
  expect(first.status).toBe(201)
  await elena.ok(elena.put('/_data/i', { k: 'put', v: { a: 2 } }))
  const again = await elena.put('/_data/i', { k: 'put', v: { a: 1 } }, key)
  expect([again.status, again.body, again.headers.get('etag')]).toEqual([
    201,
    first.body,
    first.headers.get('etag'),
  ])
  expect(await rows('put')).toHaveLength(2)

  const deletion = keyed()
  expect(await elena.ok(elena.delete('/_data/i?k=put', deletion))).toBe(1)
  await elena.ok(elena.put('/_data/i', { k: 'put', v: 3 }))
  expect(await elena.ok(elena.delete('/_data/i?k=put', deletion))).toBe(1)
  expect(await elena.ok(elena.get<unknown>('/_data/i?k=put'))).toBe(3)

  const sample = keyed()
  for (let i = 0; i < 3; i++) await elena.ok(elena.post('/_stats/i', { l: 'once', v: 5 }, sample))
  expect(await elena.ok(elena.get('/_stats/i?l=once'))).toMatchObject({ count: 1, sum: 5 })
})

test('a refusal is kept as well; what is no verdict is not', async () => {
  const key = keyed()
  const wrong = { k: 'refused', v: { _ver_: 'v9', a: 1 } }
  await elena.ok(elena.put('/_data/i', { k: 'refused', v: { a: 0 } }))
  expect(await elena.error(elena.put('/_data/i', wrong, key))).toBe('409 version_conflict')
  await elena.ok(elena.delete('/_data/i?k=refused'))
  // By now it would be carried out.
  expect(await elena.error(elena.put('/_data/i', wrong, key))).toBe('409 version_conflict')
  const malformed = keyed()
  expect(await elena.error(elena.put('/_data/i', 'no json', malformed))).toBe('400 bad_json')
  await elena.ok(elena.put('/_data/i', { k: 'refused', v: 1 }, malformed))
})

test('a key is of one request, of one login', async () => {
  const key = keyed('mine')
  await elena.ok(elena.put('/_data/i', { k: 'reuse', v: 1 }, key))
  const reused = '422 idempotency_key_reused'
  expect(await elena.error(elena.put('/_data/i', { k: 'reuse', v: 2 }, key))).toBe(reused)
  expect(await elena.error(elena.put('/_data/other', { k: 'reuse', v: 1 }, key))).toBe(reused)
  expect(await elena.error(elena.post('/_data/i', { k: 'reuse', v: 1 }, key))).toBe(reused)
  expect(await elena.error(elena.put('/_data/i?ttl=5', { k: 'reuse', v: 1 }, key))).toBe(reused)
  const conditional = { ...key, 'If-Match': '"v1"' }
  expect(await elena.error(elena.put('/_data/i', { k: 'reuse', v: 1 }, conditional))).toBe(reused)
  expect(await rows('reuse')).toHaveLength(1)

  const { secret } = await elena.ok(
    elena.put<{ secret: string }>('/_acc/accounts', { k: 'lily', v: { email: 'lily@async.cl' } }),
  )
  for (const login of [platform.as('elena#lily', secret), platform.as('elena#lily', '!' + elena.password)])
    await login.ok(login.put('/_data/i', { k: login.password, v: 2 }, key))
  for (const bad of ['', 'x'.repeat(256), 'two words'])
    expect(await elena.error(elena.put('/_data/i', { k: 'bad', v: 1 }, keyed(bad)))).toBe('400 bad_request')
  // A read is nothing to repeat.
  expect(await elena.ok(elena.get<unknown>('/_data/i?k=reuse', key))).toBe(1)
})

test('of requests that come at once one is carried out, and all get its answer', async () => {
  const key = keyed()
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => elena.put<Versioned>('/_data/i', { k: 'at-once', v: { n: 1 } }, key)),
  )
  for (const { status, body } of answers) expect([status, body]).toEqual([201, answers[0]!.body])
  expect(await rows('at-once')).toHaveLength(1)
})

test('a secret that is shown once is shown to him who asks again, and is not in the store as it is', async () => {
  const key = keyed('a key that nobody guesses'.replaceAll(' ', '-'))
  const ask = () =>
    elena.ok(elena.put<{ secret: string }>('/_acc/accounts', { k: 'rose', v: { email: 'r@async.cl' } }, key))
  const { secret } = await ask()
  expect((await ask()).secret).toBe(secret)
  expect((await platform.as('elena#rose', secret).get('/_ns')).status).toBe(200)
  const bucket = platform.engine.bucket('$elena' as never)
  const { items } = await bucket.entries({ layer: '^requests', path: '/' } as never)
  for (const { version } of items) expect(version.exp).toBeCloseTo(Date.now() + 24 * 3600 * 1000, -5)
  const stored = JSON.stringify(items)
  expect(stored).toContain('"answer"')
  for (const hidden of [secret, 'a-key-that-nobody-guesses', 'r@async.cl'])
    expect(stored).not.toContain(hidden)
  // And nobody lists it.
  expect(await elena.ok(elena.get<unknown>('/_ds'))).not.toContain('^requests')
})

test('an answer that is too long to be kept is made again of what was written', async () => {
  const key = keyed()
  const body = { k: 'long', v: { text: 'x'.repeat(50_000) } }
  const first = await elena.put('/_data/i', body, key)
  await elena.ok(elena.put('/_data/i', { k: 'long', v: 'later' }))
  const again = await elena.put('/_data/i', body, key)
  expect(again.body).toEqual(first.body)
  expect(await rows('long')).toHaveLength(2)
})

test('a request whose answer was lost on its way is carried out once', async () => {
  const proxy = await FaultProxy.start(platform.url)
  let cuts = 0
  proxy.fault = () => (cuts++ % 3 < 2 ? (cuts % 2 === 0 ? 'cut before' : 'cut after') : undefined)
  const far = new Client(proxy.url.replace(/\/$/, ''), elena.user, elena.password)
  try {
    for (let i = 0; i < 60; i++) {
      const key = keyed()
      for (let done = false; !done;)
        done = await far.post('/_data/i', { k: 'cut', v: i }, key).then(
          ({ body }) => body.s === 'ok',
          () => false,
        )
    }
  } finally {
    await proxy.close()
  }
  const found = (await rows('cut')).map((row) => (row as unknown[])[2])
  expect(found).toEqual(Array.from({ length: 60 }, (_, i) => 59 - i))
})

/** Does it to the first commit of a bucket that carries this value. */
function once(
  value: string,
  spoil: (commit: () => ReturnType<BucketStore['commit']>) => ReturnType<BucketStore['commit']>,
) {
  let done = false
  return (bucket: BucketStore): BucketStore => {
    const commit = bucket.commit.bind(bucket)
    bucket.commit = async (writes) => {
      const meant = writes.some((write) => write.kind === 'versioned' && write.version.v === value)
      if (done || !meant) return commit(writes)
      done = true
      return spoil(() => commit(writes))
    }
    return bucket
  }
}

test('a write that the store did not confirm is found by the next attempt', async () => {
  const nodes = await startNodes({
    seed: 1,
    spoil: once('unconfirmed', async (commit) => {
      await commit()
      throw new Kv4Error('store_unavailable', { retryAfter: 1 })
    }),
  })
  try {
    const [client] = nodes.clients
    const key = keyed()
    const ask = () => client!.put<unknown>('/_data/i', { k: 'k', v: 'unconfirmed' }, key)
    expect(await client!.error(ask())).toBe('503 store_unavailable')
    await client!.ok(client!.put('/_data/i', { k: 'k', v: 'meanwhile' }))
    const { status, headers } = await ask()
    expect([status, headers.get('etag')]).toEqual([201, '"v1"'])
    expect(await client!.ok(client!.get<unknown[]>('/_data/i?k=k&time_series=1'))).toHaveLength(2)
  } finally {
    await nodes.close()
  }
})

test('a request that is under way on another node is told to come again', async () => {
  let go = () => {}
  const gate = new Promise<void>((resolve) => (go = resolve))
  let arrived = () => {}
  const held = new Promise<void>((resolve) => (arrived = resolve))
  const hold = once('slow', async (commit) => {
    arrived()
    await gate
    return commit()
  })
  const nodes = await startNodes({
    couch: { nodes: 2, url: PROTOCOL_SERVER },
    seed: 1,
    spoil: (bucket, node) => (node === 0 ? hold(bucket) : bucket),
  })
  try {
    const [a, b] = nodes.clients
    const key = keyed()
    const ask = (client: Client) => client.put('/_data/i', { k: 'k', v: 'slow' }, key)
    const first = ask(a!)
    await held
    const early = await ask(b!)
    expect([early.status, early.body.v, early.headers.get('retry-after')]).toEqual([
      409,
      'idempotency_in_progress',
      '1',
    ])
    go()
    const { status, body } = await first
    expect(status).toBe(201)
    expect((await ask(b!)).body).toEqual(body)
    expect(await b!.ok(b!.get<unknown[]>('/_data/i?k=k&time_series=1&consistent=1'))).toHaveLength(1)
  } finally {
    go()
    await nodes.close()
  }
}, 60_000)

import { BucketName, Kv4Error } from '../../../../core'
import { IndexPace } from '../../../../core/store/couch/index-pace'
import { openCouchStore } from '../../../../core/store/couch/open-couch-store'
import { FaultProxy } from '../../../couchdb/fault-proxy'
import { TARGETS, randomBucket } from '../../../couchdb/targets'
import { STATS, T0, address, append, sample, store as storeAll } from '../contract/writes'

/** A view that is asked, and answers when it is told to. */
class View {
  readonly bucket = BucketName.of('bench')
  asked = 0
  readonly #waiting: { readonly resolve: (rows: []) => void; readonly reject: (error: unknown) => void }[] =
    []

  queryView(): Promise<[]> {
    this.asked++
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  answer(): void {
    this.#waiting.shift()!.resolve([])
  }

  fail(error: unknown): void {
    this.#waiting.shift()!.reject(error)
  }
}

const warned: object[] = []
const log = { info: () => undefined, warn: (fields: object) => void warned.push(fields) }

/** Whether it resolves within a turn. */
async function isReady(promise: Promise<void>): Promise<boolean> {
  let done = false
  void promise.then(() => (done = true))
  await new Promise((resolve) => setImmediate(resolve))
  return done
}

describe('the pace of writing', () => {
  let view: View
  let pace: IndexPace
  beforeEach(() => {
    view = new View()
    pace = new IndexPace(view, log, { catchUpAt: 10, holdAt: 30 })
    warned.length = 0
  })

  test('is its own while the views are near, which are asked once at a time', async () => {
    pace.wrote(9)
    expect(view.asked).toBe(0)
    pace.wrote(1)
    pace.wrote(19)
    expect(view.asked).toBe(1)
    expect(await isReady(pace.ready())).toBe(true)
    view.answer()
    await isReady(pace.ready())
    // 19 came after it was asked.
    pace.wrote(0)
    expect(view.asked).toBe(2)
  })

  test('lets the views catch up in a lull', async () => {
    pace = new IndexPace(view, log, { lullAt: 5, catchUpAt: 1_000, holdAt: 2_000 })
    pace.wrote(4)
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(view.asked).toBe(0)
    pace.wrote(1)
    expect(view.asked).toBe(0)
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(view.asked).toBe(1)
    view.answer()
    pace.wrote(5)
    pace.stop()
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(view.asked).toBe(1)
  })

  test('is that of the views where they are far behind', async () => {
    pace.wrote(30)
    const held = pace.ready()
    expect(await isReady(held)).toBe(false)
    view.answer()
    expect(await isReady(held)).toBe(true)
    expect(await isReady(pace.ready())).toBe(true)
    expect(view.asked).toBe(1)
  })

  test('is slow where the views do not get on, and never none', async () => {
    pace.wrote(30)
    const held = pace.ready()
    view.fail(new Kv4Error('store_unavailable'))
    expect(await isReady(held)).toBe(true)
    expect(warned).toHaveLength(1)
    const next = pace.ready()
    expect(await isReady(next)).toBe(false)
    expect(view.asked).toBe(2)
    view.answer()
    expect(await isReady(next)).toBe(true)
  })

  test('has nothing to wait for in a bucket that is gone', async () => {
    pace.wrote(30)
    const held = pace.ready()
    view.fail(new Kv4Error('bucket_not_found'))
    expect(await isReady(held)).toBe(true)
    expect(await isReady(pace.ready())).toBe(true)
    expect([view.asked, warned]).toEqual([1, []])
  })
})

describe.each(TARGETS)('a large import, on %s', (_name, start) => {
  test('has the views asked in between, so that what is listed then is there', async () => {
    const target = await start()
    const proxy = await FaultProxy.start(target.url)
    const store = await openCouchStore({ url: proxy.url, node: 'a' })
    const name = randomBucket()
    await store.create(name)
    try {
      const bucket = await store.open(name)
      const at = address('/import', 'k', STATS)
      for (let i = 0; i < 5_500; i += 500)
        await storeAll(
          bucket,
          Array.from({ length: 500 }, (_, j) => append(at, sample(T0 + (i + j) * 1_000, 1))),
        )
      const asked = () => proxy.passed.some(({ path }) => path.endsWith('/_view/keys/queries'))
      for (let i = 0; i < 100 && !asked(); i++) await new Promise((resolve) => setTimeout(resolve, 50))
      expect(asked()).toBe(true)
      expect(await bucket.aggregate({ layer: STATS, path: at.path })).toMatchObject([{ count: 5_500 }])
    } finally {
      await store.drop(name)
      await store.close()
      await proxy.close()
      await target.stop()
    }
  }, 120_000)
})

import type { Address } from '../../../../core'
import { addressId } from '../../../../core'
import type { BucketStore, Change, ChangeOptions } from '../../../../core/store/store'
import type { StoreBench } from './bench'
import { HOSTILE_KEYS } from './hostile'
import {
  STATS,
  SUBS,
  T0,
  address,
  append,
  deletion,
  put,
  replace,
  sample,
  store,
  version,
  writeVersions,
} from './writes'

async function read(
  bucket: BucketStore,
  since: string,
  options: Partial<ChangeOptions> = {},
): Promise<{ changes: Change[]; cursor: string; batches: number }> {
  const changes: Change[] = []
  let cursor = since
  let batches = 0
  for await (const batch of bucket.changes(since, { live: false, ...options })) {
    changes.push(...batch.changes)
    cursor = batch.cursor
    batches++
  }
  return { changes, cursor, batches }
}

/** Follows a live feed until `enough` says so, then aborts it. */
async function follow(
  bucket: BucketStore,
  since: string,
  enough: (changes: readonly Change[]) => boolean,
): Promise<Change[]> {
  const stop = new AbortController()
  const changes: Change[] = []
  for await (const batch of bucket.changes(since, { live: true, signal: stop.signal })) {
    changes.push(...batch.changes)
    if (enough(changes)) stop.abort()
  }
  return changes
}

/** The first telling of each version, per address; fails when an address is told out of order. */
function numbersByAddress(changes: readonly Change[]): Map<string, number[]> {
  const numbers = new Map<string, number[]>()
  for (const change of changes) {
    if (change.kind === 'series') continue
    const id = addressId(change.address)
    const told = numbers.get(id) ?? []
    if (!told.includes(change.version.n)) told.push(change.version.n)
    numbers.set(id, told)
  }
  return numbers
}

export function feedContract(bench: StoreBench): void {
  describe('the feed', () => {
    bench.proves(
      'tells everything from the beginning, then ends',
      async () => {
        const bucket = await bench.bucket()
        const [v, s, c] = [address('/f', 'v'), address('/f', 's', STATS), address('/f', 'c', SUBS)]
        await store(bucket, [put(v, version(1))])
        await store(bucket, [append(s, sample(T0, 5))])
        await store(bucket, [replace(c, 0, version(1, 'host'))])
        await store(bucket, [put(v, deletion(2))])
        const { changes, cursor } = await read(bucket, '')
        expect(changes).toEqual([
          { kind: 'versioned', address: v, version: version(1) },
          { kind: 'series', address: s, sample: sample(T0, 5) },
          { kind: 'current', address: c, version: version(1, 'host') },
          { kind: 'versioned', address: v, version: deletion(2) },
        ])
        expect((await read(bucket, cursor)).changes).toEqual([])
      },
      'feed',
    )

    bench.proves(
      'of an empty bucket ends',
      async () => {
        const bucket = await bench.bucket()
        expect((await read(bucket, '')).changes).toEqual([])
        expect((await read(bucket, await bucket.cursor())).changes).toEqual([])
      },
      'feed',
    )

    bench.proves(
      'goes on behind any cursor that it gave',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/f', 'k')
        await writeVersions(bucket, at, 4)
        const cursors: string[] = ['']
        const heads: number[] = [0]
        for await (const batch of bucket.changes('', { live: false, limit: 1 })) {
          expect(batch.changes.length).toBeLessThanOrEqual(1)
          cursors.push(batch.cursor)
          heads.push(heads.at(-1)! + batch.changes.length)
        }
        expect(heads.at(-1)).toBe(4)
        cursors.push(await bucket.cursor())
        heads.push(4)
        await store(bucket, [put(at, version(5))])
        for (const [i, cursor] of cursors.entries()) {
          const { changes } = await read(bucket, cursor)
          const numbers = changes.map((change) => change.kind !== 'series' && change.version.n)
          expect(numbers).toEqual([1, 2, 3, 4, 5].slice(heads[i]))
        }
      },
      'feed',
    )

    bench.proves(
      'refuses a cursor that is none',
      async () => {
        const bucket = await bench.bucket()
        for (const bad of ['x y', '{"a":1}', '../..', '-1', '\u0000', '💥'])
          await expect(read(bucket, bad)).rejects.toMatchObject({ code: 'bad_cursor' })
      },
      'feed',
    )

    bench.proves(
      'carries hostile addresses',
      async () => {
        const bucket = await bench.bucket()
        const addresses = HOSTILE_KEYS.map((key) => ({ ...address('/_design/x|y/%2f', 'k'), key }))
        await store(
          bucket,
          addresses.map((at) => put(at, version(1, at.key))),
        )
        const { changes } = await read(bucket, '')
        const byKey = new Map(changes.map((change) => [change.address.key, change]))
        expect(byKey.size).toBe(addresses.length)
        for (const at of addresses)
          expect(byKey.get(at.key)).toEqual({ kind: 'versioned', address: at, version: version(1, at.key) })
      },
      'feed',
    )

    bench.proves(
      'pages through 2,500 changes in bounded batches',
      async () => {
        const bucket = await bench.bucket()
        const writes = Array.from({ length: 2500 }, (_, i) => put(address('/f', `k${i}`), version(1, i)))
        await store(bucket, writes)
        let most = 0
        const told = new Set<string>()
        for await (const { changes } of bucket.changes('', { live: false, limit: 300 })) {
          most = Math.max(most, changes.length)
          for (const change of changes) told.add(change.address.key)
        }
        expect(told.size).toBe(2500)
        expect(most).toBeLessThanOrEqual(300)
      },
      'feed',
    )

    bench.proves(
      'tells the last state of an entry that was rewritten',
      async () => {
        const bucket = await bench.bucket()
        const [c, d] = [address('/f', 'c', SUBS), address('/f', 'd', SUBS)]
        const start = await bucket.cursor()
        for (let n = 1; n <= 20; n++)
          await store(bucket, [replace(c, n - 1, version(n)), replace(d, n - 1, version(n))])
        await store(bucket, [replace(d, 20, deletion(21))])
        for (const since of ['', start]) {
          const numbers = numbersByAddress((await read(bucket, since)).changes)
          expect(numbers.get(addressId(c))?.at(-1)).toBe(20)
          expect(numbers.get(addressId(d))?.at(-1)).toBe(21)
        }
      },
      'deleted current entries in the feed',
    )

    bench.proves(
      'live: tells what is written while it waits',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/f', 'k')
        await store(bucket, [put(at, version(1))])
        const reading = follow(bucket, await bucket.cursor(), (changes) => changes.length >= 3)
        for (let n = 2; n <= 4; n++) {
          await new Promise((resolve) => setTimeout(resolve, 30))
          await store(bucket, [put(at, version(n))])
        }
        expect(await reading).toEqual(
          [2, 3, 4].map((n) => ({ kind: 'versioned', address: at, version: version(n) })),
        )
      },
      'live feed',
    )

    bench.proves(
      'live: begins with what is there',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/f', 'k')
        await writeVersions(bucket, at, 3)
        const reading = follow(bucket, '', (changes) => changes.length >= 4)
        await store(bucket, [put(at, version(4))])
        expect(numbersByAddress(await reading).get(addressId(at))).toEqual([1, 2, 3, 4])
      },
      'live feed',
    )

    bench.proves(
      'live: ends at once and without an error when aborted, also beforehand',
      async () => {
        const bucket = await bench.bucket()
        const stop = new AbortController()
        const reading = read(bucket, '', { live: true, signal: stop.signal })
        await new Promise((resolve) => setTimeout(resolve, 100))
        const began = Date.now()
        stop.abort()
        await reading
        expect(Date.now() - began).toBeLessThan(1000)
        await read(bucket, '', { live: true, signal: stop.signal })
      },
      'live feed',
    )

    bench.proves(
      'live: a reader that leaves the loop leaves nothing behind',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/f', 'k')
        await store(bucket, [put(at, version(1))])
        for await (const batch of bucket.changes('', { live: true })) if (batch.changes.length > 0) break
        await store(bucket, [put(at, version(2))])
        expect((await read(bucket, '')).changes).toHaveLength(2)
      },
      'live feed',
    )

    bench.proves(
      'live: an idle feed says that it is alive within 5 s',
      async () => {
        const bucket = await bench.bucket()
        const stop = new AbortController()
        const began = Date.now()
        let beats = 0
        for await (const batch of bucket.changes(await bucket.cursor(), {
          live: true,
          signal: stop.signal,
        })) {
          expect(batch.changes).toEqual([])
          // An adapter may begin with an empty batch; the second one is a heartbeat for certain.
          if (++beats === 2) stop.abort()
          if (Date.now() - began > 12_000) throw new Error('no heartbeat')
        }
        expect(beats).toBe(2)
        expect(Date.now() - began).toBeLessThan(11_000)
      },
      'heartbeat',
    )

    bench.proves(
      'live: two readers of one bucket both miss nothing under concurrent writes',
      async () => {
        const name = bench.freshName()
        await bench.store.create(name)
        const bucket = await bench.store.open(name)
        const [writers, each] = [6, 20]
        const addresses: Address[] = Array.from({ length: writers }, (_, i) => address('/w', `k${i}`))
        const all = (changes: readonly Change[]) => {
          const numbers = numbersByAddress(changes)
          return addresses.every((at) => (numbers.get(addressId(at))?.length ?? 0) >= each)
        }
        const readers = [
          follow(bucket, '', all),
          follow(await bench.store.open(name), await bucket.cursor(), all),
          follow(bucket, '', all),
        ]
        await Promise.all(addresses.map((at) => writeVersions(bucket, at, each)))
        const expectedNumbers = Array.from({ length: each }, (_, i) => i + 1)
        for (const changes of await Promise.all(readers)) {
          const numbers = numbersByAddress(changes)
          for (const at of addresses) expect(numbers.get(addressId(at))).toEqual(expectedNumbers)
        }
        // and a later reading from the beginning agrees with what was acknowledged
        const numbers = numbersByAddress((await read(bucket, '', { limit: 17 })).changes)
        for (const at of addresses) expect(numbers.get(addressId(at))).toEqual(expectedNumbers)
      },
      'live feed',
    )

    bench.proves(
      'a reader that comes back again and again misses nothing',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/r', 'k')
        const told: number[] = []
        let cursor = ''
        let written = false
        const writing = writeVersions(bucket, at, 60).then(() => (written = true))
        for (;;) {
          const last = written
          const { changes, cursor: next } = await read(bucket, cursor, { limit: 7 })
          for (const change of changes) if (change.kind === 'versioned') told.push(change.version.n)
          cursor = next
          if (last) break
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
        await writing
        expect([...new Set(told)]).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
      },
      'concurrent writes',
    )

    bench.proves(
      'a sample that is repeated is told once',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/f', 's', STATS)
        await store(bucket, [append(at, sample(T0, 1))])
        const { cursor } = await read(bucket, '')
        await store(bucket, [append(at, sample(T0, 1))])
        expect((await read(bucket, cursor)).changes).toEqual([])
      },
      'feed',
    )

    bench.proves(
      'a conflict is not told',
      async () => {
        const bucket = await bench.bucket()
        const at = address('/f', 'k')
        await store(bucket, [put(at, version(1))])
        const { cursor } = await read(bucket, '')
        expect(await bucket.commit([put(at, version(1, 'late'))])).toEqual(['conflict'])
        expect((await read(bucket, cursor)).changes).toEqual([])
      },
      'feed',
    )
  })
}

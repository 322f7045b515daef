import type { LayerKind } from '../../../../core'
import { Key, Layer, Path } from '../../../../core'
import type { BucketStore } from '../../../../core/store/store'
import type { StoreBench } from './bench'
import { HOSTILE_KEYS, HOSTILE_PATHS } from './hostile'
import {
  DATA,
  STATS,
  SUBS,
  T0,
  address,
  append,
  deletion,
  inByteOrder,
  inTreeOrder,
  put,
  replace,
  sample,
  store,
  version,
} from './writes'

const LAYER_OF: Record<LayerKind, Layer> = { versioned: DATA, series: STATS, current: SUBS }

function write(kind: LayerKind, path: Path, key: Key) {
  const at = { layer: LAYER_OF[kind], path, key }
  switch (kind) {
    case 'versioned':
      return put(at, version(1))
    case 'series':
      return append(at, sample(T0, 1))
    case 'current':
      return replace(at, 0, version(1))
  }
}

async function allKeys(bucket: BucketStore, kind: LayerKind, path: Path, limit: number): Promise<Key[]> {
  const keys: Key[] = []
  for (;;) {
    const after = keys.at(-1)
    const page = await bucket.keys({ layer: LAYER_OF[kind], path }, kind, {
      limit,
      ...(after === undefined ? {} : { after }),
    })
    expect(page.length).toBeLessThanOrEqual(limit)
    keys.push(...page.map(({ key }) => key))
    if (page.length === 0) return keys
  }
}

async function allPaths(
  bucket: BucketStore,
  kind: LayerKind,
  under: Path,
  depth: number | undefined,
  limit: number,
): Promise<Path[]> {
  const paths: Path[] = []
  for (;;) {
    const after = paths.at(-1)
    const page = await bucket.paths(LAYER_OF[kind], kind, under, depth, {
      limit,
      ...(after === undefined ? {} : { after }),
    })
    expect(page.length).toBeLessThanOrEqual(limit)
    paths.push(...page)
    if (page.length === 0) return paths
  }
}

export function listingContract(bench: StoreBench): void {
  const kinds = ['versioned', 'series', 'current'] as const

  describe.each(kinds)('listing a %s layer', (kind) => {
    const layer = LAYER_OF[kind]
    const path = Path.parse('/h')

    bench.proves(
      'names hostile keys in byte order',
      async () => {
        const bucket = await bench.bucket()
        await store(
          bucket,
          HOSTILE_KEYS.map((key) => write(kind, path, key)),
        )
        expect(await allKeys(bucket, kind, path, 1000)).toEqual(inByteOrder(HOSTILE_KEYS))
        expect(await allKeys(bucket, kind, path, 7)).toEqual(inByteOrder(HOSTILE_KEYS))
      },
      'hostile names',
    )

    bench.proves(
      'names hostile paths in tree order',
      async () => {
        const bucket = await bench.bucket()
        const key = Key.parse('k')
        await store(
          bucket,
          HOSTILE_PATHS.map((each) => write(kind, each, key)),
        )
        const ordered = inTreeOrder(HOSTILE_PATHS)
        expect(await allPaths(bucket, kind, Path.root, undefined, 1000)).toEqual(ordered)
        expect(await allPaths(bucket, kind, Path.root, undefined, 5)).toEqual(ordered)
        for (const under of HOSTILE_PATHS.slice(1)) {
          const below = ordered.filter((each) => Path.contains(under, each))
          expect(await bucket.paths(layer, kind, under, undefined, { limit: 1000 })).toEqual(below)
          expect(await bucket.paths(layer, kind, under, 0, { limit: 1000 })).toEqual([under])
          expect(await bucket.keys({ layer, path: under }, kind, { limit: 10 })).toEqual([
            { key, live: true },
          ])
        }
      },
      'hostile names',
    )

    bench.proves('bounds paths by depth', async () => {
      const bucket = await bench.bucket()
      const key = Key.parse('k')
      const paths = ['/', '/a', '/a/b', '/a/b/c', '/a/b/c/d', '/a/b2/c', '/a b', '/z/y/x'].map((each) =>
        Path.parse(each),
      )
      await store(
        bucket,
        paths.map((each) => write(kind, each, key)),
      )
      const list = (under: string, depth?: number, limit = 100) =>
        allPaths(bucket, kind, Path.parse(under), depth, limit)
      expect(await list('/', 0)).toEqual(['/'])
      expect(await list('/', 1)).toEqual(['/', '/a', '/a b'])
      expect(await list('/', 2, 2)).toEqual(['/', '/a', '/a/b', '/a b'])
      expect(await list('/', 3)).toEqual(['/', '/a', '/a/b', '/a/b/c', '/a/b2/c', '/a b', '/z/y/x'])
      expect(await list('/', undefined, 3)).toEqual(inTreeOrder(paths))
      expect(await list('/a')).toEqual(['/a', '/a/b', '/a/b/c', '/a/b/c/d', '/a/b2/c'])
      expect(await list('/a', 1)).toEqual(['/a', '/a/b'])
      expect(await list('/a/b', 1, 1)).toEqual(['/a/b', '/a/b/c'])
      // A path without keys of its own is not named, though there are keys below.
      expect(await list('/z')).toEqual(['/z/y/x'])
      expect(await list('/z', 1)).toEqual([])
      expect(await list('/nowhere')).toEqual([])
    })

    bench.proves(
      'pages through 2,500 keys',
      async () => {
        const bucket = await bench.bucket()
        const keys = Array.from({ length: 2500 }, (_, i) => Key.parse(`key ${(i * 7919) % 2500}`))
        await store(
          bucket,
          keys.map((key) => write(kind, path, key)),
        )
        expect(await allKeys(bucket, kind, path, 1000)).toEqual(inByteOrder(keys))
        expect(await bucket.keys({ layer, path }, kind, { limit: 1 })).toHaveLength(1)
        const beyond = await bucket.keys({ layer, path }, kind, { limit: 2, after: Key.parse('key 1000!') })
        expect(beyond.map(({ key }) => key)).toEqual(['key 1001', 'key 1002'])
        expect(await bucket.keys({ layer, path }, kind, { limit: 2, after: Key.parse('l') })).toEqual([])
      },
      'paging',
    )

    bench.proves('a place lists its own keys only', async () => {
      const bucket = await bench.bucket()
      const key = Key.parse('k')
      await store(
        bucket,
        ['/', '/a', '/a/h', '/h/a', '/h!', '/hh'].map((each) => write(kind, Path.parse(each), key)),
      )
      expect(await bucket.keys({ layer, path }, kind, { limit: 10 })).toEqual([])
      expect(
        await bucket.keys({ layer: Layer.parse(layer + 'x'), path: Path.root }, kind, { limit: 10 }),
      ).toEqual([])
      expect(await bucket.keys({ layer, path: Path.root }, kind, { limit: 10 })).toEqual([
        { key, live: true },
      ])
    })
  })

  describe('listing what was deleted', () => {
    bench.proves('a deleted key is told as not live, and its path is not listed', async () => {
      const bucket = await bench.bucket()
      const [a, b] = [address('/d', 'a'), address('/d', 'b')]
      const paths = () => bucket.paths(DATA, 'versioned', Path.root, undefined, { limit: 10 })
      await store(bucket, [put(a, version(1)), put(b, version(1)), put(address('/e', 'c'), version(1))])
      await store(bucket, [put(a, deletion(2))])
      expect(await bucket.keys(a, 'versioned', { limit: 10 })).toEqual([
        { key: 'a', live: false },
        { key: 'b', live: true },
      ])
      expect(await paths()).toEqual(['/d', '/e'])
      await store(bucket, [put(b, deletion(2))])
      expect(await paths()).toEqual(['/e'])
      expect(await bucket.keys(a, 'versioned', { limit: 10 })).toEqual([
        { key: 'a', live: false },
        { key: 'b', live: false },
      ])
      await store(bucket, [put(a, version(3, 'again', { op: 'create' }))])
      expect(await paths()).toEqual(['/d', '/e'])
      expect(await bucket.keys(a, 'versioned', { limit: 1 })).toEqual([{ key: 'a', live: true }])
      await store(bucket, [put(a, deletion(4)), put(address('/e', 'c'), deletion(2))])
      expect(await paths()).toEqual([])
      expect(await bucket.layers()).toEqual([])
    })

    bench.proves('updates change no listing', async () => {
      const bucket = await bench.bucket()
      const at = address('/d', 'a')
      for (let n = 1; n <= 5; n++) await store(bucket, [put(at, version(n))])
      expect(await bucket.keys(at, 'versioned', { limit: 10 })).toEqual([{ key: 'a', live: true }])
      await store(bucket, [put(at, deletion(6))])
      expect(await bucket.layers()).toEqual([])
    })

    bench.proves('pages over dead paths and dead keys', async () => {
      const bucket = await bench.bucket()
      const names = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, '0'))
      await store(
        bucket,
        names.map((name) => put(address('/' + name, 'k'), version(1))),
      )
      const dead = names.filter((_, i) => i % 10 !== 0)
      await store(
        bucket,
        dead.map((name) => put(address('/' + name, 'k'), deletion(2))),
      )
      expect(await allPaths(bucket, 'versioned', Path.root, undefined, 2)).toEqual(
        names.filter((_, i) => i % 10 === 0).map((name) => '/' + name),
      )
    })
  })

  describe('listing layers', () => {
    bench.proves('names every layer with live keys, of each kind, in byte order', async () => {
      const bucket = await bench.bucket()
      const names = [
        'zz',
        'a',
        'a b',
        'é',
        '日本',
        '*data',
        '_local',
        '_design',
        '|',
        '%2f',
        '😀',
        '\uffff',
        'x'.repeat(128),
      ]
      const layers = [...names.map((name) => Layer.parse(name)), Layer.internal('claims')]
      for (const layer of layers) await store(bucket, [put(address('/p', 'k', layer), version(1))])
      await store(bucket, [
        append(address('/p', 'k', STATS), sample(T0, 1)),
        replace(address('/p', 'k', SUBS), 0, version(1)),
      ])
      expect(await bucket.layers()).toEqual(inByteOrder([...layers, STATS, SUBS]))
      await store(bucket, [put(address('/p', 'k', layers[0]), deletion(2))])
      expect(await bucket.layers()).toEqual(inByteOrder([...layers.slice(1), STATS, SUBS]))
    })
  })

  describe('lapsing entries', () => {
    bench.proves('listings tell the exp of the latest version, and its absence after a renewal', async () => {
      const bucket = await bench.bucket()
      const at = address('/x', 'k')
      const row = async () => (await bucket.keys(at, 'versioned', { limit: 1 }))[0]
      await store(bucket, [put(at, version(1, 'v', { exp: T0 + 1000 }))])
      expect(await row()).toEqual({ key: 'k', live: true, exp: T0 + 1000 })
      await store(bucket, [put(at, version(2, 'v', { exp: T0 + 9000 }), true)])
      expect(await row()).toEqual({ key: 'k', live: true, exp: T0 + 9000 })
      await store(bucket, [put(at, version(3), true)])
      expect(await row()).toEqual({ key: 'k', live: true })
      await store(bucket, [put(at, version(4, 'v', { exp: T0 + 99_000 }))])
      expect(await row()).toEqual({ key: 'k', live: true, exp: T0 + 99_000 })
      await store(bucket, [put(at, deletion(5), true)])
      expect(await row()).toEqual({ key: 'k', live: false })
    })

    bench.proves(
      'are told soonest first, between exclusive and inclusive bounds',
      async () => {
        const bucket = await bench.bucket()
        const keys = ['e', 'a', 'd', 'b', 'c']
        await store(
          bucket,
          keys.map((key, i) => put(address('/x', key), version(1, 'v', { exp: T0 + i * 1000 }))),
        )
        await store(bucket, [
          put(address('/x', 'never'), version(1)),
          replace(address('/x', 'k', SUBS), 0, version(7, 'v', { exp: T0 + 2500 })),
        ])
        const found = await bucket.expiring(T0, T0 + 4000, 100)
        expect(found.map(({ address: { key }, exp, kind, n }) => [key, exp - T0, kind, n])).toEqual([
          ['a', 1000, 'versioned', 1],
          ['d', 2000, 'versioned', 1],
          ['k', 2500, 'current', 7],
          ['b', 3000, 'versioned', 1],
          ['c', 4000, 'versioned', 1],
        ])
        expect(await bucket.expiring(T0, T0 + 4000, 2)).toEqual(found.slice(0, 2))
        expect(await bucket.expiring(T0 + 4000, T0 * 2, 10)).toEqual([])
        expect((await bucket.expiring(0, T0, 10)).map(({ address: { key } }) => key)).toEqual(['e'])
      },
      'expiring',
    )

    bench.proves(
      'that were renewed are told with their new exp',
      async () => {
        const bucket = await bench.bucket()
        const [v, c] = [address('/x', 'v'), address('/x', 'c', SUBS)]
        await store(bucket, [
          put(v, version(1, 'v', { exp: T0 + 1000 })),
          replace(c, 0, version(1, 'v', { exp: T0 + 1000 })),
        ])
        await store(bucket, [
          put(v, version(2, 'v', { exp: T0 + 5000 }), true),
          replace(c, 1, version(2, 'v', { exp: T0 + 5000 })),
        ])
        const found = (await bucket.expiring(T0 + 1000, T0 + 5000, 10)).filter(({ n }) => n === 2)
        expect(found.map(({ address: { key }, exp }) => [key, exp])).toHaveLength(2)
        expect(found.every(({ exp }) => exp === T0 + 5000)).toBe(true)
      },
      'expiring',
    )
  })
}

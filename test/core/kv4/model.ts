import fc from 'fast-check'
import type { Bucket, Expectation, Json, Version } from '../../../core'
import { BucketName, Path, isKv4Error } from '../../../core'
import type { EngineFactory } from './contract/bench'
import { DATA, EngineBench, at } from './contract/bench'

/** What the engine should be, in a few lines: every version of every key in an array. */
class Model {
  readonly versions = new Map<string, Version[]>()
  now = 0

  head(id: string): Version | undefined {
    return this.versions.get(id)?.at(-1)
  }

  live(id: string): Version | undefined {
    const head = this.head(id)
    return head !== undefined && head.op !== 'delete' && (head.exp === undefined || head.exp > this.now)
      ? head
      : undefined
  }

  expected(id: string, expect: Expectation | undefined): boolean {
    const live = this.live(id)
    if (expect === undefined) return true
    if (expect === 'absent') return live === undefined
    if (expect === 'present') return live !== undefined
    return live?.n === expect.n
  }

  carrier(path: string, value: string): string | undefined {
    for (const id of this.versions.keys())
      if (id.startsWith(path + ' ') && this.live(id)?.k2 === value) return id
    return undefined
  }

  add(id: string, version: Version): void {
    const versions = this.versions.get(id) ?? []
    versions.push(version)
    this.versions.set(id, versions)
  }

  liveKeys(path: string): string[] {
    return [...this.versions.keys()]
      .filter((id) => id.startsWith(path + ' ') && this.live(id) !== undefined)
      .map((id) => id.slice(path.length + 1))
      .sort()
  }
}

interface Real {
  readonly bucket: Bucket
  readonly bench: EngineBench
}

const PATHS = ['/', '/a', '/a/b', '/a!'] as const
const path = fc.constantFrom(...PATHS)
const key = fc.constantFrom('k', 'é', '_local|x')
const value = fc.oneof(
  fc.integer(),
  fc.string(),
  fc.constant(null),
  fc.record({ x: fc.integer() }),
) as fc.Arbitrary<Json>
const expectation = fc.option(
  fc.oneof(
    fc.constant<Expectation>('absent'),
    fc.constant<Expectation>('present'),
    fc.integer({ min: 1, max: 6 }).map((n): Expectation => ({ n })),
  ),
  { nil: undefined },
)
const k2 = fc.option(fc.constantFrom('one', 'two'), { nil: undefined })

abstract class Command implements fc.AsyncCommand<Model, Real> {
  check(): boolean {
    return true
  }
  abstract run(model: Model, real: Real): Promise<void>
}

async function outcome<Result>(promise: Promise<Result>): Promise<Result | string> {
  try {
    return await promise
  } catch (error) {
    if (isKv4Error(error)) return error.code
    throw error
  }
}

class Put extends Command {
  constructor(
    readonly path: string,
    readonly key: string,
    readonly value: Json,
    readonly expect: Expectation | undefined,
    readonly k2: string | undefined,
    readonly ttl: number | undefined,
  ) {
    super()
  }
  async run(model: Model, { bucket }: Real): Promise<void> {
    const id = `${this.path} ${this.key}`
    const result = await outcome(
      bucket.put(at(this.path, this.key), this.value, {
        by: 'w',
        ...(this.expect !== undefined && { expect: this.expect }),
        ...(this.k2 !== undefined && { keys: { k2: this.k2 } }),
        ...(this.ttl !== undefined && { ttl: this.ttl }),
      }),
    )
    const holder = this.k2 === undefined ? undefined : model.carrier(this.path, this.k2)
    if (!model.expected(id, this.expect)) expect(result).toBe('version_conflict')
    else if (holder !== undefined && holder !== id) expect(result).toBe('key_exists')
    else {
      const written = result as Version
      const head = model.head(id)
      expect(written).toMatchObject({
        n: (head?.n ?? 0) + 1,
        v: this.value,
        by: 'w',
        op: head === undefined || head.op === 'delete' ? 'create' : 'update',
      })
      expect(written.k2).toBe(this.k2 ?? model.live(id)?.k2)
      expect(written.at).toBeGreaterThanOrEqual(head?.at ?? 0)
      model.add(id, written)
    }
  }
  override toString(): string {
    return `put ${this.path} ${this.key} ${JSON.stringify([this.value, this.expect, this.k2, this.ttl])}`
  }
}

class Remove extends Command {
  constructor(
    readonly path: string,
    readonly key: string,
    readonly expect: Expectation | undefined,
  ) {
    super()
  }
  async run(model: Model, { bucket }: Real): Promise<void> {
    const id = `${this.path} ${this.key}`
    const result = await outcome(
      bucket.remove(at(this.path, this.key), {
        by: 'r',
        ...(this.expect !== undefined && { expect: this.expect }),
      }),
    )
    if (!model.expected(id, this.expect)) expect(result).toBe('version_conflict')
    else if (model.live(id) === undefined) expect(result).toBeUndefined()
    else {
      expect(result).toMatchObject({ n: model.head(id)!.n + 1, op: 'delete', v: null })
      model.add(id, result as Version)
    }
  }
  override toString(): string {
    return `remove ${this.path} ${this.key} ${JSON.stringify(this.expect)}`
  }
}

class RemoveUnder extends Command {
  constructor(
    readonly path: string,
    readonly depth: number | undefined,
  ) {
    super()
  }
  async run(model: Model, { bucket }: Real): Promise<void> {
    const root = Path.parse(this.path)
    const hit = PATHS.filter(
      (p) =>
        Path.contains(root, Path.parse(p)) &&
        (this.depth === undefined || Path.depth(Path.parse(p)) - Path.depth(root) <= this.depth),
    )
    const ids = hit.flatMap((p) => model.liveKeys(p).map((k) => `${p} ${k}`))
    expect(
      await bucket.removeUnder(DATA, root, {
        by: 'u',
        ...(this.depth !== undefined && { depth: this.depth }),
      }),
    ).toBe(ids.length)
    for (const id of ids) {
      const space = id.indexOf(' ')
      const [removed] = (await bucket.history(at(id.slice(0, space), id.slice(space + 1)), {}, { limit: 1 }))
        .items
      expect(removed).toMatchObject({ op: 'delete', by: 'u', n: model.head(id)!.n + 1 })
      model.add(id, removed!)
    }
  }
  override toString(): string {
    return `removeUnder ${this.path} ${this.depth}`
  }
}

class Read extends Command {
  constructor(
    readonly path: string,
    readonly key: string,
    readonly consistent: boolean,
  ) {
    super()
  }
  async run(model: Model, { bucket }: Real): Promise<void> {
    const id = `${this.path} ${this.key}`
    const options = { consistent: this.consistent }
    expect(await bucket.get(at(this.path, this.key), options)).toEqual(model.live(id))
    expect((await bucket.history(at(this.path, this.key), {}, options)).items).toEqual(
      [...(model.versions.get(id) ?? [])].reverse(),
    )
    expect((await bucket.keys({ layer: DATA, path: Path.parse(this.path) }, options)).items).toEqual(
      model.liveKeys(this.path),
    )
    for (const slot of ['one', 'two']) {
      const found = await bucket.find({ layer: DATA, path: Path.parse(this.path) }, 'k2', slot, options)
      const carrier = model.carrier(this.path, slot)
      expect(found && `${this.path} ${found.key}`).toBe(carrier)
    }
    const versions = model.versions.get(id) ?? []
    for (const version of versions.slice(-3)) {
      const asOf = versions.filter((candidate) => candidate.at <= version.at).at(-1)!
      expect(await bucket.get(at(this.path, this.key), { at: version.at })).toEqual(
        asOf.op === 'delete' ? undefined : asOf,
      )
    }
  }
  override toString(): string {
    return `read ${this.path} ${this.key} ${this.consistent}`
  }
}

class Forward extends Command {
  constructor(readonly ms: number) {
    super()
  }
  async run(model: Model, { bench, bucket }: Real): Promise<void> {
    bench.clock.forward(this.ms)
    model.now = bench.clock.now()
    await bench.engine.sweep()
    for (const [id, versions] of model.versions) {
      const head = versions.at(-1)!
      if (head.op === 'delete' || head.exp === undefined || head.exp > model.now) continue
      const space = id.indexOf(' ')
      const [lapse] = (await bucket.history(at(id.slice(0, space), id.slice(space + 1)), {}, { limit: 1 }))
        .items
      expect(lapse).toMatchObject({ n: head.n + 1, op: 'delete', by: '$sys' })
      versions.push(lapse!)
    }
    const live = PATHS.filter((p) => model.liveKeys(p).length > 0)
    expect(new Set((await bucket.paths(DATA, Path.root, undefined)).items)).toEqual(new Set(live))
  }
  override toString(): string {
    return `forward ${this.ms}`
  }
}

const commands = (size: number) =>
  fc.commands(
    [
      fc
        .tuple(
          path,
          key,
          value,
          expectation,
          k2,
          fc.option(fc.constantFrom(50_000, 200_000), { nil: undefined }),
        )
        .map((args) => new Put(...args)),
      fc
        .tuple(path, key, value, fc.constant(undefined), fc.constant(undefined), fc.constant(undefined))
        .map((args) => new Put(...args)),
      fc.tuple(path, key, expectation).map((args) => new Remove(...args)),
      fc
        .tuple(path, fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }))
        .map((args) => new RemoveUnder(...args)),
      fc.tuple(path, key, fc.boolean()).map((args) => new Read(...args)),
      fc.constantFrom(0, 60_000, 150_000).map((ms) => new Forward(ms)),
    ],
    { maxCommands: size },
  )

/** Random commands, the same to the engine and to the model; every answer must be the same. */
export function modelSuite(
  name: string,
  factory: EngineFactory,
  size: { readonly runs: number; readonly commands: number; readonly seed?: number },
): void {
  describe(`engine against its model: ${name}`, () => {
    const bench = new EngineBench(factory)
    let buckets = 0
    beforeAll(() => bench.start(), 60_000)
    afterAll(() => bench.stop(), 60_000)

    test(
      `${size.runs} random sequences`,
      async () => {
        await fc.assert(
          fc.asyncProperty(commands(size.commands), async (sequence) => {
            const bucketName = BucketName.of(`model${process.pid}`, `b${++buckets}`)
            await bench.engine.create(bucketName)
            try {
              await fc.asyncModelRun(() => {
                const model = new Model()
                model.now = bench.clock.now()
                return { model, real: { bucket: bench.engine.bucket(bucketName), bench } }
              }, sequence)
            } finally {
              await bench.engine.drop(bucketName)
            }
          }),
          {
            numRuns: size.runs,
            endOnFailure: process.env.CI === 'true',
            ...(size.seed !== undefined && { seed: size.seed }),
          },
        )
      },
      30 * 60_000,
    )
  })
}

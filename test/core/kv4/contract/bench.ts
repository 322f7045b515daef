import type { Address, Bucket, RunningEngine } from '../../../../core'
import { BucketName, Key, Layer, Path, createEngine } from '../../../../core'
import type { Store } from '../../../../core/store/store'
import type { StoreFactory } from '../../store/contract/bench'

export interface EngineFactory extends StoreFactory {
  /** Another process's view of the same data; absent where one process owns the store. */
  another?(): Promise<Store>
}

export const DATA = Layer.parse('*data')
export const CURRENT = Layer.parse('*lease')
export const SERIES = Layer.parse('*stats:pkt')
export const KEEP3 = Layer.parse('*keep3')
export const KEEP_DAY = Layer.parse('*keepday')

export function at(path: string, key: string, layer = DATA): Address {
  return { layer, path: Path.parse(path), key: Key.parse(key) }
}

/** A clock that tests can move. It never stands in the past of the real one, so that stores' own times agree. */
export class TestClock {
  #offset = 0
  readonly now = (): number => Date.now() + this.#offset

  forward(ms: number): void {
    this.#offset += ms
  }
}

export class EngineBench {
  readonly clock = new TestClock()
  #engine: RunningEngine | undefined
  #other: RunningEngine | undefined
  #buckets = 0
  readonly backgroundErrors: unknown[] = []

  constructor(readonly factory: EngineFactory) {}

  async start(): Promise<void> {
    this.#engine = this.make(await this.factory.make())
    if (this.factory.another) this.#other = this.make(await this.factory.another())
  }

  make(store: Store): RunningEngine {
    const engine = createEngine({
      store,
      clock: this.clock.now,
      sweepMs: 0,
      onBackgroundError: (error) => this.backgroundErrors.push(error),
    })
    engine.layers.declare({ name: '*data', kind: 'versioned' })
    engine.layers.declare({ name: '*lease', kind: 'current' })
    engine.layers.declare({ name: '*stats:', kind: 'series' })
    engine.layers.declare({ name: '*keep3', kind: 'versioned', retention: { versions: 3 } })
    engine.layers.declare({ name: '*keepday', kind: 'versioned', retention: { days: 1 } })
    return engine
  }

  async stop(): Promise<void> {
    await this.#other?.close()
    await this.#engine?.close()
    await this.factory.dispose()
  }

  get engine(): RunningEngine {
    if (this.#engine === undefined) throw new Error('not started')
    return this.#engine
  }

  /** The same bucket seen by another process. */
  other(bucket: Bucket): Bucket {
    if (this.#other === undefined) throw new Error('this store has one process')
    return this.#other.bucket(bucket.name)
  }

  get hasOther(): boolean {
    return this.factory.another !== undefined
  }

  async bucket(): Promise<Bucket> {
    const name = BucketName.of(`engine${process.pid}`, `b${++this.#buckets}`)
    await this.engine.create(name)
    return this.engine.bucket(name)
  }

  test(title: string, run: () => Promise<void>): void {
    test(title, run, this.factory.timeout ?? 30_000)
  }
}

export async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'no error'
}

import { BucketName, Key, Path, isKv4Error, addressIn } from '../../core'
import type { Address, Bucket, Engine, Layer, Version, WatchEvent } from '../../core'
import { HOOK_LAYERS } from '../hook'
import { HOOKED_BUCKETS, hookedAddress, hookedBucket } from '../hooked-buckets'
import type { HookedBucket } from '../hooked-buckets'
import { BucketRunner } from './bucket-runner'
import type { Delivery } from './hook-runner'

const { account: BY } = BucketName.owner(BucketName.system)
const NODES = { layer: HOOK_LAYERS.nodes, path: Path.root } as const
const PAGE = 1_000
const AT_ONCE = 16
const RETRY_MS = 1_000
/** Of the lease: how often it is renewed, and after how long without that a node stops by itself. */
const BEAT = 1 / 4
const SUSPEND = 3 / 4
/** Whoever registers a hook notes the bucket first. */
const YOUNG_MS = 60_000
/** A bucket that could not be delivered is left alone for so long. */
const AGAIN_MS = 5_000

export interface DutyOptions extends Delivery {
  readonly engine: Engine
  readonly node: string
  readonly leaseMs: number
}

interface Known extends HookedBucket {
  readonly n: number
  readonly at: number
}

/**
 * Sees to it that every bucket with hooks has one node that delivers. Each node says that it lives, by one entry in `$sys`
 * that lapses; the entry of a bucket in `$sys` names the node that delivers it, and the life of that node. A bucket
 * whose node lives no more, or has come back as another, is taken by whoever is first, by compare-and-set. A node that
 * cannot say that it lives stops delivering before the others may begin.
 */
export class Duty {
  readonly #system: Bucket
  readonly #abort = new AbortController()
  readonly #buckets = new Map<BucketName, Known>()
  readonly #nodes = new Map<string, { readonly epoch: string; readonly until: number }>()
  readonly #runners = new Map<BucketName, Promise<BucketRunner | undefined>>()
  readonly #notBefore = new Map<BucketName, number>()
  readonly #following: Promise<void>[] = []
  readonly #address: Address
  #timer: NodeJS.Timeout | undefined
  #beating: Promise<void> | undefined
  #checking: Promise<void> | undefined
  #isCheckWanted = false
  /** By the monotonic clock: when the last beat that was written began. */
  #beatAt = -Infinity

  constructor(private readonly options: DutyOptions) {
    this.#system = options.engine.bucket(BucketName.system)
    this.#address = addressIn(NODES, Key.parse(options.node))
  }

  async start(): Promise<void> {
    await this.#write()
    const since = await this.#system.cursor()
    for (const layer of [HOOK_LAYERS.nodes, HOOK_LAYERS.buckets]) {
      for await (const [key, version] of this.#all(layer)) this.#heard(layer, key, version)
      this.#following.push(this.#follow(layer, since))
    }
    this.#check()
    this.#timer = setInterval(() => this.#tick(), Math.max(50, this.options.leaseMs * BEAT)).unref()
  }

  /** Lets another node go on at once. */
  async stop(): Promise<void> {
    this.#abort.abort()
    clearInterval(this.#timer)
    await this.#beating
    while (this.#checking !== undefined) await this.#checking
    await this.#endAll()
    await Promise.all(this.#following)
    try {
      const version = await this.#system.get(this.#address, { consistent: true })
      if (version !== undefined && this.#epochOf(version) === this.options.epoch)
        await this.#system.remove(this.#address, { by: BY, expect: { n: version.n } })
    } catch (error) {
      // It lapses by itself.
      if (!isKv4Error(error, 'version_conflict')) this.options.onBackgroundError(error)
    }
  }

  /** Whether others believe that this node lives. */
  get #isLive(): boolean {
    return performance.now() - this.#beatAt < this.options.leaseMs * SUSPEND
  }

  #tick(): void {
    this.#beating ??= this.#write()
      .catch((error: unknown) => this.options.onBackgroundError(error))
      .finally(() => (this.#beating = undefined))
    this.#check()
  }

  async #write(): Promise<void> {
    const { epoch, leaseMs } = this.options
    const began = performance.now()
    const version = await this.#system.put(this.#address, { epoch }, { by: BY, ttl: leaseMs })
    this.#beatAt = began
    this.#heard(HOOK_LAYERS.nodes, this.#address.key, version)
  }

  #epochOf({ v }: Version): string {
    return (v as { readonly epoch: string }).epoch
  }

  async *#all(layer: Layer): AsyncGenerator<readonly [Key, Version]> {
    let after: Key | undefined
    do {
      const page = await this.#system.entries(
        { layer, path: Path.root },
        { consistent: true, limit: PAGE, ...(after !== undefined && { after }) },
      )
      for (const { key, version } of page.items) yield [key, version]
      after = page.next
    } while (after !== undefined)
  }

  async #follow(layer: Layer, from: string): Promise<void> {
    const { signal } = this.#abort
    let since = from
    while (!signal.aborted) {
      try {
        for await (const event of this.#system.watch({ layer }, { since, signal })) {
          since = event.cursor
          this.#told(layer, event)
        }
      } catch (error) {
        if (signal.aborted) return
        this.options.onBackgroundError(error)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
      }
    }
  }

  #told(layer: Layer, event: WatchEvent): void {
    if (event.kind === 'series') return
    const { key } = event.address
    // A node's beats change nothing as long as it lives on.
    const before = layer === HOOK_LAYERS.nodes ? this.#nodes.get(key)?.epoch : undefined
    this.#heard(layer, key, event.version)
    if (layer === HOOK_LAYERS.buckets || this.#nodes.get(key)?.epoch !== before) this.#check()
  }

  #heard(layer: Layer, key: Key, version: Version): void {
    const isThere = version.op !== 'delete'
    if (layer === HOOK_LAYERS.nodes) {
      if (isThere) this.#nodes.set(key, { epoch: this.#epochOf(version), until: version.exp ?? Infinity })
      else this.#nodes.delete(key)
      return
    }
    const name = key as string as BucketName
    const known = this.#buckets.get(name)?.n ?? 0
    if (known > version.n) return
    // Somebody has registered a hook: what was in the way before may be gone.
    if (known < version.n) this.#notBefore.delete(name)
    if (isThere) this.#buckets.set(name, { ...hookedBucket(version), n: version.n, at: version.at })
    else this.#buckets.delete(name)
  }

  #isAlive({ node, epoch }: HookedBucket): boolean {
    const known = this.#nodes.get(node)
    return known !== undefined && known.epoch === epoch && known.until > Date.now()
  }

  #isOurs({ node, epoch }: HookedBucket): boolean {
    return node === this.options.node && epoch === this.options.epoch
  }

  #check(): void {
    this.#isCheckWanted = true
    this.#checking ??= this.#checkAll()
      .catch((error: unknown) => this.options.onBackgroundError(error))
      .finally(() => {
        this.#checking = undefined
      })
  }

  async #checkAll(): Promise<void> {
    while (this.#isCheckWanted && !this.#abort.signal.aborted) {
      this.#isCheckWanted = false
      if (!this.#isLive) {
        await this.#endAll()
        return
      }
      for (const name of [...this.#runners.keys()]) {
        const known = this.#buckets.get(name)
        if (known === undefined || !this.#isOurs(known)) await this.#end(name)
      }
      const due = [...this.#buckets].filter(([name, known]) => this.#isDue(name, known))
      for (let i = 0; i < due.length && !this.#abort.signal.aborted; i += AT_ONCE)
        await Promise.all(due.slice(i, i + AT_ONCE).map(([name, known]) => this.#take(name, known)))
      await this.#tidy()
    }
  }

  #isDue(name: BucketName, known: Known): boolean {
    if (this.#runners.has(name) || (this.#notBefore.get(name) ?? 0) > Date.now()) return false
    return this.#isOurs(known) || !this.#isAlive(known)
  }

  async #take(name: BucketName, known: Known): Promise<void> {
    try {
      if (this.#isOurs(known)) {
        // What the feed has not told yet: that another node was faster.
        const version = await this.#system.get(hookedAddress(name), { consistent: true })
        if (version === undefined) return
        this.#heard(HOOK_LAYERS.buckets, Key.parse(name), version)
        if (!this.#isOurs(hookedBucket(version))) return
      } else {
        const { node, epoch } = this.options
        const version = await this.#system.put(
          hookedAddress(name),
          { node, epoch },
          { by: BY, expect: { n: known.n } },
        )
        this.#heard(HOOK_LAYERS.buckets, Key.parse(name), version)
      }
      this.#notBefore.delete(name)
      await this.#begin(name)
    } catch (error) {
      // Another node was faster, or one has registered a hook: the feed tells.
      if (isKv4Error(error, 'version_conflict')) return
      this.#notBefore.set(name, Date.now() + AGAIN_MS)
      if (isKv4Error(error, 'bucket_not_found')) await this.#forget(name)
      else this.options.onBackgroundError(error)
    }
  }

  async #begin(name: BucketName): Promise<void> {
    const runner = new BucketRunner(this.options, this.options.engine.bucket(name), () => {
      // Not from within: it waits for what it was doing.
      void this.#end(name).then(() => this.#check())
    })
    const started = runner.start().then(() => runner)
    this.#runners.set(
      name,
      started.catch(async () => {
        await runner.stop()
        return undefined
      }),
    )
    try {
      await started
    } catch (error) {
      await this.#end(name)
      throw error
    }
  }

  async #end(name: BucketName): Promise<void> {
    const runner = this.#runners.get(name)
    this.#runners.delete(name)
    await (await runner)?.stop()
  }

  async #endAll(): Promise<void> {
    await Promise.all([...this.#runners.keys()].map((name) => this.#end(name)))
  }

  /** Buckets that have no hooks any more are not looked at again, until they get one. */
  async #tidy(): Promise<void> {
    for (const [name, running] of [...this.#runners]) {
      const known = this.#buckets.get(name)
      if (known === undefined || known.at > Date.now() - YOUNG_MS) continue
      const runner = await running
      if (runner === undefined || runner.size > 0) continue
      if (await this.#forget(name)) await this.#end(name)
    }
  }

  /** false: it was noted a moment ago. */
  async #forget(name: BucketName): Promise<boolean> {
    const known = this.#buckets.get(name)
    if (known === undefined) return true
    if (known.at > Date.now() - YOUNG_MS) return false
    try {
      await this.#system.remove(
        { ...HOOKED_BUCKETS, key: Key.parse(name) },
        { by: BY, expect: { n: known.n } },
      )
    } catch (error) {
      if (!isKv4Error(error, 'version_conflict')) throw error
      return false
    }
    return true
  }
}

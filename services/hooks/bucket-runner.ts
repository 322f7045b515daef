import { BucketName, Path, addressId, isKv4Error } from '../../core'
import type { Bucket, Layer, WatchEvent } from '../../core'
import { HOOK_LAYERS, statePath } from '../hook'
import type { Hook, HookAddress, StoredHook } from '../hook'
import { hookAddress, hookPlace } from '../hook-book'
import { HookRunner } from './hook-runner'
import type { Delivery } from './hook-runner'
import { progressAddress } from './progress'

const { account: BY } = BucketName.owner(BucketName.system)
const STATES = [HOOK_LAYERS.aside, HOOK_LAYERS.dead, HOOK_LAYERS.jobs]
const RETRY_MS = 1_000
const PAGE = 1_000

/** Delivers all hooks of one bucket, and follows what is registered, changed and removed. */
export class BucketRunner {
  readonly #abort = new AbortController()
  /** By what `addressId` makes of where the hook is stored. */
  readonly #runners = new Map<string, HookRunner>()
  /** Hooks that are there, disabled ones too. */
  readonly #ids = new Map<string, string>()
  readonly #following: Promise<void>[] = []
  #turn: Promise<void> = Promise.resolve()
  #isLost = false

  constructor(
    private readonly delivery: Delivery,
    private readonly bucket: Bucket,
    /** Another node delivers, or the bucket is gone: to be stopped. */
    private readonly onLost: () => void,
  ) {}

  /** How many hooks there are. */
  get size(): number {
    return this.#ids.size
  }

  async start(): Promise<void> {
    const since = await this.bucket.cursor()
    const all = await this.delivery.book.all(this.bucket)
    await this.#clean(new Set(all.map(({ hook }) => hook.id)))
    for (const stored of all) await this.#apply(storedAt(stored), stored)
    for (const layer of [HOOK_LAYERS.own, HOOK_LAYERS.ofServices, HOOK_LAYERS.jobs])
      this.#following.push(this.#follow(layer, since))
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#turn
    await Promise.all(this.#following)
    await Promise.all([...this.#runners.values()].map((runner) => runner.stop()))
    this.#runners.clear()
  }

  #lose(): void {
    if (this.#isLost || this.#abort.signal.aborted) return
    this.#isLost = true
    this.onLost()
  }

  async #follow(layer: Layer, from: string): Promise<void> {
    const { signal } = this.#abort
    let since = from
    while (!signal.aborted) {
      try {
        for await (const event of this.bucket.watch({ layer }, { since, signal })) {
          await this.#inTurn(() => this.#heard(event))
          since = event.cursor
        }
      } catch (error) {
        if (signal.aborted) return
        if (isKv4Error(error, 'bucket_not_found')) return this.#lose()
        this.delivery.onBackgroundError(error)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
      }
    }
  }

  /** One change at a time: what is heard twice, or late, is looked up as it is now. */
  #inTurn(run: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(() => (this.#abort.signal.aborted ? undefined : run()))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #heard({ address }: WatchEvent): Promise<void> {
    const { layer, path, key } = address
    if (layer === HOOK_LAYERS.jobs) {
      for (const runner of this.#runners.values())
        if (statePath(runner.current.hook.id) === path) runner.jobsAsked()
      return
    }
    const at: HookAddress = hookAddress(layer, path, key)
    await this.#apply(addressId(address), await this.delivery.book.get(this.bucket, at, { consistent: true }))
  }

  async #apply(name: string, stored: StoredHook | undefined): Promise<void> {
    const known = this.#ids.get(name)
    if (known !== undefined && known !== stored?.hook.id) {
      await this.#end(name)
      this.#ids.delete(name)
      await this.#forget(known)
    }
    if (stored === undefined) return
    this.#ids.set(name, stored.hook.id)
    const runner = this.#runners.get(name)
    if (runner !== undefined) {
      if (stored.hook.disabled === undefined && isToldTheSame(runner.current, stored)) {
        if (runner.current.version.n !== stored.version.n) runner.update(stored)
        return
      }
      await this.#end(name)
    }
    if (stored.hook.disabled !== undefined) return
    const format = this.delivery.book.format(stored.hook.format)
    if (format === undefined) {
      // Of a service that this node does not have: it waits for one that has.
      this.delivery.onBackgroundError(new Error(`no service has the hook format ${stored.hook.format}`))
      return
    }
    const started = new HookRunner(this.delivery, this.bucket, stored, format, () => this.#lose())
    await started.start()
    this.#runners.set(name, started)
  }

  async #end(name: string): Promise<void> {
    const runner = this.#runners.get(name)
    this.#runners.delete(name)
    await runner?.stop()
  }

  /** What is left of hooks that were removed while nobody was here. */
  async #clean(ids: ReadonlySet<string>): Promise<void> {
    const { progress } = HOOK_LAYERS
    const left = new Set<string>()
    const { items } = await this.bucket.keys({ layer: progress, path: Path.root }, { limit: PAGE })
    for (const key of items) left.add(key)
    for (const layer of STATES)
      for (const path of (await this.bucket.paths(layer, Path.root, 1, { limit: PAGE })).items)
        left.add(path.slice(1))
    for (const id of left) if (id !== '' && !ids.has(id)) await this.#forget(id)
  }

  async #forget(id: string): Promise<void> {
    await this.bucket.remove(progressAddress(id), { by: BY })
    for (const layer of STATES) await this.bucket.removeUnder(layer, statePath(id), { by: BY })
  }
}

function storedAt({ address }: StoredHook): string {
  return addressId(hookPlace(address))
}

/** The events, and what is sent of them, are those of before. */
function isToldTheSame({ hook: before }: StoredHook, { hook: after }: StoredHook): boolean {
  return JSON.stringify(told(before)) === JSON.stringify(told(after))
}

function told({ layer, path, depth, key, prefix, events, format, values, more }: Hook): unknown {
  return [layer, path, depth, key, prefix, events, format, values, more]
}

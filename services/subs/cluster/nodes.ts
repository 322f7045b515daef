import { setTimeout as wait } from 'node:timers/promises'
import { BucketName, type Engine } from '../../../core'
import { ACTIVE_HOSTS, SIGNAL, activeHosts } from '../../active-hosts'

/** One life of another node. */
export interface LiveNode {
  readonly node: string
  readonly epoch: string
  /** `http://10.0.0.5:4006` */
  readonly url: string
}

export interface NodesOptions {
  readonly engine: Engine
  readonly node: string
  readonly epoch: string
  readonly onBackgroundError: (error: unknown) => void
}

const CHECK_MS = 1_000

/** The other nodes that say that they are there: the host bus. */
export class Nodes {
  readonly live = new Map<string, LiveNode>()
  readonly #end = new AbortController()
  #following: Promise<void> | undefined
  #checking: Promise<void> | undefined

  constructor(private readonly options: NodesOptions) {}

  start(events: { joined(node: LiveNode): void; gone(node: LiveNode): void }): void {
    const { signal } = this.#end
    this.#following = Promise.all([
      this.#again(signal, async () => {
        const bucket = this.options.engine.bucket(BucketName.system)
        for await (const _ of bucket.watch({ ...ACTIVE_HOSTS, depth: 0 }, { signal }))
          await this.#check(events)
      }),
      this.#again(signal, () => this.#check(events)),
    ]).then(() => undefined)
  }

  async stop(): Promise<void> {
    this.#end.abort()
    await this.#following
  }

  async #again(signal: AbortSignal, act: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        await act()
      } catch (error) {
        if (!signal.aborted) this.options.onBackgroundError(error)
      }
      await wait(CHECK_MS, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  #check(events: Parameters<Nodes['start']>[0]): Promise<void> {
    return (this.#checking ??= this.#compare(events).finally(() => (this.#checking = undefined)))
  }

  async #compare(events: Parameters<Nodes['start']>[0]): Promise<void> {
    const found = new Map<string, LiveNode>()
    let isHere = false
    for (const { type, node, epoch, url } of await activeHosts(this.options.engine)) {
      if (type !== SIGNAL || node === undefined || epoch === undefined) continue
      if (node !== this.options.node) found.set(node, { node, epoch, url })
      else if (epoch === this.options.epoch) isHere = true
    }
    // Who does not see himself is cut off from the store: he may not declare others dead.
    if (!isHere) return
    for (const known of [...this.live.values()]) {
      if (found.get(known.node)?.epoch === known.epoch) continue
      this.live.delete(known.node)
      events.gone(known)
    }
    for (const node of found.values()) {
      if (this.live.has(node.node)) continue
      this.live.set(node.node, node)
      events.joined(node)
    }
  }
}

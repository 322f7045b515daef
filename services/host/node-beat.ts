import { performance } from 'node:perf_hooks'
import { BucketName, type Bucket, type Engine } from '../../core'
import { ACTIVE_HOSTS, SIGNAL, countBusPacket, hostKey, storedHost, type HostEntry } from '../active-hosts'
import type { Listener } from '../module'
import type { Recorder } from '../recorder'

/** An entry lapses after so many beats that did not come. */
export const BEATS_TO_LIVE = 3

const { account: BY } = BucketName.owner(BucketName.system)

export interface NodeBeatOptions {
  readonly engine: Engine
  readonly node: string
  readonly epoch: string
  readonly stats: Recorder
  readonly onBackgroundError: (error: unknown) => void
}

/**
 * Says that this node is there, how it is reached and how busy it is: at once, and then at every beat. Load is the share
 * of time in which the event loop was busy since the last beat, or of the connections that it may have, whichever is more.
 */
export class NodeBeat {
  readonly #bucket: Bucket
  readonly #address
  #timer: NodeJS.Timeout | undefined
  #utilization = performance.eventLoopUtilization()
  #write: Promise<void> = Promise.resolve()

  constructor(private readonly options: NodeBeatOptions) {
    this.#bucket = options.engine.bucket(BucketName.system)
    this.#address = { ...ACTIVE_HOSTS, key: hostKey(options.node, SIGNAL) }
  }

  /** Resolves once it was said, or could not be: the next beat tries again. */
  async start(listener: Listener): Promise<void> {
    await this.#beat(listener)
    this.#timer = setInterval(() => void this.#beat(listener), listener.beatMs).unref()
  }

  /** Takes the entry away, so that nobody is sent here any more. */
  async stop(): Promise<void> {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.#write
    try {
      await this.#bucket.remove(this.#address, { by: BY })
    } catch (error) {
      // It lapses by itself.
      this.options.onBackgroundError(error)
    }
  }

  #beat(listener: Listener): Promise<void> {
    // One after another: a beat that the store took long for is not overtaken.
    return (this.#write = this.#write.then(async () => {
      try {
        const said = storedHost(this.#entry(listener))
        await this.#bucket.put(this.#address, said, { by: BY, ttl: BEATS_TO_LIVE * listener.beatMs })
        countBusPacket(this.options.stats, this.#address.key, said)
      } catch (error) {
        this.options.onBackgroundError(error)
      }
    }))
  }

  #entry({ url, publicUrl, connections, maxConnections }: Listener): HostEntry {
    const { utilization } = performance.eventLoopUtilization(this.#utilization)
    this.#utilization = performance.eventLoopUtilization()
    const load = Math.max(utilization, connections() / maxConnections)
    const { node, epoch } = this.options
    return {
      type: SIGNAL,
      url,
      public: publicUrl,
      node,
      epoch,
      load: Math.min(1, Math.round(load * 1000) / 1000),
    }
  }
}

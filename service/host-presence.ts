import { performance } from 'node:perf_hooks'

/** What a service says of one of its hosts. */
export interface HostRegistration {
  /** Names this host among those of the service: 1 to 64 letters, digits, `.`, `_`, `-`. */
  readonly host: string
  /** `_turn`: calls below `/_turn` are its. */
  readonly prefix: string
  /** What clients ask `_host?type=` for. Default: the prefix without its underscore. */
  readonly type?: string
  /** Where the platform sends the calls: `http://10.0.0.7:8080`. */
  readonly url: string
  /** What `_host?type=` answers. Default: this host is never named. */
  readonly public?: string
  /** The layers that it reads and writes: `*turn`, `*turn:…`, `*stats:turn:…`. */
  readonly layers?: readonly string[]
  /** The node of the platform that it stands beside. */
  readonly node?: string
}

export interface HostPresenceOptions {
  /** The platform: `https://kv4.example.com`. */
  readonly platform: string
  /** The Authorization header: `Bearer <host token>`, or Basic of `$sys`. */
  readonly authorization: string
  readonly registration: HostRegistration
  /** 0 (idle) to 1 (full), asked before each refresh. Default: how busy the event loop was. */
  readonly load?: () => number
  /** Default 5,000. Without three refreshes in a row the platform takes the host for dead. */
  readonly refreshMs?: number
  /** Told of refreshes that failed; the next one comes by itself. */
  readonly onError?: (error: unknown) => void
}

const ACTIVE = '/_host/runtime/hosts/active'

/** Registers one host of an external service, refreshes it, and withdraws it at the end. */
export class HostPresence {
  #key = ''
  #timer: NodeJS.Timeout | undefined
  #utilization = performance.eventLoopUtilization()

  constructor(private readonly options: HostPresenceOptions) {}

  /** What calls are signed with: give it to a `CallerVerifier`. Empty until `start` has resolved. */
  get key(): string {
    return this.#key
  }

  /** @throws Error with the platform's answer when it refuses the registration */
  async start(): Promise<void> {
    await this.#register()
    const refresh = () => {
      this.#register().catch((error: unknown) => this.options.onError?.(error))
    }
    this.#timer = setInterval(refresh, this.#refreshMs)
  }

  /** From now on no call comes any more; those under way go on. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    const { host, prefix } = this.options.registration
    await this.#ask('DELETE', `${ACTIVE}?${new URLSearchParams({ k: host, prefix }).toString()}`)
  }

  get #refreshMs(): number {
    return this.options.refreshMs ?? 5_000
  }

  /** The whole registration each time: a platform that has forgotten it learns it anew. */
  async #register(): Promise<void> {
    const { host, ...registration } = this.options.registration
    const load = this.options.load?.() ?? this.#busy()
    const v = { ...registration, load, lapse: Math.max(1, (3 * this.#refreshMs) / 1000) }
    const { key } = (await this.#ask('PUT', ACTIVE, { k: host, v })) as { key: string }
    this.#key = key
  }

  #busy(): number {
    const { utilization } = performance.eventLoopUtilization(this.#utilization)
    this.#utilization = performance.eventLoopUtilization()
    return Math.round(utilization * 1000) / 1000
  }

  async #ask(method: string, target: string, body?: unknown): Promise<unknown> {
    const { platform, authorization } = this.options
    const answer = await fetch(platform.replace(/\/+$/, '') + target, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(10_000),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    const { s, v } = JSON.parse(text) as { readonly s: string; readonly v: unknown }
    if (s !== 'ok') throw new Error(`${method} ${target}: ${text}`)
    return v
  }
}

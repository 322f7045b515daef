import type { Cursor, Json, Key, Layer, LayerDeclaration, Path, Version, WatchEvent } from '../core'
import { Layer as Layers, Path as Paths } from '../core'
import type { ChangeType } from './change'

/** Which changes a hook is told of. */
export interface HookMatch {
  readonly layer: Layer
  readonly path: Path
  /** How many segments below `path`; 0: at the path alone; absent: all below. */
  readonly depth?: number
  readonly key?: Key
  /** Only names that begin with it: what is below `path`, then the key, joined by `/`. `test` also matches `test2/x`. */
  readonly prefix?: string
  /** Absent: every one. */
  readonly events?: readonly ChangeType[]
}

/** What whoever registers a hook says of it. */
export interface WantedHook extends HookMatch {
  /** http or https. */
  readonly endpoint: string
  /** The name of a HookFormat: what is sent. */
  readonly format: string
  /** false: what is sent says that an entry has changed, and not to what. Default true. */
  readonly values?: boolean
  /** For people. */
  readonly description?: string
  /** Kept for the service that registers it. */
  readonly more?: Json
}

export interface Hook extends WantedHook {
  /** Names this hook for good; one that is made again under the same name has another. */
  readonly id: string
  /** Where in the feed it begins. */
  readonly since: Cursor
  /** Unix ms. */
  readonly created: number
  /** What its signing secrets are derived with, the newest first; `until`: unix ms up to which an older one signs too. */
  readonly salts: readonly HookSalt[]
  /** Nothing is sent until it is enabled again. */
  readonly disabled?: { readonly at: number; readonly reason: string }
}

export interface HookSalt {
  readonly salt: string
  readonly until?: number
}

/** Where a hook is kept: with those of the account itself, or of a service, each in a tree of its own. */
export interface HookAddress {
  /** `app`; absent: the account's own. */
  readonly service?: string
  readonly path: Path
  readonly name: Key
}

export interface StoredHook {
  readonly address: HookAddress
  readonly hook: Hook
  readonly version: Version
}

/** One try, as it ended. */
export interface HookTry {
  /** Unix ms of its end. */
  readonly at: number
  /** `webhook-id` of the event. */
  readonly id: string
  readonly ok: boolean
  /** HTTP status; absent: there was none. */
  readonly status?: number
  /** Why there was none. */
  readonly error?: string
  /** How long it took. */
  readonly ms: number
}

export interface HookStatus {
  readonly last?: HookTry
  /** Unix ms of the last 2xx. */
  readonly lastHit?: number
  /** Unix ms of the next try of an event that failed. */
  readonly next?: number
  /** Events that were taken, since the hook is there. */
  readonly delivered: number
  /** Events that failed and wait for their next try, and those of the same keys behind them. */
  readonly aside: number
  /** Dead letters, and how many older ones had to go for them. */
  readonly dead: number
  readonly dropped: number
}

export interface HookMessage {
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** What is sent for a change. */
export interface HookFormat {
  /** The word in a hook's `format`. */
  readonly name: string
  /** Adds the headers of Standard Webhooks, with a signature. */
  readonly signed: boolean
  /** Default: KV4_HOOKS_TIMEOUT_MS. */
  readonly timeoutMs?: number
  /**
   * Made once for each event and hook, and sent again as it is.
   * @param id `webhook-id`: the same for the same change, however often it is sent
   */
  message(event: WatchEvent, stored: Pick<StoredHook, 'address' | 'hook'>, id: string): HookMessage
}

const OWN = Layers.parse('*hooks')
const OF_SERVICES = Layers.parse('*hooks:service')

/** In each bucket: what its hooks are, and how far they are. */
export const HOOK_LAYERS = {
  own: OWN,
  /** `/<service>/…` */
  ofServices: OF_SERVICES,
  /** Key: the hook's id. */
  progress: Layers.parse('*hooks:progress'),
  /** Path `/<id>`: events that failed and wait for their next try. */
  aside: Layers.parse('*hooks:aside'),
  /** Path `/<id>`: events that were given up. */
  dead: Layers.parse('*hooks:dead'),
  /** Path `/<id>`: what was asked of whoever delivers. */
  jobs: Layers.parse('*hooks:jobs'),
  /** In `$sys`, key: a bucket that has hooks. */
  buckets: Layers.parse('*hooks:buckets'),
  /** In `$sys`, key: a node that delivers. */
  nodes: Layers.parse('*hooks:nodes'),
} as const

export const HOOK_DECLARATIONS: readonly LayerDeclaration[] = Object.values(HOOK_LAYERS).map((name) => ({
  name,
  kind: name === OWN || name === OF_SERVICES ? 'versioned' : 'current',
}))

/** Where a hook's state is. */
export function statePath(id: string): Path {
  return Paths.parse(id)
}

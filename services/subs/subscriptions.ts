import type { Bucket, JsonObject, Key, Layer, Version } from '../../core'
import type { Channel } from './channel'
import type { Cluster } from './cluster/cluster'
import { PRESENCE } from './layer'
import { connectionOf, shownEntry } from './presence-entry'

/** A page of who is connected at a channel, on whatever node. */
export interface Subscriptions {
  readonly items: readonly Subscription[]
  readonly next?: Key
}

export interface Subscription {
  readonly user: Key
  readonly entry: JsonObject
  /** Where it is stored, and as which version. */
  readonly layer: Layer
  readonly version: Version
}

export interface SubscriptionsOptions {
  readonly node: string
  readonly epoch: string
  readonly cluster: Pick<Cluster, 'others'>
}

/** Presence of all living nodes, read from the store. A user of several nodes is shown once, where he came last. */
export class SubscriptionReader {
  constructor(private readonly options: SubscriptionsOptions) {}

  async list(
    bucket: Bucket,
    path: Channel['path'],
    page: { readonly after?: Key; readonly limit: number; readonly consistent?: boolean },
  ): Promise<Subscriptions> {
    const channel = { bucket: bucket.name, path }
    const found = new Map<Key, Subscription & { readonly since: number }>()
    let next: Key | undefined
    for (const [node, epoch] of this.#nodes()) {
      const layer = PRESENCE.layerOf(node)
      const listing = await bucket.entries({ layer, path }, page)
      for (const { key: user, version } of listing.items) {
        const connection = connectionOf(version.v)
        if (connection === undefined || connection.epoch !== epoch) continue
        if ((found.get(user)?.since ?? -Infinity) >= connection.since) continue
        const entry = shownEntry(channel, node, user)
        found.set(user, { user, entry, layer, version, since: connection.since })
      }
      // What another node has beyond the shortest page may not be all that there is.
      if (listing.next !== undefined && (next === undefined || isBefore(listing.next, next)))
        next = listing.next
    }
    const sorted = [...found.values()].sort((a, b) => (isBefore(a.user, b.user) ? -1 : 1))
    const within = next === undefined ? sorted : sorted.filter(({ user }) => !isBefore(next, user))
    const items = within.slice(0, page.limit)
    if (items.length < within.length) return { items, next: items.at(-1)!.user }
    return next === undefined ? { items } : { items, next }
  }

  async find(bucket: Bucket, path: Channel['path'], user: Key): Promise<Subscription | undefined> {
    let newest: (Subscription & { readonly since: number }) | undefined
    for (const [node, epoch] of this.#nodes()) {
      const layer = PRESENCE.layerOf(node)
      const version = await bucket.get({ layer, path, key: user })
      const connection = version && connectionOf(version.v)
      if (connection?.epoch !== epoch || (newest !== undefined && newest.since > connection.since)) continue
      const entry = shownEntry({ bucket: bucket.name, path }, node, user)
      newest = { user, entry, layer, version: version!, since: connection.since }
    }
    return newest
  }

  #nodes(): ReadonlyMap<string, string> {
    const { node, epoch, cluster } = this.options
    return new Map([[node, epoch], ...cluster.others])
  }
}

/** In the order of listings: of UTF-8 bytes. */
function isBefore(a: Key, b: Key): boolean {
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0
}

import type { ClusterKey } from '../../../auth/cluster-key'
import { Kv4Error, type Engine } from '../../../core'
import type { SocketDialer, SocketRoute } from '../../socket'
import type { Channel } from '../channel'
import type { Message } from '../message'
import type { Cluster, ClusterEvents } from './cluster'
import { Inbox } from './inbox'
import { Link } from './link'
import { Nodes } from './nodes'
import { MAX_LINK_FRAME } from './parcel'

const PATH = '/_subs/link'
const ANNOUNCE_MS = 1_000
const MAX_WAITING = 64 * 1024 * 1024

export interface NodeClusterOptions {
  readonly engine: Engine
  readonly node: string
  readonly epoch: string
  readonly key: ClusterKey
  readonly dial: SocketDialer
  readonly onBackgroundError: (error: unknown) => void
}

/** The nodes of the host bus, and a link to each that there is something to say to. */
export class NodeCluster implements Cluster {
  readonly others = new Map<string, string>()
  readonly #nodes: Nodes
  readonly #links = new Map<string, Link>()
  /**
   * By node, what was left with its life that ended last: it may have been taken for dead, and comes back with all that it
   * knows.
   */
  readonly #ended = new Map<string, { readonly epoch: string; readonly next: number }>()
  /** By name and epoch; of a life that has ended until another one of that node begins. */
  readonly #inboxes = new Map<string, Inbox>()
  #events: ClusterEvents | undefined

  constructor(private readonly options: NodeClusterOptions) {
    this.#nodes = new Nodes(options)
  }

  /** Where other nodes open their links to this one. */
  get route(): SocketRoute {
    return {
      pattern: new RegExp(`^${PATH}$`),
      access: 'public',
      summary: 'From node to node of one platform: messages for members of the other one.',
      maxFrame: MAX_LINK_FRAME,
      maxWaiting: MAX_WAITING,
      admit: async ({ headers }) => {
        const claim = this.options.key.verify(headers.authorization, this.options.node)
        if (claim === undefined || this.#events === undefined) throw new Kv4Error('unauthorized')
        return this.#inbox(claim.from, claim.epoch).listener()
      },
    }
  }

  async start(events: ClusterEvents): Promise<void> {
    this.#events = events
    this.#nodes.start({
      joined: ({ node, epoch }) => {
        this.others.set(node, epoch)
        const before = this.#ended.get(node)
        if (before !== undefined && before.epoch !== epoch) {
          this.#ended.delete(node)
          this.#inboxes.delete(inboxId(node, before.epoch))
        }
        events.joined(node, epoch)
      },
      gone: ({ node, epoch }) => {
        this.others.delete(node)
        const link = this.#links.get(node)
        link?.end()
        this.#links.delete(node)
        const next = link?.next ?? this.#firstFor(node, epoch)
        this.#ended.set(node, { epoch, next })
        this.#inboxes.get(inboxId(node, epoch))?.end()
        events.gone(node, epoch)
      },
    })
  }

  async stop(): Promise<void> {
    await this.#nodes.stop()
    for (const link of this.#links.values()) link.end()
    for (const inbox of this.#inboxes.values()) inbox.end()
  }

  send(node: string, channel: Channel, message: Message): void {
    this.#link(node)?.send(channel, message)
  }

  async announce(node: string, channel: Channel, late: () => void): Promise<boolean> {
    return (await this.#link(node)?.announce(channel, ANNOUNCE_MS, late)) ?? false
  }

  /** undefined: it does not live. */
  #link(node: string): Link | undefined {
    const known = this.#links.get(node)
    if (known !== undefined) return known
    const live = this.#nodes.live.get(node)
    if (live === undefined) return undefined
    const { key, dial, node: from, epoch } = this.options
    const link = new Link({
      url: live.url.replace(/^http/, 'ws') + PATH,
      dial,
      authorization: () => key.sign({ from, epoch, to: node }),
      first: this.#firstFor(node, live.epoch),
    })
    this.#links.set(node, link)
    return link
  }

  /**
   * Where the numbers of a link to that life go on. One is left out where it had ended: what was said meanwhile was not
   * for a dead node, and so it sees that something is missing.
   */
  #firstFor(node: string, epoch: string): number {
    const ended = this.#ended.get(node)
    return ended?.epoch === epoch ? ended.next + 1 : 1
  }

  #inbox(node: string, epoch: string): Inbox {
    const id = inboxId(node, epoch)
    let inbox = this.#inboxes.get(id)
    if (inbox === undefined) {
      const events = this.#events!
      inbox = new Inbox(node, {
        message: (from, channel, message) => events.message(from, channel, message),
        gap: (from, channels) => events.gap(from, channels),
        announced: (from, channel) => events.announced(from, epoch, channel),
      })
      this.#inboxes.set(id, inbox)
    }
    return inbox
  }
}

function inboxId(node: string, epoch: string): string {
  return `${node} ${epoch}`
}

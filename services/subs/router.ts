import type { Key } from '../../core'
import { channelId, type Channel } from './channel'
import type { Cluster, ClusterEvents } from './cluster/cluster'
import type { Member } from './member'
import { isReserved, type Message } from './message'
import type { Presence, PresenceEvents } from './presence'
import { Room, type RemoteUser } from './room'
import { lastSegment } from './target'

/** Closes a socket whose subscription somebody has removed. */
const KICKED = 4003
/** Closes a socket whose address was denied. */
export const BANNED = 4003
/** Closes a socket whose token is good for nothing, or not any more. */
export const BAD_TOKEN = 4001

/** A room with what is known of it elsewhere. */
interface Held {
  readonly room: Room
  /**
   * Nodes that have said that they have members here, by name the life that did. They are told everything until that life
   * is over: the feeds of presence come later, and what they tell first may be of a life before.
   */
  readonly announced: Map<string, string>
  /** Nodes that are being read now, and who left them meanwhile, with the number of the entry. */
  loading: number
  readonly departed: Map<string, number>
  /** The other nodes have been read; undefined: not yet, or in vain. */
  ready: Promise<void> | undefined
}

/** A member's place in its room. */
export interface Seat {
  /** Passes a frame on to whom it is for. false: it was for nobody, or not understood. */
  say(frame: string): boolean
  leave(): void
}

export interface RouterOptions {
  readonly presence: Presence
  readonly cluster: Cluster
  readonly onBackgroundError: (error: unknown) => void
}

/**
 * Takes members in and out of rooms, and messages to whom they are for: on this node, and by way of the cluster on
 * others. What members are told of each other is the room's decision.
 */
export class Router implements PresenceEvents, ClusterEvents {
  readonly #rooms = new Map<string, Held>()

  constructor(private readonly options: RouterOptions) {}

  async start(): Promise<void> {
    this.options.presence.start(this)
    await this.options.cluster.start(this)
  }

  async stop(): Promise<void> {
    await this.options.presence.stop()
    await this.options.cluster.stop()
  }

  /**
   * Lets a member in: tells it who is there, and the others of it. Without the store it is in all the same, for those of
   * this node.
   * @returns undefined when it has gone meanwhile, or was kicked
   */
  async enter(channel: Channel, member: Member, isOpen: () => boolean): Promise<Seat | undefined> {
    const { presence, onBackgroundError } = this.options
    const held = this.#held(channel)
    const { room } = held
    room.enter(member)
    try {
      await presence.hold(channel.bucket)
      await presence.enter(channel, member.user, member.login, member.since)
      // Only now: of two that come at once on two nodes, one at least sees the other.
      await (held.ready ??= this.#load(held))
    } catch (error) {
      held.ready = undefined
      onBackgroundError(error)
    }
    // A socket that is being closed takes its time to be so.
    if (!room.entered(member) || !isOpen()) {
      this.#departed(held, member)
      return undefined
    }
    room.add(member)
    this.#tellNews(room, member.user)
    member.socket.send(member.dialect.peers(channel.path, room.users()))
    return {
      say: (frame) => this.#say(held, member, frame),
      leave: () => {
        if (room.remove(member)) this.#departed(held, member)
      },
    }
  }

  /** Closes the connections of one user, or of all, at a channel of this node, those on their way in too. Whose they were. */
  close(channel: Channel, user: Key | undefined): ReadonlySet<Key> {
    const room = this.#rooms.get(channelId(channel))?.room
    if (room === undefined) return new Set()
    const inside = user === undefined ? room.members : room.connections(user)
    const members = [...inside, ...room.turnAway(user)]
    for (const { socket } of members) socket.close(KICKED, 'kicked')
    return new Set(members.map((member) => member.user))
  }

  kicked(channel: Channel, user: Key): void {
    this.close(channel, user)
  }

  arrived(channel: Channel, node: string, user: Key, remote: RemoteUser): void {
    // Whom a node has that is not known to live yet is read when it is: nothing could be sent there before.
    if (this.options.cluster.others.get(node) === remote.epoch) this.#arrived(channel, node, user, remote)
  }

  left(channel: Channel, node: string, user: Key, n: number): void {
    const held = this.#rooms.get(channelId(channel))
    if (held === undefined) return
    if (held.loading > 0) held.departed.set(`${node}\n${user}`, n)
    const known = held.room.remoteUser(node, user)
    if (known !== undefined && known.n > n) return
    held.room.deleteRemote(node, user)
    this.#tellNews(held.room, user)
  }

  async message(node: string, channel: Channel, message: Message): Promise<void> {
    const held = this.#rooms.get(channelId(channel))
    if (held === undefined) return
    const from = message.from as Key
    // The way from node to node is faster than the feed: nobody is to hear from somebody that he was not told of.
    if (held.room.remoteUser(node, from) === undefined) {
      const { presence, onBackgroundError } = this.options
      const remote = await presence.find(channel, node, from).catch(onBackgroundError)
      if (remote) this.#arrived(channel, node, from, remote)
    }
    this.#deliver(held.room, message)
  }

  announced(node: string, epoch: string, channel: Channel): void {
    this.#rooms.get(channelId(channel))?.announced.set(node, epoch)
  }

  joined(node: string, epoch: string): void {
    for (const held of this.#rooms.values())
      this.#loadNode(held, node, epoch).catch(this.options.onBackgroundError)
  }

  gone(node: string, epoch: string): void {
    const { presence, onBackgroundError } = this.options
    for (const held of this.#rooms.values()) {
      const { room, announced } = held
      if (announced.get(node) === epoch) announced.delete(node)
      const users = room.usersOf(node).filter(([, remote]) => remote.epoch === epoch)
      if (users.length > 0) this.#tellGap(room)
      for (const [user, { n }] of users) {
        room.deleteRemote(node, user)
        this.#tellNews(room, user)
        // Every node that knows the room tries; one of them does it.
        presence.cleanUp(room.channel, node, user as Key, n).catch(onBackgroundError)
      }
    }
  }

  gap(node: string, channels: readonly Channel[] | undefined): void {
    const ids = channels && new Set(channels.map(channelId))
    for (const [id, { room }] of this.#rooms)
      if (ids === undefined ? room.usersOf(node).length > 0 : ids.has(id)) this.#tellGap(room)
  }

  #arrived(channel: Channel, node: string, user: Key, remote: RemoteUser): void {
    const held = this.#rooms.get(channelId(channel))
    if (held === undefined) return
    const known = held.room.remoteUser(node, user)
    if (known !== undefined && known.n > remote.n) return
    held.room.setRemote(node, user, remote)
    this.#tellNews(held.room, user)
  }

  #held(channel: Channel): Held {
    const id = channelId(channel)
    let held = this.#rooms.get(id)
    if (held === undefined) {
      held = {
        room: new Room(channel),
        announced: new Map(),
        loading: 0,
        departed: new Map(),
        ready: undefined,
      }
      this.#rooms.set(id, held)
    }
    return held
  }

  #departed({ room }: Held, { user, login }: Member): void {
    const { presence, onBackgroundError } = this.options
    const { channel } = room
    if (!room.isHere(user)) presence.leave(channel, user, login).catch(onBackgroundError)
    this.#tellNews(room, user)
    presence.release(channel.bucket)
    if (room.isEmpty) this.#rooms.delete(channelId(channel))
  }

  #say({ room, announced }: Held, member: Member, frame: string): boolean {
    const { cluster } = this.options
    const message = member.dialect.decode(frame, member.user)
    if (message === undefined || isReserved(message.operation)) return false
    const target = message.to === undefined ? undefined : room.find(message.to)
    if (target === member) return false
    if (typeof target === 'string') {
      cluster.send(target, room.channel, message)
      return true
    }
    if (target !== undefined) {
      target.socket.send(target.dialect.message(room.channel.path, message))
      return true
    }
    if (message.to === undefined) this.#deliver(room, message, member)
    // Also to somebody who is nowhere: he may have come to another node just now.
    const nodes = new Set([...room.nodes(), ...announced.keys()])
    for (const node of nodes) cluster.send(node, room.channel, message)
    return message.to === undefined || nodes.size > 0
  }

  /** To those of this node. */
  #deliver(room: Room, message: Message, sender?: Member): void {
    const { path } = room.channel
    if (message.to === undefined) {
      room.tell(
        (dialect) => dialect.message(path, message),
        (member) => member !== sender,
      )
      return
    }
    const target = room.connections(lastSegment(message.to)).at(-1)
    target?.socket.send(target.dialect.message(path, message))
  }

  #tellNews(room: Room, user: string): void {
    const news = room.news(user)
    if (news === undefined) return
    room.tell(
      (dialect) => dialect[news](room.channel.path, user),
      (member) => member.user !== user,
    )
  }

  #tellGap(room: Room): void {
    room.tell(
      (dialect) => dialect.gap(room.channel.path),
      (member) => member.wantsGaps,
    )
  }

  async #load(held: Held): Promise<void> {
    await Promise.all(
      [...this.options.cluster.others].map(([node, epoch]) => this.#loadNode(held, node, epoch)),
    )
  }

  /** Whom another node has in the room; that node is told of this one. */
  async #loadNode(held: Held, node: string, epoch: string): Promise<void> {
    const { presence, cluster, onBackgroundError } = this.options
    const { channel } = held.room
    held.loading++
    try {
      const users = await presence.usersOf(channel, node)
      const present = users.filter(([, remote]) => remote.epoch === epoch)
      // Left behind by an earlier life of the node.
      for (const [user, remote] of users)
        if (remote.epoch !== epoch && cluster.others.get(node) === epoch)
          presence.cleanUp(channel, node, user, remote.n).catch(onBackgroundError)
      // Nobody waits for a node that is slow; what its members say until it knows is missing.
      if (present.length > 0) await cluster.announce(node, channel, () => this.#tellGap(held.room))
      for (const [user, remote] of present)
        if ((held.departed.get(`${node}\n${user}`) ?? 0) < remote.n)
          this.#arrived(channel, node, user, remote)
    } finally {
      if (--held.loading === 0) held.departed.clear()
    }
  }
}

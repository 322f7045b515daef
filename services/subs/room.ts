import type { Channel } from './channel'
import type { Dialect } from './dialects'
import type { Member } from './member'
import { lastSegment } from './target'

/** A user on another node. */
export interface RemoteUser {
  /** Unix ms at which he came. */
  readonly since: number
  /** The life of the node in which he did. */
  readonly epoch: string
  /** Number of the presence entry that told of it. */
  readonly n: number
}

/**
 * Who is where in one room: the connections of this node, the users of others, and whom the members have been told of.
 * Knows no store and no network.
 *
 *     entering ──add──► member ──remove──► gone          told of: once he is in, until he is nowhere and not entering
 */
export class Room {
  readonly members = new Set<Member>()
  /** By user, in the order of arrival. */
  readonly #connections = new Map<string, Member[]>()
  readonly #remote = new Map<string, Map<string, RemoteUser>>()
  /** Connections by user that are on their way in. */
  readonly #entering = new Map<string, Set<Member>>()
  readonly #turnedAway = new WeakSet<Member>()
  readonly #told = new Set<string>()

  constructor(readonly channel: Channel) {}

  /** Nobody of this node is in it or on the way. */
  get isEmpty(): boolean {
    return this.members.size === 0 && this.#entering.size === 0
  }

  enter(member: Member): void {
    const entering = this.#entering.get(member.user)
    if (entering === undefined) this.#entering.set(member.user, new Set([member]))
    else entering.add(member)
  }

  /** The end of `enter`, whether it comes in or not. false: it was turned away. */
  entered(member: Member): boolean {
    const entering = this.#entering.get(member.user)!
    entering.delete(member)
    if (entering.size === 0) this.#entering.delete(member.user)
    return !this.#turnedAway.has(member)
  }

  /** Keeps out who is on the way in: the connections of one user, or (undefined) all. Answers them. */
  turnAway(user: string | undefined): readonly Member[] {
    const groups = user === undefined ? [...this.#entering.values()] : [this.#entering.get(user) ?? []]
    const members = groups.flatMap((group) => [...group])
    for (const member of members) this.#turnedAway.add(member)
    return members
  }

  add(member: Member): void {
    this.members.add(member)
    const connections = this.#connections.get(member.user)
    if (connections === undefined) this.#connections.set(member.user, [member])
    else connections.push(member)
  }

  /** false: it was not here. */
  remove(member: Member): boolean {
    if (!this.members.delete(member)) return false
    const rest = this.#connections.get(member.user)!.filter((each) => each !== member)
    if (rest.length === 0) this.#connections.delete(member.user)
    else this.#connections.set(member.user, rest)
    return true
  }

  connections(user: string): readonly Member[] {
    return this.#connections.get(user) ?? []
  }

  /** In it or on the way, by a connection to this node. */
  isHere(user: string): boolean {
    return this.#connections.has(user) || this.#entering.has(user)
  }

  setRemote(node: string, user: string, remote: RemoteUser): void {
    let users = this.#remote.get(node)
    if (users === undefined) this.#remote.set(node, (users = new Map<string, RemoteUser>()))
    users.set(user, remote)
  }

  remoteUser(node: string, user: string): RemoteUser | undefined {
    return this.#remote.get(node)?.get(user)
  }

  deleteRemote(node: string, user: string): void {
    const users = this.#remote.get(node)
    if (users?.delete(user) === true && users.size === 0) this.#remote.delete(node)
  }

  /** Nodes that have members here. */
  nodes(): Iterable<string> {
    return this.#remote.keys()
  }

  usersOf(node: string): readonly (readonly [user: string, remote: RemoteUser])[] {
    return [...(this.#remote.get(node) ?? [])]
  }

  /** Whom the members have been told of, in the order of arrival. */
  users(): readonly string[] {
    return [...this.#told]
  }

  /** What the members have to be told of a user now; the answer counts as told. */
  news(user: string): 'connected' | 'removed' | undefined {
    const told = this.#told.has(user)
    if (this.#connections.has(user) || this.#isRemote(user)) {
      if (told) return undefined
      this.#told.add(user)
      return 'connected'
    }
    if (!told || this.#entering.has(user)) return undefined
    this.#told.delete(user)
    return 'removed'
  }

  /**
   * Where a message to somebody goes: his newest connection, here or (the name of) another node. Clients name a user, or
   * a path that ends in one. undefined: he is nowhere.
   */
  find(target: string): Member | string | undefined {
    const user = lastSegment(target)
    const here = this.#connections.get(user)?.at(-1)
    let newest: Member | string | undefined = here
    let since = here?.since ?? -Infinity
    for (const [node, users] of this.#remote) {
      const remote = users.get(user)
      if (remote !== undefined && remote.since > since) {
        newest = node
        since = remote.since
      }
    }
    return newest
  }

  /** To the connections of this node but one, each in its own dialect; a dialect's frame is made once. */
  tell(frameOf: (dialect: Dialect) => string, to?: (member: Member) => boolean): void {
    const frames = new Map<Dialect, Buffer>()
    for (const member of this.members) {
      if (to !== undefined && !to(member)) continue
      let frame = frames.get(member.dialect)
      if (frame === undefined) frames.set(member.dialect, (frame = Buffer.from(frameOf(member.dialect))))
      member.socket.send(frame)
    }
  }

  #isRemote(user: string): boolean {
    for (const users of this.#remote.values()) if (users.has(user)) return true
    return false
  }
}

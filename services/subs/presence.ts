import { setTimeout as wait } from 'node:timers/promises'
import { isKv4Error, type Address, type Bucket, type BucketName, type Engine, type Key } from '../../core'
import type { Version, WatchEvent } from '../../core'
import { channelId, type Channel } from './channel'
import { PRESENCE } from './layer'
import { connectionOf, presenceEntry, type Connection } from './presence-entry'
import type { RemoteUser } from './room'

/** Entries lapse by themselves when every node is dead; of one that dies alone, others take them away. */
const TTL_MS = 5 * 60_000
const REFRESH_MS = 2 * 60_000
const REFRESHED_AT_ONCE = 200
const PAGE = 1_000
const PAUSE_MS = 1_000
/** Recorded as who cleans up after a node that others heard nothing of any more. No login is called so. */
const CLEANER = '$node'

/** What the feeds tell of presence. */
export interface PresenceEvents {
  /** Somebody has taken the entry of a user of this node away. */
  kicked(channel: Channel, user: Key): void
  arrived(channel: Channel, node: string, user: Key, remote: RemoteUser): void
  left(channel: Channel, node: string, user: Key, n: number): void
}

export interface PresenceOptions {
  readonly engine: Engine
  readonly node: string
  readonly epoch: string
  readonly onBackgroundError: (error: unknown) => void
  /** Unix ms. */
  readonly clock: () => number
  /** Tests make them short. */
  readonly ttlMs?: number
  readonly refreshMs?: number
}

/** An entry of this node, as it was written last. */
interface Written {
  readonly channel: Channel
  readonly user: Key
  readonly login: string
  readonly connection: Connection
  /** undefined: the store did not say that it has it. */
  readonly version: Version | undefined
}

/** The feed of a bucket, as long as somebody is connected there. */
interface Following {
  holders: number
  readonly started: Promise<void>
  readonly end: AbortController
}

/** Presence as the store has it: what this node writes there, and what the feeds tell of the others. */
export class Presence {
  readonly #layer
  readonly #written = new Map<string, Written>()
  readonly #following = new Map<BucketName, Following>()
  /** Writes of one user come after one another. */
  readonly #turns = new Map<string, Promise<void>>()
  readonly #ended = new AbortController()
  #refreshing: Promise<void> | undefined
  #events: PresenceEvents | undefined

  constructor(private readonly options: PresenceOptions) {
    this.#layer = PRESENCE.layerOf(options.node)
  }

  start(events: PresenceEvents): void {
    this.#events = events
    this.#refreshing = this.#refreshForever()
  }

  /** Takes what this node wrote away and ends all feeds. */
  async stop(): Promise<void> {
    this.#ended.abort()
    for (const { end } of this.#following.values()) end.abort()
    await this.#refreshing
    await Promise.all([...this.#turns.values()])
    const { onBackgroundError } = this.options
    await Promise.all(
      [...this.#written.values()].map(({ channel, user, login }) =>
        this.leave(channel, user, login).catch(onBackgroundError),
      ),
    )
  }

  /** Follows the feed of a bucket until it is released as often; resolves once nothing is missed any more. */
  async hold(name: BucketName): Promise<void> {
    let following = this.#following.get(name)
    if (following === undefined) {
      const end = new AbortController()
      const bucket = this.options.engine.bucket(name)
      const cursor = bucket.cursor()
      following = { holders: 0, end, started: cursor.then(() => undefined) }
      this.#following.set(name, following)
      void this.#follow(bucket, cursor, end.signal)
    }
    following.holders++
    await following.started
  }

  release(name: BucketName): void {
    const following = this.#following.get(name)
    if (following === undefined || --following.holders > 0) return
    this.#following.delete(name)
    following.end.abort()
  }

  async enter(channel: Channel, user: Key, login: string, since: number): Promise<void> {
    const connection = { since, epoch: this.options.epoch }
    await this.#inTurn(channel, user, () => this.#write(channel, user, login, connection))
  }

  async leave(channel: Channel, user: Key, login: string): Promise<void> {
    await this.#inTurn(channel, user, async () => {
      this.#written.delete(entryId(channel, user))
      try {
        await this.#bucket(channel).remove(this.#address(channel, user), { by: login })
      } catch (error) {
        // The account was deleted, and everything with it.
        if (!isKv4Error(error, 'bucket_not_found')) throw error
      }
    })
  }

  /**
   * Takes the entry of a user of another node away: its feed tells that node so, which closes his sockets. false: there
   * was none.
   */
  async kick(channel: Channel, node: string, user: Key, by: string): Promise<boolean> {
    return this.#takeAway(channel, node, user, by)
  }

  /** Takes the entry with that number away, whose node is dead: should it be there after all, it writes the entry anew. */
  async cleanUp(channel: Channel, node: string, user: Key, n: number): Promise<void> {
    await this.#takeAway(channel, node, user, CLEANER, n)
  }

  async #takeAway(channel: Channel, node: string, user: Key, by: string, n?: number): Promise<boolean> {
    const address = { layer: PRESENCE.layerOf(node), path: channel.path, key: user }
    try {
      const options = n === undefined ? { by } : { by, expect: { n } }
      return (await this.#bucket(channel).remove(address, options)) !== undefined
    } catch (error) {
      if (isKv4Error(error, 'version_conflict')) return false
      throw error
    }
  }

  /** What the store knows of a user of another node now. */
  async find(channel: Channel, node: string, user: Key): Promise<RemoteUser | undefined> {
    const address = { layer: PRESENCE.layerOf(node), path: channel.path, key: user }
    const version = await this.#bucket(channel).get(address, { consistent: true })
    const connection = version && connectionOf(version.v)
    return connection && { ...connection, n: version.n }
  }

  /** Everybody at a channel by one node's entries, read past the caches. */
  async usersOf(channel: Channel, node: string): Promise<readonly (readonly [Key, RemoteUser])[]> {
    const found: (readonly [Key, RemoteUser])[] = []
    const place = { layer: PRESENCE.layerOf(node), path: channel.path }
    let after: Key | undefined
    for (;;) {
      const { items, next } = await this.#bucket(channel).entries(place, {
        consistent: true,
        limit: PAGE,
        ...(after !== undefined && { after }),
      })
      for (const { key, version } of items) {
        const connection = connectionOf(version.v)
        if (connection !== undefined) found.push([key, { ...connection, n: version.n }])
      }
      if (next === undefined) return found
      after = next
    }
  }

  async #write(channel: Channel, user: Key, login: string, connection: Connection): Promise<void> {
    const id = entryId(channel, user)
    const written = { channel, user, login, connection }
    // Until the store has it: a failure leaves something to refresh.
    this.#written.set(id, { ...written, version: undefined })
    const version = await this.#bucket(channel).put(
      this.#address(channel, user),
      presenceEntry(channel, this.options.node, user, connection),
      { by: login, ttl: this.options.ttlMs ?? TTL_MS },
    )
    this.#written.set(id, { ...written, version })
  }

  async #follow(bucket: Bucket, first: ReturnType<Bucket['cursor']>, signal: AbortSignal): Promise<void> {
    const { onBackgroundError } = this.options
    let start = first
    let since: Awaited<typeof first> | undefined
    while (!signal.aborted) {
      try {
        since ??= await start
        for await (const event of bucket.watch({}, { since, signal })) {
          since = event.cursor
          if (event.kind === 'current') this.#heard(bucket.name, event)
        }
      } catch (error) {
        if (signal.aborted) return
        // With the account its sockets end.
        if (isKv4Error(error, 'bucket_not_found')) return
        onBackgroundError(error)
        await pause(PAUSE_MS, signal)
        if (since === undefined) (start = bucket.cursor()).catch(() => undefined)
      }
    }
  }

  #heard(bucket: BucketName, { address, version }: Exclude<WatchEvent, { kind: 'series' }>): void {
    const node = PRESENCE.nodeOf(address.layer)
    if (node === undefined) return
    const channel = { bucket, path: address.path }
    const events = this.#events!
    if (node === this.options.node) {
      this.#heardOfOwn(channel, address.key, version)
      return
    }
    const connection = version.op === 'delete' ? undefined : connectionOf(version.v)
    if (connection === undefined) events.left(channel, node, address.key, version.n)
    else events.arrived(channel, node, address.key, { ...connection, n: version.n })
  }

  #heardOfOwn(channel: Channel, user: Key, version: Version): void {
    const known = this.#written.get(entryId(channel, user))
    // Of what was taken away before it was written anew nothing is left to do.
    if (version.op !== 'delete' || known?.version === undefined || version.n <= known.version.n) return
    // Lapsed, or taken for a dead node's: nobody has kicked anybody.
    if (version.by === CLEANER || known.version.exp! <= version.at)
      this.#restore(known).catch(this.options.onBackgroundError)
    else this.#lose(known)
  }

  #lose({ channel, user }: Written): void {
    this.#written.delete(entryId(channel, user))
    this.#events!.kicked(channel, user)
  }

  async #refreshForever(): Promise<void> {
    const { signal } = this.#ended
    const { clock, refreshMs = REFRESH_MS, onBackgroundError } = this.options
    while (!signal.aborted) {
      await pause(refreshMs / 4, signal)
      const due = [...this.#written.values()].filter(
        ({ version }) => version === undefined || version.at <= clock() - refreshMs,
      )
      for (let i = 0; i < due.length && !signal.aborted; i += REFRESHED_AT_ONCE)
        await Promise.all(
          due.slice(i, i + REFRESHED_AT_ONCE).map((each) => this.#renew(each).catch(onBackgroundError)),
        )
    }
  }

  /** Writes an entry anew that was taken away although its user is here. */
  async #restore({ channel, user }: Written): Promise<void> {
    await this.#inTurn(channel, user, async () => {
      const known = this.#written.get(entryId(channel, user))
      if (known !== undefined) await this.#write(channel, user, known.login, known.connection)
    })
  }

  /** Writes an entry again, on the condition that nobody has taken it away. */
  async #renew({ channel, user }: Written): Promise<void> {
    await this.#inTurn(channel, user, async () => {
      const known = this.#written.get(entryId(channel, user))
      if (known === undefined) return
      if (known.version === undefined) {
        await this.#write(channel, user, known.login, known.connection)
        return
      }
      const bucket = this.#bucket(channel)
      const address = this.#address(channel, user)
      const { login, connection } = known
      const value = presenceEntry(channel, this.options.node, user, connection)
      try {
        const version = await bucket.put(address, value, {
          by: login,
          ttl: this.options.ttlMs ?? TTL_MS,
          expect: { n: known.version.n },
        })
        this.#written.set(entryId(channel, user), { ...known, version })
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        // After a long time without the store it has lapsed. Otherwise the feed tells who took it away.
        if (known.version.exp! <= this.options.clock()) await this.#write(channel, user, login, connection)
      }
    })
  }

  #inTurn(channel: Channel, user: Key, act: () => Promise<void>): Promise<void> {
    const id = entryId(channel, user)
    const done = (this.#turns.get(id) ?? Promise.resolve()).then(act)
    const turn = done.then(
      () => undefined,
      () => undefined,
    )
    this.#turns.set(id, turn)
    void turn.then(() => {
      if (this.#turns.get(id) === turn) this.#turns.delete(id)
    })
    return done
  }

  #bucket({ bucket }: Channel): Bucket {
    return this.options.engine.bucket(bucket)
  }

  #address({ path }: Channel, user: Key): Address {
    return { layer: this.#layer, path, key: user }
  }
}

function entryId(channel: Channel, user: string): string {
  return `${channelId(channel)}\n${user}`
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal, ref: false }).catch(() => undefined)
}

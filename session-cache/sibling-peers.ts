import { SLACK_MS } from './catch-up'
import type { PeerConfiguration } from './configuration'
import type { Downstream } from './downstream'
import { textIn } from './frames'
import { RelayClient } from './relay-client'
import { rendezvous } from './rendezvous'
import type { Session } from './session'
import type { SharedTable } from './shared-table'
import type { TierLog } from './tier-log'
import type { Receiver, TokenShape } from './wire'
import { TOPIC, sessionFields, sessionIn } from './wire'

export interface SiblingPeersOptions {
  readonly peers: readonly PeerConfiguration[]
  /** Files of the configuration are looked for from here. */
  readonly base: string
  readonly path: string
  readonly recordSize: number
  readonly shape: TokenShape
  readonly receiver: Receiver
  /** Of the relay: what a peer missed while there was no line to it. */
  readonly table: SharedTable
  readonly log: TierLog
}

/**
 * Siblings that run elsewhere, in place of one that is a child. Each has a table and relief servers of its own; a session
 * goes to one of those that there is a line to, by rendezvous hashing, and is looked for in all of them.
 */
export class SiblingPeers implements Downstream {
  readonly #lines = new Map<string, RelayClient>()

  constructor(private readonly options: SiblingPeersOptions) {
    const { peers, base, path, recordSize, log } = options
    for (const configuration of peers) {
      const name = configuration.uds_path ?? `${configuration.address}:${configuration.port}`
      const line = new RelayClient({ configuration, base, path, recordSize })
      line.on('client-ready', () => void this.#tellMissed(name, line))
      line.on('client-lost', (error) =>
        log('warn', 'the line to a sibling ended', { name, error: error?.message }),
      )
      this.#lines.set(name, line)
    }
  }

  changed(session: Session): void {
    if (session.value === null)
      for (const line of this.#ready().values()) this.#tell(line, TOPIC.session, session)
    else this.#tell(this.#owner(session.key), TOPIC.session, session)
  }

  out(sessions: readonly Session[]): boolean {
    let told = true
    for (const session of sessions)
      if (!this.#tell(this.#owner(session.key), TOPIC.backup, session)) told = false
    return told
  }

  async find(key: string): Promise<Session | undefined> {
    const looked = [...this.#ready().values()].map((line) => this.#ask(line, key))
    return new Promise((resolve) => {
      for (const look of looked) void look.then((found) => found !== undefined && resolve(found))
      void Promise.all(looked).then(() => resolve(undefined))
    })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lines.values()].map((line) => line.close()))
  }

  #ready(): Map<string, RelayClient> {
    return new Map([...this.#lines].filter(([, line]) => line.ready))
  }

  #owner(key: string): RelayClient | undefined {
    const ready = this.#ready()
    const [first] = rendezvous(key, ready.keys())
    return first === undefined ? undefined : ready.get(first)
  }

  #tell(line: RelayClient | undefined, topic: string, session: Session): boolean {
    return line?.tell(topic, sessionFields(session, this.options.shape)) ?? false
  }

  async #ask(line: RelayClient, key: string): Promise<Session | undefined> {
    try {
      const answer = await line.need(key, process.pid)
      return textIn(answer, 'key') === key ? sessionIn(answer, this.options.receiver) : undefined
    } catch (error) {
      this.options.log('warn', 'a sibling could not be asked', { error: String(error) })
      return undefined
    }
  }

  async #tellMissed(name: string, line: RelayClient): Promise<void> {
    const { awayMs } = line
    if (awayMs === undefined) return
    const { table, shape, log } = this.options
    try {
      for (const page of table.writtenSince(Date.now() - awayMs - SLACK_MS, 50))
        for (const session of page)
          if (session.value === null || this.#owner(session.key) === line)
            // Answered one by one, so that others find room beside them.
            await line.publish(TOPIC.session, sessionFields(session, shape))
    } catch (error) {
      log('warn', 'a sibling was not told all', { name, error: String(error) })
    }
  }
}

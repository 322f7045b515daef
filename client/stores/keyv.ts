import { SessionRoom, type SessionRoomOptions } from './session-room'

export type { SessionRoomOptions } from './session-room'

/**
 * A store of Keyv in an account of KV4, `kv4/client/keyv`:
 *
 *     const cache = new Keyv({ store: new KeyvStore({ url, user, secret }), namespace: 'users' })
 *     await cache.set('ana', { n: 1 }, 60_000)
 *
 * Each entry is a session of `_sess` below `prefix` (`keyv`), and lapses there, too; Keyv puts its namespace before the
 * key. Keyv itself iterates over stores that it knows by name only: `iterator()` of this one is there for who needs it.
 */
export class KeyvStore {
  /** Set by Keyv; `clear` heeds it. */
  namespace: string | undefined
  readonly #room: SessionRoom

  /** `namespace` of the options is that of the sessions. */
  constructor(options: SessionRoomOptions) {
    this.#room = new SessionRoom(options, 'keyv')
  }

  async get<Value>(key: string): Promise<Value | undefined> {
    return (await this.#room.get(key))?.value as Value | undefined
  }

  /** @param ttl milliseconds */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    await this.#room.set(key, { value }, ttl)
    return true
  }

  delete(key: string): Promise<boolean> {
    return this.#room.delete(key)
  }

  async has(key: string): Promise<boolean> {
    return (await this.#room.get(key)) !== undefined
  }

  async clear(): Promise<void> {
    await this.#room.clear((key) => this.#isMine(key))
  }

  /** Keys as they are stored, and values as Keyv has serialised them. */
  async *iterator(): AsyncGenerator<readonly [string, unknown], void, undefined> {
    for await (const [key, { value }] of this.#room.entries()) if (this.#isMine(key)) yield [key, value]
  }

  #isMine(key: string): boolean {
    return this.namespace === undefined || key.startsWith(`${this.namespace}:`)
  }
}

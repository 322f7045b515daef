import type { LRUManager } from './lru-manager'
import type { Session } from './session'
import { tokenOf } from './hash'
import { textOf } from './session'

/** What an application may give instead of the shared table, by `custom_lru_manager`; the original's interface. */
export interface CustomLruManager {
  get(key: string): unknown
  set(key: string, value: unknown): unknown
  set_with_token(token: string, value: unknown, key?: string): unknown
  hash_set(key: string, value: unknown): unknown
  check_hash(hash: string, value: unknown): boolean
  delete(key: string): unknown
  disconnect(): unknown
  readonly in_operation?: boolean
}

export type CustomLruManagerClass = new (conf: never) => CustomLruManager

/** A session that another tier gave. */
export interface Found {
  readonly session: Session
  /** As the other tier sent it. */
  readonly hash: string | undefined
}

/** What a SessionCacheManager needs of the table of its box, whoever wrote that. */
export interface BoxTable {
  readonly manager: LRUManager | CustomLruManager
  /** null: destroyed here; false: not here. */
  get(key: string): string | null | false | Promise<string | false>
  /** With what the other tiers need to know of it. */
  session(key: string): Promise<Session | undefined>
  set(key: string, value: unknown, life?: number): Promise<Session>
  /** `hash`: what the other tier sent with it. */
  take(session: Session, hash: string | undefined): Promise<boolean>
  takeAll(found: readonly Found[]): Promise<void>
  destroy(key: string): Promise<Session>
  /** An `at` for a session whose sender did not say one. */
  stamp(key: string): number
  /** A session of that time was given out before it is in the table. */
  heard(at: number): void
  tokenOf(key: string): string
}

export class SharedBoxTable implements BoxTable {
  constructor(readonly manager: LRUManager) {}

  get(key: string): string | null | false {
    const value = this.manager.look(key)
    return value === undefined ? false : value
  }

  async session(key: string): Promise<Session | undefined> {
    return this.manager.table.session(key)
  }

  async set(key: string, value: unknown, life?: number): Promise<Session> {
    return this.manager.set_session(key, value, life)
  }

  async take(session: Session): Promise<boolean> {
    return this.manager.take(session)
  }

  async takeAll(found: readonly Found[]): Promise<void> {
    this.manager.take_all(found.map(({ session }) => session))
  }

  async destroy(key: string): Promise<Session> {
    return this.manager.table.destroy(key)
  }

  stamp(key: string): number {
    return this.manager.table.stamp(key)
  }

  heard(at: number): void {
    this.manager.table.heard(at)
  }

  tokenOf(key: string): string {
    return this.manager.hash(key)
  }
}

export class CustomBoxTable implements BoxTable {
  constructor(
    readonly manager: CustomLruManager,
    private readonly slots: number,
    private readonly seed: number,
  ) {}

  async get(key: string): Promise<string | false> {
    const value = await this.manager.get(key)
    return value === undefined || value === null || value === false ? false : textOf(value)
  }

  async session(key: string): Promise<Session | undefined> {
    const value = await this.get(key)
    return value === false ? undefined : { key, value, at: Date.now(), exp: 0 }
  }

  async set(key: string, value: unknown, life?: number): Promise<Session> {
    await this.manager.set(key, value)
    const now = Date.now()
    return { key, value: textOf(value), at: now, exp: life === undefined || life === 0 ? 0 : now + life }
  }

  async takeAll(found: readonly Found[]): Promise<void> {
    for (const { session, hash } of found) await this.take(session, hash)
  }

  async take(session: Session, hash: string | undefined): Promise<boolean> {
    if (session.value === null) await this.manager.delete(session.key)
    else await this.manager.set_with_token(hash ?? this.tokenOf(session.key), session.value, session.key)
    return true
  }

  async destroy(key: string): Promise<Session> {
    await this.manager.delete(key)
    return { key, value: null, at: Date.now(), exp: 0 }
  }

  stamp(): number {
    return Date.now()
  }

  heard(): void {}

  tokenOf(key: string): string {
    return tokenOf(key, this.slots, this.seed)
  }
}

import type { Session } from './session'

/** What stands behind a tier: sessions go there, and are looked for there. None of its calls throws. */
export interface Downstream {
  /** A session is new, changed or destroyed. */
  changed(session: Session): void
  /** Sessions left the cache in front. false: there is nobody to take them. */
  out(sessions: readonly Session[]): boolean
  find(key: string): Promise<Session | undefined>
  close(): Promise<void>
}

export const NOTHING_BEHIND: Downstream = {
  changed: () => undefined,
  out: () => false,
  find: () => Promise.resolve(undefined),
  close: () => Promise.resolve(),
}
